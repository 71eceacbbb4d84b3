/**
 * @file mix: problems of several tasks, each as often as its weight says.
 *
 * A problem is one of its own task's in every respect: prompt, key (so that it is in the same split), verifier, demonstrations.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { defineTask, type TaskDefinition } from './definition.js';
import type { Problem, Task } from './task.js';

interface Part {
  part: number;
  problem: Problem;
}

/** The definition; it makes its parts by `create`, the table of tasks. */
export const mixOf = (create: (reference: { name: string; [option: string]: unknown }) => Task): TaskDefinition =>
  defineTask({
    name: 'mix',
    description: 'Problems of several tasks, by weight.',
    options: z.strictObject({
      /** `{name, weight, …options}` of each. */
      tasks: z.array(z.looseObject({ name: z.string(), weight: z.number().positive().default(1) })).min(1),
    }),
    create({ tasks }): Task<Part> {
      const parts = tasks.map(({ weight, ...reference }) => {
        if (reference.name === 'mix') throw new UserError('usage', 'task mix: tasks: a mix holds no further mix', 'tasks');
        return { weight, task: create(reference) };
      });
      const total = parts.reduce((sum, { weight }) => sum + weight, 0);
      const taskOf = ({ data: { part } }: Problem<Part>): Task => parts[part].task;
      return {
        name: 'mix',
        alphabet: [...new Set(parts.flatMap(({ task }) => [...task.alphabet]))].join(''),
        maxPromptLength: Math.max(...parts.map(({ task }) => task.maxPromptLength)),
        generate(random) {
          let left = random.uniform() * total;
          let part = 0;
          while (part + 1 < parts.length && left >= parts[part].weight) left -= parts[part++].weight;
          const problem = parts[part].task.generate(random);
          return { key: problem.key, prompt: problem.prompt, data: { part, problem } };
        },
        verify: (problem, completion) => taskOf(problem).verify(problem.data.problem, completion),
        demonstrate: (problem, random) => taskOf(problem).demonstrate(problem.data.problem, random),
        gold: (problem) => taskOf(problem).gold(problem.data.problem),
      };
    },
  });
