/**
 * @file Live progress of a run, on stderr.
 *
 * On a terminal: a block of a few lines, redrawn at most four times a second, above it a line for
 * each stage that has ended. Elsewhere: a plain line every few seconds. Both are drawn from one
 * state, which run events update; drawing is a pure function of it, so tests compare text.
 *
 * The training loop may keep the event loop busy for a whole step. So a redraw happens on every
 * event that is late enough, and a timer only keeps the clock ticking in between.
 */
import {
  formatCount,
  formatDuration,
  formatNumber,
  formatShare,
  formatUsd,
} from '../base/text/index.js';
import type { RunEvent } from '../usage/events.js';
import { forTerminal, PLAIN, type Style, stripStyle, styleFor } from './output.js';
import { sparkline } from './sparkline.js';

export interface ProgressStage {
  id: string;
  kind: string;
  steps: number;
  /**
   * How long the stage should take; with it for all later stages, the time left is that of the
   * whole run.
   */
  expectedSeconds?: number;
  /**
   * Completions of an evaluation: once one has been timed, the others are expected to take as long
   * for each completion.
   */
  completions?: number;
  /**
   * First steps that do something else than the others, a distillation's sampling: how long they
   * take says nothing of those.
   */
  preparingSteps?: number;
}

export interface ProgressOptions {
  stream: NodeJS.WritableStream & { isTTY?: boolean; columns?: number };
  title: string;
  stages: readonly ProgressStage[];
  /** Milliseconds; for tests. */
  now?: () => number;
}

export interface Progress {
  update(event: RunEvent): void;
  /** What the run has cost so far. */
  cost(usd: number): void;
  /**
   * How long stages should take, by id: with it the time left is that of the whole run from the
   * beginning. Keeps the line.
   */
  expect(seconds: ReadonlyMap<string, number>, line: string): void;
  /** Ctrl-C was pressed: says that it was understood, since the step goes on to its end. */
  stopping(): void;
  /** Draws a last time and leaves the block on the screen. */
  done(): void;
}

/** Everything that is drawn. Times are milliseconds. */
export interface ProgressState {
  title: string;
  stages: readonly ProgressStage[];
  /** Index of the current stage; −1 before the first. */
  current: number;
  stageStep: number;
  /** Id of the last stage whose results were shown. */
  evaluated?: string;
  /** Every value of the current stage, by name, in the order of steps. */
  history: Map<string, number[]>;
  startedAt: number;
  stageStartedAt: number;
  /** Stage steps that were already done when this process came to the stage. */
  stageFirstStep: number;
  /** Time and step of the last few metrics, for the rate. */
  recent: { at: number; step: number }[];
  now: number;
  usd: number | null;
  stopping: boolean;
}

/** The metric that is shown as `length`. */
const LENGTH = 'completions/mean_length';
const REDRAW_MS = 250;
const PLAIN_LINE_MS = 5000;
/** Numbers shown are means over this many steps: single batches are noisy. */
const SMOOTHING = 10;
/**
 * The rate for the time left is that of the last so many steps, or of the last while, whichever is
 * longer.
 */
const RECENT = 20;
const RECENT_MS = 30_000;
const STOPPING = 'stopping after this step; Ctrl-C again ends at once';
/** Characters of the curves in the line that a finished stage leaves behind. */
const STAGE_CURVE = 8;

export function initialState(
  title: string,
  stages: readonly ProgressStage[],
  now: number,
): ProgressState {
  return {
    title,
    stages,
    current: -1,
    stageStep: 0,
    history: new Map(),
    startedAt: now,
    stageStartedAt: now,
    stageFirstStep: 0,
    recent: [],
    now,
    usd: null,
    stopping: false,
  };
}

