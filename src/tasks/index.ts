/**
 * @file The table of tasks. A new task is one file and one line here; see docs/guides/add-a-task.md.
 */
import { UserError } from '../base/errors.js';
import { countdown } from './countdown.js';
import type { TaskDefinition } from './definition.js';
import { mixOf } from './mix.js';
import { sums } from './sums.js';
import type { Task } from './task.js';

export const tasks: Record<string, TaskDefinition> = { sums, countdown, mix: mixOf((reference) => createTask(reference)) };

/** A task's name with its options beside it, as recipes write it: `{ name: 'sums', terms: [5, 6] }`. */
export interface TaskReference {
  name: string;
  [option: string]: unknown;
}

function definitionOf(name: unknown): TaskDefinition {
  if (typeof name === 'string' && Object.hasOwn(tasks, name)) return tasks[name];
  throw new UserError('usage', `task: name: no task ${JSON.stringify(name)}; there are ${Object.keys(tasks).join(', ')}`, 'name');
}

/** The task that a reference names. @throws UserError (usage) naming the field. */
export function createTask({ name, ...options }: TaskReference): Task {
  return definitionOf(name).create(options);
}

/** The same reference with every default written out, for records. @throws UserError (usage) naming the field. */
export function resolveTask({ name, ...options }: TaskReference): TaskReference {
  return { name, ...definitionOf(name).resolve(options) };
}

export { parseCompletion, writeCompletion } from './completion.js';
export { evaluationProblems, trainingProblem } from './dataset.js';
export { defineTask, type TaskDefinition } from './definition.js';
export * from './task.js';
