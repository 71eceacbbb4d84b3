/**
 * @file The table of tasks. A new task is one file and one line here; see
 * docs/guides/add-a-task.md.
 */
import { UserError } from '../base/errors.js';
import { countdown } from './countdown.js';
import type { TaskDefinition } from './definition.js';
import { bases } from './families/bases.js';
import { clock } from './families/clock.js';
import { factors } from './families/factors.js';
import { functions } from './families/functions.js';
import { gcd } from './families/gcd.js';
import { linear } from './families/linear.js';
import { logic } from './families/logic.js';
import { order } from './families/order.js';
import { polygon } from './families/polygon.js';
import { polynomial } from './families/polynomial.js';
import { program } from './families/program.js';
import { choice, science } from './families/science.js';
import { sequence } from './families/sequence.js';
import { shapes } from './families/shapes.js';
import { sorting } from './families/sorting.js';
import { units } from './families/units.js';
import { words } from './families/words.js';
import { formatOf, withFormat } from './formats.js';
import { composites } from './mix.js';
import { createModuleTask, loadTaskModule } from './module.js';
import { readPrompting, withPrompting } from './prompting.js';
import { grantReferences } from './references.js';
import { code, questions } from './rows.js';
import { scored } from './scored.js';
import { sums } from './sums.js';
import type { Task } from './task.js';

/** Tasks that generate their problems, and need no options. */
export const generated: Record<string, TaskDefinition> = {
  sums,
  countdown,
  logic,
  order,
  linear,
  polynomial,
  factors,
  gcd,
  bases,
  sequence,
  sorting,
  shapes,
  polygon,
  units,
  clock,
  words,
  science,
  choice,
  program,
  functions,
};

export const tasks: Record<string, TaskDefinition> = {
  ...generated,
  ...composites((reference) => makeTask(reference as unknown as TaskReference)),
  scored: scored((reference) => makeTask(reference as TaskReference)),
  questions,
  code,
};

/**
 * A task's name, or the file of a user's own, with its options beside it: `{ name: 'sums', terms:
 * [5, 6] }`.
 */
export interface TaskReference {
  name?: string;
  module?: string;
  /** The form of completions: a name of `formats`, or a function's source. */
  format?: string;
  /**
   * Who writes `<think>`: the model (the default), or the prompt, which then ends in it. `on` and
   * `off` set the switch of a chat template that has one.
   */
  thinking?: string;
  /** The words around each problem (prompting.ts). */
  prompting?: unknown;
  [option: string]: unknown;
}

const THINKING: readonly string[] = ['model', 'prompt', 'on', 'off'];

function definitionOf(name: unknown): TaskDefinition {
  if (typeof name === 'string' && Object.hasOwn(tasks, name)) return tasks[name];
  throw new UserError(
    'usage',
    `task: name: no task ${JSON.stringify(name)}; there are ${Object.keys(tasks).join(', ')}`,
    'name',
  );
}

/**
 * The task that the caller's own program names: its files are read, its module is executed. For a
 * reference that came out of a file, see `makeTask`. @throws UserError (usage) naming the field.
 */
export function createTask(reference: TaskReference): Task {
  grantReferences(reference);
  return makeTask(reference);
}

/**
 * The task that a reference names, where all files that it names were granted (`grantReferences`,
 * `admitReferences`). @throws UserError (usage) naming the field.
 */
export function makeTask(reference: TaskReference): Task {
  const { name, module, sha256: _, format, thinking, prompting, ...options } = reference;
  if (module !== undefined && name !== undefined)
    throw new UserError('usage', 'task: name: a task has a name or a module, not both', 'name');
  if (thinking !== undefined && !THINKING.includes(thinking)) {
    const known = THINKING.map((word) => `"${word}"`).join(', ');
    throw new UserError('usage', `task: thinking: must be one of ${known}`, 'thinking');
  }
  const words = readPrompting(prompting);
  const task =
    module === undefined ? definitionOf(name).create(options) : createModuleTask(module, options);
  const formed = withFormat(task, formatOf(format), thinking === 'prompt');
  const on = thinking === 'on' ? true : thinking === 'off' ? false : undefined;
  return withPrompting(formed, words, on);
}

/**
 * The same reference with every default written out, for records. @throws UserError (usage) naming
 * the field.
 */
export function resolveTask(reference: TaskReference): TaskReference {
  const { name, module, format, thinking, prompting, ...options } = reference;
  formatOf(format);
  const words = readPrompting(prompting);
  const common = {
    ...(format === undefined ? {} : { format }),
    ...(thinking === undefined ? {} : { thinking }),
    ...(words === undefined ? {} : { prompting: words }),
  };
  if (module !== undefined)
    return { module, ...common, ...loadTaskModule(module).resolve(options) };
  return { name, ...common, ...definitionOf(name).resolve(options) };
}

export { z } from 'zod';
export { UserError } from '../base/errors.js';
export { Random } from '../base/random.js';
export { sameAnswer } from './answers/index.js';
export { parseCompletion, writeCompletion } from './completion.js';
export { evaluationProblems, trainingProblem } from './dataset.js';
export { defineTask, type RewardedTask, type TaskDefinition } from './definition.js';
export { formats, judge, splitThinking, withOpening } from './formats.js';
export { importDefault } from './module.js';
export {
  admitReferences,
  anchorTask,
  type Foreign,
  grantReferences,
  stampTask,
} from './references.js';
export * from './task.js';