/** Takes an event into the state; returns a line worth keeping on the screen, or null. */
export function reduceEvent(
  state: ProgressState,
  event: RunEvent,
  style: Style = PLAIN,
): string | null {
  switch (event.type) {
    case 'stage-started':
      startStage(state, event.stage, event.kind, event.steps);
      return null;
    case 'metrics': {
      if (state.stages[state.current]?.id !== event.stage)
        startStage(state, event.stage, event.kind, event.stageStep);
      // After a resume the first step that is seen is not the first one of the stage.
      if (state.recent.length === 0) {
        state.stageFirstStep = event.stageStep - 1;
        state.recent.push({ at: state.stageStartedAt, step: event.stageStep - 1 });
      }
      state.stageStep = event.stageStep;
      if (event.stageStep === state.stages[state.current]?.preparingSteps) state.recent = [];
      state.recent.push({ at: state.now, step: event.stageStep });
      while (state.recent.length > RECENT && state.now - state.recent[1].at > RECENT_MS)
        state.recent.shift();
      for (const [name, value] of Object.entries(event.values)) {
        const values = state.history.get(name);
        if (values === undefined) state.history.set(name, [value]);
        else values.push(value);
      }
      return null;
    }
    case 'stage-ended': {
      const seconds = (state.now - state.stageStartedAt) / 1000;
      // The line of an evaluation's results has been shown; another for its end would be no news.
      if (state.evaluated === event.stage) {
        expectLike(state, seconds);
        return null;
      }
      const parts = [`${style.green('✓')} ${style.bold(event.stage)}`, steps(state.stageStep)];
      parts.push(...headline(state, STAGE_CURVE), formatDuration(seconds));
      return parts.join(' · ');
    }
    case 'resumed':
      return `resumed from step ${formatCount(event.fromStep)}`;
    case 'evaluation':
      state.evaluated = event.stage;
      return evaluationLine(event.label, event.task, event.results, style);
    case 'warning':
      return `${style.yellow('warning:')} ${event.message}`;
    case 'ended':
      // Of the reasons to stop before the end, those that the user gave are told with what to do
      // next.
      if (event.reason !== 'diverged' && event.reason !== 'failed') return null;
      return `${style.yellow(event.reason)}${event.message ? `: ${event.message}` : ''}`;
    default:
      return null;
  }
}

/** The evaluation that has just ended took `seconds`: what the later ones should take. */
function expectLike(state: ProgressState, seconds: number): void {
  const { kind, completions } = state.stages[state.current] ?? {};
  if (completions === undefined) return;
  const like = (
    stage: ProgressStage,
    i: number,
  ): stage is ProgressStage & { completions: number } =>
    i > state.current && stage.kind === kind && stage.completions !== undefined;
  state.stages = state.stages.map((stage, i) =>
    like(stage, i)
      ? { ...stage, expectedSeconds: (seconds * stage.completions) / completions }
      : stage,
  );
}

const steps = (count: number): string => `${formatCount(count)} ${count === 1 ? 'step' : 'steps'}`;

function startStage(state: ProgressState, id: string, kind: string, steps: number): void {
  let index = state.stages.findIndex((stage) => stage.id === id);
  if (index < 0) {
    state.stages = [...state.stages, { id, kind, steps }];
    index = state.stages.length - 1;
  }
  state.current = index;
  state.stageStep = 0;
  state.stageFirstStep = 0;
  state.stageStartedAt = state.now;
  state.history = new Map();
  state.recent = [];
}

function evaluationLine(
  label: string,
  task: string,
  results: Record<string, number>,
  style: Style,
): string {
  const known: [name: string, text: string][] = [
    ['pass1', 'pass@1'],
    ['greedy', 'greedy'],
  ];
  const parts = known
    .filter(([name]) => name in results)
    .map(([name, text]) => `${text} ${formatShare(results[name])}`);
  if ('length' in results) parts.push(`mean length ${formatNumber(results.length)}`);
  return `${style.cyan('◆')} ${label} · ${task} · ${parts.join(' · ')}`;
}

/** Mean of the last few values of a metric, or null when the stage has none. */
function latest(state: ProgressState, name: string): number | null {
  const values = state.history.get(name);
  if (values === undefined || values.length === 0) return null;
  const tail = values.slice(-SMOOTHING);
  return tail.reduce((sum, value) => sum + value, 0) / tail.length;
}

/**
 * What a stage is judged by, as text: reward where there is one, else loss; accuracy; length. With
 * curves of so many characters, and then without the accuracy, which says much the same as the
 * reward.
 */
function headline(state: ProgressState, curve = 0): string[] {
  const judged = state.history.has('reward') ? 'reward' : 'loss';
  const out: string[] = [];
  for (const name of [judged, 'accuracy', LENGTH]) {
    const value = latest(state, name);
    if (value === null || (curve > 0 && name === 'accuracy')) continue;
    const text = `${name === LENGTH ? 'length' : name} ${name === 'accuracy' ? formatShare(value) : formatNumber(value)}`;
    out.push(curve > 0 ? `${text} ${sparkline(state.history.get(name) ?? [], curve)}` : text);
  }
  return out;
}

