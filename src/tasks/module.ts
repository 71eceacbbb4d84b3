/**
 * @file Tasks in a user's own file: `{module: './my-task.ts', …options}`, whose default export
 * `defineTask` made.
 *
 * The file is named by its path, because functions do not travel between threads: each thread loads
 * it for itself, TypeScript or JavaScript, through jiti (decision 31). Generating and demonstrating
 * happen where they are needed; grading is someone else's code on a model's text, so it always runs
 * in a pool of threads with a time limit.
 *
 * A file is executed only when it was granted (base/grants.ts): the command line or a recipe that
 * the user named refers to it, or a run does and it is the user's own (references.ts).
 */
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import { createJiti } from 'jiti';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { demandGrant } from '../base/grants.js';
import { Random } from '../base/random.js';
import { sameAnswer } from './answers/index.js';
import { parseCompletion, writeCompletion } from './completion.js';
import { defineTask, type RewardedTask, type TaskDefinition } from './definition.js';
import { createPool, oneLine, type Pool } from './pool.js';
import { type Outcome, verdictBy } from './rewards.js';
import { type Problem, problemAt, splitOf, type Task, type Verdict } from './task.js';

/**
 * What a thread is asked: one reward of one completion, whether it is right, or the whole verdict where a task has its
 * own `verify`.
 */
export interface GradeJob {
  readonly module: string;
  readonly options: Record<string, unknown>;
  readonly problem: Problem;
  readonly completion: string;
  readonly reward: number | 'correct' | null;
}

/** Seconds that one reward may take unless the task says otherwise. */
export const REWARD_SECONDS = 10;
const THREADS = 2;

let pool: Pool<GradeJob, Outcome | Verdict> | null = null;
const loaded = new Map<string, TaskDefinition>();

/**
 * What a user's file imports as `reckoner/tasks`: what index.ts gives at run time, as it is loaded
 * already. To transform it and all that it imports anew would take seconds in each thread.
 */
const API = {
  defineTask,
  parseCompletion,
  problemAt,
  Random,
  sameAnswer,
  splitOf,
  UserError,
  writeCompletion,
  z,
};

/** Endings of files of TypeScript and JavaScript. */
const PROGRAM = /\.[cm]?[jt]sx?$/;

/** Of a module's source. */
const MOST_BYTES = 4 * 1024 * 1024;

/**
 * The value that a TypeScript or JavaScript file exports as default: executes the file, which must
 * have been granted. @throws UserError (usage) naming the field
 */
export function importDefault(file: string, field: string): unknown {
  demandGrant(file, field);
  const stat = statSync(file, { throwIfNoEntry: false });
  const why =
    stat === undefined
      ? 'no such file'
      : !stat.isFile() || stat.size > MOST_BYTES || !PROGRAM.test(file)
        ? 'it is no file of TypeScript or JavaScript'
        : null;
  if (why !== null) throw new UserError('usage', `${field}: ${file}: ${why}`, field);
  const jiti = createJiti(file, {
    virtualModules: { 'reckoner/tasks': API },
    interopDefault: true,
    moduleCache: false,
    fsCache: false,
  });
  let exported: unknown;
  try {
    exported = jiti(file);
  } catch (error) {
    const message =
      error instanceof RangeError
        ? 'it is nested too deeply, or calls itself without end'
        : error instanceof Error
          ? error.message
          : String(error);
    throw new UserError('usage', `${field}: ${file}: ${message.split('\n')[0]}`, field);
  }
  return (exported as { default?: unknown } | null)?.default ?? exported;
}

/** The definition that a file exports. @throws UserError (usage) */
export function loadTaskModule(file: string): TaskDefinition {
  const known = loaded.get(file);
  if (known) return known;
  const definition = importDefault(file, 'module') as Partial<TaskDefinition> | null;
  if (typeof definition?.create !== 'function' || typeof definition.resolve !== 'function') {
    const message = `module: ${file}: its default export is no task; write "export default defineTask({ … })"`;
    throw new UserError('usage', message, 'module');
  }
  loaded.set(file, definition as TaskDefinition);
  return definition as TaskDefinition;
}

/** What a user's code threw, as an error of the user's that names the file. */
function failureIn(file: string, what: string, error: unknown): UserError {
  if (error instanceof UserError) return error;
  if (error instanceof NoProblem)
    return new UserError('usage', `module: ${file}: ${what} gives no problem: {key, prompt, data}`);
  const said = oneLine(error instanceof Error ? error.message : String(error));
  return new UserError('usage', `module: ${file}: ${what} throws ${said}`, 'module');
}

function create(file: string, options: Record<string, unknown>): RewardedTask<unknown> {
  let task: RewardedTask<unknown>;
  try {
    task = loadTaskModule(file).create(options) as RewardedTask<unknown>;
  } catch (error) {
    throw failureIn(file, 'create', error);
  }
  const wrong =
    typeof task?.alphabet !== 'string' || !Number.isInteger(task.maxPromptLength)
      ? 'alphabet or maxPromptLength'
      : ['generate', 'demonstrate', 'gold'].find(
          (name) => typeof (task as unknown as Record<string, unknown>)[name] !== 'function',
        );
  if (wrong === undefined) return task;
  throw new UserError('usage', `module: ${file}: its task has no ${wrong}`, 'module');
}

class NoProblem extends Error {}

function demandProblem(given: unknown): void {
  const { key, prompt } = (given ?? {}) as Partial<Problem>;
  if (typeof key !== 'string' || typeof prompt !== 'string') throw new NoProblem();
}

/** A user's task whose functions fail with an error that names the file and the function. */
function guarded<T extends object>(file: string, task: T): T {
  const entries = Object.entries(task).map(([name, value]) => {
    if (typeof value !== 'function') return [name, value];
    const call = (...args: unknown[]): unknown => {
      try {
        const given: unknown = value.apply(task, args);
        if (name === 'generate') demandProblem(given);
        return given;
      } catch (error) {
        throw failureIn(file, name, error);
      }
    };
    return [name, call];
  });
  return Object.fromEntries(entries) as T;
}

/** The task of a file, graded in the pool. @throws UserError (usage) */
export function createModuleTask(module: string, options: Record<string, unknown>): Task {
  const file = resolve(module);
  const task = guarded(file, create(file, options));
  const { rewards, rewardSeconds = REWARD_SECONDS } = task;
  const ask = (problem: Problem, completion: string, reward: GradeJob['reward']) => {
    const entry = import.meta.url.endsWith('.ts') ? './module-worker.ts' : './module-worker.js';
    pool ??= createPool(new URL(entry, import.meta.url), THREADS);
    return pool.run({ module: file, options, problem, completion, reward }, rewardSeconds);
  };
  return {
    ...task,
    pooled: true,
    async verify(problem, completion): Promise<Verdict> {
      if (rewards === undefined) {
        const result = await ask(problem, completion, null);
        if ('done' in result) return result.done as Verdict;
        return {
          reward: 0,
          correct: false,
          wellFormed: false,
          reason: `verify failed: ${result.failed}`,
        };
      }
      return verdictBy(task, problem, completion, async (which) => {
        const result = await ask(problem, completion, which);
        return 'done' in result ? (result.done as Outcome) : result;
      });
    },
  };
}
