/**
 * @file The page's end of the line to its training worker, and what the page knows: signals that
 * its parts read.
 */
import { signal } from '@preact/signals';
import type { RunStatement } from '../../../ledger/statement/runs.js';
import { addEvent } from '../../run-state.js';
import type { Reply } from '../answer.js';
import type { FromTrainer, OpenRun, Sample, TaskChoice, ToTrainer } from './protocol.js';

const CURVE_BUCKETS = 400;
const MOST_SAMPLES = 4000;
/** Events come faster than anybody reads: what they change is shown so often, milliseconds. */
const SHOW_EVERY = 250;

/** Null until the worker has opened. */
export const opened = signal<{ device: string; notes: string[]; tasks: TaskChoice[] } | null>(null);
export const run = signal<OpenRun | null>(null);
/** Counts up when the run has changed, a few times a second. */
export const version = signal(0);
export const busy = signal(false);
/** A stop was asked for, and comes with the end of the step. */
export const stopping = signal(false);
export const problem = signal<string | null>(null);
export const note = signal<string | null>(null);
export const bill = signal<RunStatement | null>(null);
/** Step of the newest checkpoint that is on the disk; null where nothing is kept. */
export const saved = signal<number | null>(null);
export const turns = signal<{ prompt: string; reply: Reply }[]>([]);

const worker = new Worker(new URL('./worker.ts', import.meta.url), { type: 'module' });
const tell = (message: ToTrainer): void => worker.postMessage(message);

let shown = 0;
let timer: ReturnType<typeof setTimeout> | undefined;
function show(): void {
  if (timer !== undefined) return;
  timer = setTimeout(
    () => {
      timer = undefined;
      shown = performance.now();
      version.value++;
    },
    Math.max(0, shown + SHOW_EVERY - performance.now()),
  );
}

/** The first event of a run comes before the worker has told of it. */
let samples: Sample[] = [];

function hear(message: FromTrainer): void {
  switch (message.kind) {
    case 'opened': {
      const { device, notes, tasks } = message;
      opened.value = { device, notes, tasks };
      take(message.run);
      return;
    }
    case 'run':
      take(message.run);
      return;
    case 'event':
      if (run.value === null) return;
      addEvent(run.value.state, message.event, CURVE_BUCKETS);
      if (message.event.type === 'checkpoint') run.value.hasModel = true;
      show();
      return;
    case 'samples':
      samples.push(...message.samples);
      if (samples.length > MOST_SAMPLES) samples.splice(0, samples.length - MOST_SAMPLES);
      return;
    case 'bill':
      bill.value = message.bill;
      return;
    case 'saved':
      saved.value = message.step;
      return;
    case 'idle':
      busy.value = false;
      stopping.value = false;
      take(message.run);
      return;
    case 'note':
      note.value = message.message;
      return;
    case 'refused':
      problem.value = message.message;
      busy.value = false;
      return;
    case 'answer':
      answered(message);
      return;
    case 'download':
      offer(message.name, message.bytes);
  }
}

function take(next: OpenRun | null): void {
  samples = next?.samples ?? [];
  bill.value = next?.bill ?? null;
  run.value = next;
  version.value++;
}

export const samplesNow = (): readonly Sample[] => samples;

function answered({ id, event }: Extract<FromTrainer, { kind: 'answer' }>): void {
  const turn = turns.value[id];
  if (turn === undefined) return;
  const { reply } = turn;
  if (event.type === 'loaded') reply.loaded = true;
  if (event.type === 'token') reply.tokens.push(event);
  if (event.type === 'done') reply.done = event;
  if (event.type === 'error') reply.error = event.message;
  turns.value = turns.value.map((one, i) =>
    i === id ? { ...one, reply: { ...reply, loaded: true } } : one,
  );
}

function offer(name: string, bytes: Uint8Array<ArrayBuffer>): void {
  const url = URL.createObjectURL(new Blob([bytes], { type: 'application/zip' }));
  Object.assign(document.createElement('a'), { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

worker.onmessage = ({ data }: MessageEvent<FromTrainer>) => hear(data);
worker.onerror = ({ message }) => {
  problem.value = `the training worker ended: ${message}; reload the page, and the run goes on from its last checkpoint`;
  busy.value = false;
};

function work(message: ToTrainer): void {
  problem.value = null;
  note.value = null;
  busy.value = true;
  tell(message);
}

export const open = (): void => tell({ kind: 'open' });
export const train = (message: Extract<ToTrainer, { kind: 'train' | 'train-recipe' }>): void => {
  turns.value = [];
  work(message);
};
export const resume = (): void => work({ kind: 'resume' });
export const stop = (): void => {
  stopping.value = true;
  tell({ kind: 'stop' });
};
export const forget = (): void => {
  turns.value = [];
  work({ kind: 'forget' });
};
export const download = (): void => tell({ kind: 'download' });
export function ask(prompt: string, temperature: number): void {
  const reply: Reply = { model: 'model', tokens: [], loaded: false, done: null, error: null };
  turns.value = [...turns.value, { prompt, reply }];
  tell({ kind: 'ask', id: turns.value.length - 1, prompt, temperature, seed: turns.value.length });
}