/**
 * Seconds that are left, and whether that is of the whole run or of this stage; null when nothing
 * is known yet.
 */
export function secondsLeft(
  state: ProgressState,
): { seconds: number; scope: 'run' | 'stage' } | null {
  const stage = state.stages[state.current];
  if (stage === undefined) return null;
  let seconds: number;
  const { recent } = state;
  if (recent.length >= 2 && state.stageStep >= (stage.preparingSteps ?? 0)) {
    const first = recent[0];
    const last = recent[recent.length - 1];
    const perStep = (last.at - first.at) / (last.step - first.step) / 1000;
    seconds = Math.max(0, perStep * (stage.steps - state.stageStep) - (state.now - last.at) / 1000);
  } else if (stage.expectedSeconds !== undefined) {
    seconds = Math.max(0, stage.expectedSeconds - (state.now - state.stageStartedAt) / 1000);
  } else {
    return null;
  }
  const later = state.stages.slice(state.current + 1);
  if (later.some((next) => next.expectedSeconds === undefined)) return { seconds, scope: 'stage' };
  return {
    seconds: later.reduce((sum, next) => sum + (next.expectedSeconds ?? 0), seconds),
    scope: 'run',
  };
}

function footer(state: ProgressState): string[] {
  const parts: string[] = [];
  const rate = latest(state, 'tokens_per_second');
  if (rate !== null) parts.push(`${formatCount(rate)} tok/s`);
  parts.push(`elapsed ${formatDuration((state.now - state.startedAt) / 1000)}`);
  const left = secondsLeft(state);
  if (left !== null)
    parts.push(`${left.scope === 'run' ? 'left' : 'stage left'} ${formatDuration(left.seconds)}`);
  if (state.usd !== null) parts.push(`cost ${formatUsd(state.usd)}`);
  return parts;
}

/** The block for a terminal of so many columns; no line is wider. */
export function renderProgress(
  state: ProgressState,
  columns: number,
  style: Style = PLAIN,
): string[] {
  const width = Math.max(20, columns - 2);
  const stage = state.stages[state.current];
  const lines: string[] = [];
  if (stage === undefined) {
    lines.push(`${style.bold(state.title)} · starting`);
  } else {
    lines.push(
      `${style.bold(state.title)} ${style.dim(`· stage ${state.current + 1} of ${state.stages.length} ·`)} ${style.cyan(stage.id)}${stage.id === stage.kind ? '' : style.dim(` (${stage.kind})`)}`,
    );
    const share = stage.steps > 0 ? Math.min(1, state.stageStep / stage.steps) : 0;
    const count = `${formatCount(state.stageStep)}/${formatCount(stage.steps)} ${formatShare(share, 0).padStart(4)}`;
    const bar = Math.max(4, width - count.length - 1);
    const filled = Math.round(share * bar);
    lines.push(`${style.cyan('━'.repeat(filled))}${style.dim('─'.repeat(bar - filled))} ${count}`);
    lines.push(...curves(state, width, style));
    const small = details(state);
    if (small !== '') lines.push(style.dim(small));
  }
  lines.push(footer(state).join(style.dim(' · ')));
  if (state.stopping) lines.push(style.yellow(STOPPING));
  return lines.map((line) => truncate(` ${line}`, columns));
}

/** Reward (or loss) and length, each with its curve over the stage. */
function curves(state: ProgressState, width: number, style: Style): string[] {
  const judged = state.history.has('reward') ? 'reward' : 'loss';
  const out: string[] = [];
  for (const [name, paint] of [
    [judged, style.green],
    [LENGTH, style.magenta],
  ] as const) {
    const value = latest(state, name);
    if (value === null) continue;
    const accuracy = name === judged ? latest(state, 'accuracy') : null;
    const note = accuracy === null ? '' : `accuracy ${formatShare(accuracy)}`;
    const room = Math.max(0, Math.min(48, width - 17 - (judged === 'reward' ? 17 : 0)));
    const line = sparkline(state.history.get(name) ?? [], room);
    out.push(
      `${(name === LENGTH ? 'length' : name).padEnd(7)}${formatNumber(value).padStart(8)}  ${paint(line)}${note === '' ? '' : `${' '.repeat(room - line.length + 2)}${note}`}`,
    );
  }
  return out;
}

