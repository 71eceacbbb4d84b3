/**
 * @file For tests: runs and models that a stranger might send. Each is a sound run in which one
 * thing is not what it should be.
 */
import { execFileSync } from 'node:child_process';
import {
  closeSync,
  cpSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { stampTask } from '../../src/tasks/index.js';

/** In files outside of the runs, and never in an answer. */
export const SECRET = 'canary-3141592';

const TIME = '2026-01-01T00:00:00.000Z';
const MACHINE = { cpu: 'x', cores: 1, memoryBytes: 1, platform: 'x', node: 'x' };
const EVENTS = [
  { type: 'started', recipe: 'x', version: '0', workers: 1, fingerprint: 'f', machine: MACHINE },
  { type: 'ended', reason: 'interrupted' },
];

const write = (path: string, text: string): void => {
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, text);
};

const put = (path: string): string => {
  mkdirSync(dirname(path), { recursive: true });
  rmSync(path, { recursive: true, force: true });
  return path;
};

/** What may stand in place of a file. */
export const KINDS: Record<string, (path: string, outside: string) => void> = {
  fifo: (path) => void execFileSync('mkfifo', [put(path)]),
  'link out': (path, outside) => symlinkSync(join(outside, 'secret.json'), put(path)),
  'link to nothing': (path, outside) => symlinkSync(join(outside, 'new.json'), put(path)),
  'link to a device': (path) => symlinkSync('/dev/zero', put(path)),
  'link to itself': (path) => symlinkSync(path, put(path)),
  huge: (path) => {
    const handle = openSync(put(path), 'w');
    ftruncateSync(handle, 2 ** 40);
    closeSync(handle);
  },
  deep: (path) => write(put(path), '['.repeat(2_000_000)),
  'a folder': (path) => mkdirSync(put(path), { recursive: true }),
};

/** The files of a run that something reads. */
export const FILES = [
  'recipe.json',
  'plan.json',
  'events.jsonl',
  'samples.jsonl',
  'bill.json',
  'run.lock',
  'model/config.json',
  'model/tokenizer.json',
  'model/model.safetensors',
  'checkpoints/000001/snapshot.json',
  'checkpoints/000001/config.json',
];

/** A sound run of a model. */
export function writeRun(run: string, model: string, task: unknown = { name: 'sums' }): void {
  mkdirSync(join(run, 'checkpoints'), { recursive: true });
  cpSync(model, join(run, 'model'), { recursive: true });
  const config = JSON.parse(readFileSync(join(model, 'config.json'), 'utf8'));
  write(join(run, 'model/config.json'), JSON.stringify({ ...config, reckoner: { task } }));
  const stages = [{ id: 'look', kind: 'eval', problems: 1, samples: 1, maxTokens: 1 }];
  const recipe = { schemaVersion: 1, name: 'x', task, model: config, stages };
  write(join(run, 'recipe.json'), JSON.stringify(recipe));
  const events = EVENTS.map((event) =>
    JSON.stringify({ attempt: 0, step: 0, time: TIME, ...event }),
  );
  write(join(run, 'events.jsonl'), `${events.join('\n')}\n`);
}

export interface Hostile {
  /** Of the run in the folder of runs. */
  name: string;
  what: string;
}

/**
 * Writes a run for each file and kind, and one for each reference out of it.
 * @param canary a file that code of theirs would write
 */
export function writeHostileRuns(
  runs: string,
  model: string,
  outside: string,
  canary: string,
): Hostile[] {
  const secret = `{"prompt": "${SECRET}", "answer": "1", "type": "${SECRET}", "name": "${SECRET}"}\n`;
  write(join(outside, 'secret.json'), secret);
  const code = `require('node:fs').writeFileSync(${JSON.stringify(canary)}, 'executed');`;
  const made: Hostile[] = [];
  const add = (what: string, task?: (run: string) => unknown): string => {
    const name = `2026-01-01-evil-${String(made.length).padStart(4, '0')}`;
    const run = join(runs, name);
    mkdirSync(run, { recursive: true });
    writeRun(run, model, task?.(run));
    made.push({ name, what });
    return run;
  };
  for (const file of FILES)
    for (const [kind, place] of Object.entries(KINDS))
      place(join(add(`${file}: ${kind}`), file), outside);
  const module = (run: string): string => {
    write(join(run, 'task.cjs'), code);
    return join(run, 'task.cjs');
  };
  const nested = (part: unknown): unknown => ({
    name: 'mix',
    tasks: [
      { name: 'sums' },
      { name: 'curriculum', levels: [{}], task: { name: 'mix', tasks: [part] } },
    ],
  });
  const references: Record<string, (run: string) => unknown> = {
    module: (run) => stampTask({ module: module(run) }),
    'module in mixes': (run) => stampTask(nested({ module: module(run) })),
    'module, relative': (run) => ({ module: `./runs/${run.split('/').at(-1)}/task.cjs` }),
    'file outside': () => stampTask({ name: 'questions', file: join(outside, 'secret.json') }),
    'file outside, relative': () => ({ name: 'questions', file: '../outside/secret.json' }),
    'a device': () => nested({ name: 'questions', file: '/dev/zero' }),
    'endless problems': () => ({ name: 'sums', terms: [2, 1e9] }),
    'a bomb of mixes': () => {
      let task: unknown = { name: 'sums' };
      for (let i = 0; i < 12; i++) task = { name: 'mix', tasks: [task, task, task] };
      return task;
    },
  };
  for (const [what, task] of Object.entries(references)) add(what, task);
  const linked = add('model is a link');
  symlinkSync(outside, put(join(linked, 'model')));
  for (const name of ['checkpoints', 'stages', 'data'])
    symlinkSync(outside, put(join(add(`${name} is a link`), name)));
  const checkpoint = add('checkpoint is a link');
  symlinkSync(outside, put(join(checkpoint, 'checkpoints/000001')));
  return made;
}
