/**
 * @file What a run ends with on the screen: how good the model is before and after, one problem in
 * its own words, and where to go from here. A pure function of what is in the run folder, so that
 * the README's transcript is made by the same code.
 */
import { join } from 'node:path';
import { accuracyInterval } from '../base/intervals.js';
import { MAX_TEXT_BYTES, readRegular } from '../base/regular.js';
import { formatShare, formatShareRange } from '../base/text/index.js';
import { RUNS, type RunFolder } from '../checkpoints/run-folder.js';
import type { RunEvent, StopReason } from '../usage/events.js';
import { PLAIN, type Style } from './output.js';

/** The result of one evaluation stage. */
export interface Evaluated {
  stage: string;
  task: string;
  results: Record<string, number>;
}

/** A line of `samples.jsonl`. */
export interface Sample {
  stage: string;
  prompt: string;
  completion: string;
  correct: boolean;
  reason: string;
  tokens: number;
}

/** The last result of each evaluation stage: a resume may have evaluated again. */
export function evaluationsOf(events: readonly RunEvent[]): Evaluated[] {
  const found = new Map<string, Evaluated>();
  for (const event of events) {
    if (event.type !== 'evaluation') continue;
    const { stage, task, results } = event;
    found.set(stage, { stage, task, results });
  }
  return [...found.values()];
}

export function readSamples(file: string): Sample[] {
  let text: string;
  try {
    text = readRegular(file, 'samples', MAX_TEXT_BYTES, false).toString('utf8');
  } catch {
    return [];
  }
  const out: Sample[] = [];
  for (const line of text.split('\n')) {
    try {
      if (line !== '') out.push(JSON.parse(line) as Sample);
    } catch {
      // A kill can tear the last line of a file that is for reading only.
    }
  }
  return out;
}

/** One line an evaluation: accuracy with its 95% interval, greedy beside it, length. */
export function evaluationLines(evaluations: readonly Evaluated[], style: Style = PLAIN): string[] {
  const percent = (x: number): string => formatShare(x).padStart(6);
  const width = Math.max(0, ...evaluations.map(({ stage }) => stage.length));
  return evaluations.map(({ stage, results }) => {
    const { pass1, greedy, length, problems } = results;
    const interval = accuracyInterval(results);
    const range =
      interval === null ? '' : ` (95%: ${formatShareRange(interval.low, interval.high)})`;
    const decoded = greedy === undefined ? '' : `, ${percent(greedy)} greedy`;
    return (
      `${style.bold(stage.padEnd(width))} ${percent(pass1)}${range} sampled${decoded}` +
      `, ${length.toFixed(1)} tokens; ${problems} unseen ${problems === 1 ? 'problem' : 'problems'}`
    );
  });
}

/**
 * One problem before and after. What the model failed before and solves now shows most, and of
 * those the one that it thinks about longest; where there is none, the longest of the others.
 */
export function beforeAndAfter(
  evaluations: readonly Evaluated[],
  samples: readonly Sample[],
  style: Style = PLAIN,
): string[] {
  const first = evaluations[0]?.stage;
  const last = evaluations.at(-1)?.stage;
  if (first === undefined || last === undefined || first === last) return [];
  const of = (stage: string): Map<string, Sample> =>
    new Map(
      samples.filter((sample) => sample.stage === stage).map((sample) => [sample.prompt, sample]),
    );
  const before = of(first);
  const after = of(last);
  const prompts = [...before.keys()].filter((prompt) => after.has(prompt));
  const learned = prompts.filter(
    (prompt) => !before.get(prompt)?.correct && after.get(prompt)?.correct,
  );
  const tokens = (prompt: string): number => after.get(prompt)?.tokens ?? 0;
  const [shown] = (learned.length > 0 ? learned : prompts).sort((a, b) => tokens(b) - tokens(a));
  if (shown === undefined) return [];
  const lines = [`${style.bold('An unseen problem')}  ${shown}`];
  for (const [label, sample] of [
    [first, before.get(shown)],
    [last, after.get(shown)],
  ] as const) {
    if (!sample) continue;
    const mark = sample.correct ? style.green('right') : style.red('wrong');
    lines.push(`  ${label} (${mark}: ${sample.reason})`);
    for (const text of sample.completion.split('\n')) lines.push(style.dim(`    ${text}`));
  }
  return lines;
}

/** What the model could do and can do now. */
export function learnedLines(
  evaluations: readonly Evaluated[],
  samples: readonly Sample[],
  style: Style = PLAIN,
): string[] {
  const parts = [evaluationLines(evaluations, style), beforeAndAfter(evaluations, samples, style)];
  return parts
    .filter((part) => part.length > 0)
    .flatMap((part, i) => (i === 0 ? part : ['', ...part]));
}

const STOPPED: Partial<Record<StopReason, string>> = {
  'max-usd': 'reached --max-usd',
  'max-minutes': 'reached --max-minutes',
};

/**
 * What to type next. A run outside the usual folder is not found by its name, so it is called by
 * its path.
 */
export function nextLines(
  {
    reason,
    step,
    run,
  }: { reason: StopReason; step: number; run: Pick<RunFolder, 'name' | 'root' | 'model'> },
  style: Style = PLAIN,
): string[] {
  const which = run.root === join(RUNS, run.name) ? run.name : run.root;
  const rows: [what: string, command: string][] = [
    ['The whole bill', `npx reckoner bill ${which}`],
  ];
  if (reason === 'completed') rows.unshift(['Talk to it', `npx reckoner chat ${which}`]);
  // A run that diverged says so, and what to do, as an error.
  else if (reason !== 'diverged') rows.unshift(['Go on', `npx reckoner train --resume ${which}`]);
  const lines = rows.map(([what, command]) => `${`${what}:`.padEnd(16)}${style.bold(command)}`);
  if (reason === 'completed') return [`${'The model:'.padEnd(16)}${run.model}`, ...lines];
  return reason === 'diverged'
    ? lines
    : [`Stopped at step ${step}: ${STOPPED[reason] ?? reason}.`, ...lines];
}