/** The numbers that only some people look at, in one dim line. */
function details(state: ProgressState): string {
  const shown: [name: string, text: string][] = [
    ['entropy', 'entropy'],
    ['kl_loss', 'kl'],
    ['grad_norm', 'gradient'],
    ['learning_rate', 'lr'],
  ];
  const parts: string[] = [];
  for (const [name, text] of shown) {
    const value = latest(state, name);
    if (value !== null) parts.push(`${text} ${formatNumber(value)}`);
  }
  const clipped = latest(state, 'clip_ratio');
  if (clipped !== null) parts.push(`clipped ${formatShare(clipped)}`);
  return parts.join(' · ');
}

/** One line that says the same, for logs. */
export function renderPlain(state: ProgressState): string {
  const stage = state.stages[state.current];
  if (stage === undefined) return `[${state.title}] starting`;
  const parts = [...headline(state), ...footer(state)];
  return `[${stage.id} ${state.stageStep}/${stage.steps}, stage ${state.current + 1} of ${state.stages.length}] ${parts.join(' · ')}`;
}

/** Cuts a line to a width in characters, not counting styles; what is open is closed. */
export function truncate(line: string, columns: number): string {
  if (stripStyle(line).length <= columns) return line;
  let out = '';
  let used = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences start with a control character
  for (const part of line.split(/(\x1b\[[0-9;]*m)/)) {
    if (part.startsWith('\x1b')) {
      out += part;
    } else {
      const kept = [...part].slice(0, Math.max(0, columns - 1 - used)).join('');
      out += kept;
      used += kept.length;
    }
  }
  return `${out}…`;
}

export function createProgress(options: ProgressOptions): Progress {
  const { stream, title, stages } = options;
  const now = options.now ?? Date.now;
  const live = stream.isTTY === true && process.env.TERM !== 'dumb';
  const style = styleFor(stream);
  const safe = (line: string): string => forTerminal(line, stream);
  const state = initialState(title, stages, now());
  let drawnLines = 0;
  // The first plain line waits; the block on a terminal does not.
  let drawnAt = live ? -Infinity : state.now;
  let finished = false;

  const erase = (): string => (drawnLines > 0 ? `\x1b[${drawnLines}A\r\x1b[J` : '');
  /** Draws the block again, `kept` above it. One write, so that it does not flicker. */
  function draw(kept?: string): void {
    const lines = renderProgress(state, stream.columns ?? 80, style);
    const above = kept === undefined ? '' : `${safe(kept)}\n`;
    stream.write(`${erase()}${above}${safe(lines.join('\n'))}\n`);
    drawnLines = lines.length;
    drawnAt = state.now;
  }
  function tick(): void {
    state.now = now();
    if (live) {
      if (state.now - drawnAt >= REDRAW_MS) draw();
    } else if (state.now - drawnAt >= PLAIN_LINE_MS) {
      stream.write(`${safe(renderPlain(state))}\n`);
      drawnAt = state.now;
    }
  }
  const timer = setInterval(tick, live ? REDRAW_MS : PLAIN_LINE_MS);
  timer.unref();

  return {
    update(event) {
      if (finished) return;
      state.now = now();
      const kept = reduceEvent(state, event, style);
      if (kept !== null) {
        if (live) draw(kept);
        else stream.write(`${safe(kept)}\n`);
      } else if (event.type === 'stage-started') {
        if (live) draw();
        else
          stream.write(
            safe(
              `[${event.stage}] ${event.kind}, ${steps(event.steps)}, stage ${state.current + 1} of ${state.stages.length}\n`,
            ),
          );
        drawnAt = state.now;
      } else {
        tick();
      }
    },
    cost(usd) {
      state.usd = usd;
    },
    expect(seconds, line) {
      if (finished) return;
      state.stages = state.stages.map((stage) => ({
        ...stage,
        expectedSeconds: seconds.get(stage.id) ?? stage.expectedSeconds,
      }));
      state.now = now();
      if (live) draw(line);
      else stream.write(`${safe(line)}\n`);
    },
    stopping() {
      if (finished) return;
      state.stopping = true;
      state.now = now();
      if (live) draw();
      else stream.write(`${STOPPING}\n`);
    },
    done() {
      if (finished) return;
      finished = true;
      clearInterval(timer);
      state.now = now();
      state.stopping = false;
      if (live) draw();
    },
  };
}
