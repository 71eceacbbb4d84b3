/**
 * @file mix and curriculum: tasks made of tasks.
 *
 * A mix draws each problem from one of several tasks, by weight; a curriculum goes through versions
 * of one task, easy to hard, as a stage proceeds. A problem keeps the key that it has in its own
 * task, so what is evaluation there is evaluation here, and a model can be trained on a mix and
 * evaluated on its parts. Metrics are kept for each part.
 *
 * A curriculum follows the stage's progress and not the model's success: what a step draws is then
 * known beforehand, the same on every rank and after a resume.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { defineTask, share, type TaskDefinition } from './definition.js';
import { formOf } from './formats.js';
import type { Problem, Task } from './task.js';

/** A task's name, or module, with its options beside it. */
const referenceSchema = z.record(z.string(), z.unknown());
export type PartReference = Record<string, unknown>;

interface Inner {
  readonly index: number;
  readonly problem: Problem;
}

/** A task over `parts`; `choose` says which part a problem is of. */
function compose(
  name: string,
  parts: readonly { label: string; task: Task }[],
  choose: (uniform: number, progress: number | undefined) => number,
): Task<Inner> {
  const taskOf = ({ data }: Problem<Inner>): Task => parts[data.index].task;
  return {
    name,
    alphabet: [...new Set(parts.flatMap(({ task }) => [...task.alphabet]))].sort().join(''),
    maxPromptLength: Math.max(...parts.map(({ task }) => task.maxPromptLength)),
    pooled: parts.some(({ task }) => task.pooled),
    parts: parts.map(({ label }) => label),
    generate(random, progress) {
      const index = choose(random.uniform(), progress);
      const problem = parts[index].task.generate(random, progress);
      return {
        key: problem.key,
        prompt: problem.prompt,
        part: parts[index].label,
        ...(problem.prompting && { prompting: problem.prompting }),
        data: { index, problem },
      };
    },
    verify: (problem, completion) => taskOf(problem).verify(problem.data.problem, completion),
    demonstrate: (problem, random) => taskOf(problem).demonstrate(problem.data.problem, random),
    gold: (problem) => taskOf(problem).gold(problem.data.problem),
    format: (problem) => formOf(taskOf(problem), problem.data.problem),
  };
}

/** Tasks that a mix may be made of, all levels together: each is made, with its problems. */
const MOST_TASKS = 1024;

/** Single tasks in a reference, counted as far as `limit`. */
function tasksIn({ tasks, task, levels }: PartReference, limit: number): number {
  if (limit < 0) return 1;
  const within = (parts: readonly unknown[], times = 1): number =>
    parts.reduce<number>((sum, part) => {
      const isTask = typeof part === 'object' && part !== null && !Array.isArray(part);
      return sum + times * (isTask ? tasksIn(part as PartReference, limit - sum) : 1);
    }, 0);
  if (Array.isArray(tasks)) return within(tasks);
  return Array.isArray(levels) ? within([task], levels.length) : 1;
}

/** @throws UserError (usage) */
function refuseManyTasks(name: string, options: PartReference): void {
  if (tasksIn(options, MOST_TASKS) <= MOST_TASKS) return;
  const field = name === 'mix' ? 'tasks' : 'levels';
  const message = `task ${name}: ${field}: more than ${MOST_TASKS} tasks, those inside of others counted; leave some out`;
  throw new UserError('usage', message, field);
}

/** The two definitions; they need the table that they stand in. */
export function composites(createTask: (reference: PartReference) => Task): {
  mix: TaskDefinition;
  curriculum: TaskDefinition;
} {
  const partOf = (field: string, reference: PartReference): Task => {
    try {
      return createTask(reference);
    } catch (error) {
      if (error instanceof UserError)
        throw new UserError(error.code, `${field}: ${error.message}`, field);
      throw error;
    }
  };

  const mix = defineTask({
    name: 'mix',
    description: 'Problems of several tasks, by weight.',
    options: z.strictObject({
      /**
       * Each a task with its options, and a `weight` (1 unless given): how often it is drawn beside
       * the others.
       */
      tasks: z.array(referenceSchema).min(1).max(64),
    }),
    create({ tasks }) {
      refuseManyTasks('mix', { tasks });
      const seen = new Map<string, number>();
      const parts = tasks.map(({ weight: _, ...reference }, i) => {
        const task = partOf(`tasks.${i}`, reference);
        const times = (seen.get(task.name) ?? 0) + 1;
        seen.set(task.name, times);
        return { label: times === 1 ? task.name : `${task.name}${times}`, task };
      });
      const weights = tasks.map(({ weight = 1 }, i) => {
        if (typeof weight === 'number' && weight > 0 && Number.isFinite(weight)) return weight;
        const message = `task mix: tasks.${i}.weight: must be a number above 0, is ${JSON.stringify(weight)}`;
        throw new UserError('usage', message, `tasks.${i}.weight`);
      });
      const total = weights.reduce((sum, weight) => sum + weight, 0);
      return compose('mix', parts, (uniform) => {
        let left = uniform * total;
        for (let i = 0; i < weights.length - 1; i++) {
          left -= weights[i];
          if (left < 0) return i;
        }
        return weights.length - 1;
      });
    },
  });

  const curriculum = defineTask({
    name: 'curriculum',
    description: 'One task in several versions, easy to hard, as a stage proceeds.',
    options: z.strictObject({
      /** The task, with the options that stay the same. */
      task: referenceSchema,
      /**
       * Options that differ, one object a level; each level gets an equal share of the stage's
       * steps.
       */
      levels: z.array(z.record(z.string(), z.unknown())).min(1).max(32),
      /** Share of problems from the levels before. */
      review: share.default(0.2),
    }),
    create({ task, levels, review }) {
      refuseManyTasks('curriculum', { task, levels });
      const parts = levels.map((level, i) => ({
        label: `level${i + 1}`,
        task: partOf(`levels.${i}`, { ...task, ...level }),
      }));
      return compose('curriculum', parts, (uniform, progress) => {
        // Evaluation asks all levels alike.
        if (progress === undefined) return Math.floor(uniform * parts.length);
        const now = Math.min(parts.length - 1, Math.floor(progress * parts.length));
        return now > 0 && uniform < review ? Math.floor((uniform / review) * now) : now;
      });
    },
  });
  return { mix, curriculum };
}
