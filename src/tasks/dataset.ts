/**
 * @file Problems by number: an endless training stream, and evaluation sets without repeats.
 */
import { UserError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { type Problem, problemAt, type Task } from './task.js';

/** Draws in a row without a new problem after which a task counts as exhausted. */
const PATIENCE = 20_000;

/**
 * The first `count` different evaluation problems of a seed, in index order (of a list: shuffled by
 * the seed); no key appears twice, and none is ever drawn for training under any seed.
 * @throws UserError (usage) when the task has fewer.
 */
export function evaluationProblems<Data>(
  task: Task<Data>,
  seed: number,
  count: number,
): Problem<Data>[] {
  const problems = new Map<string, Problem<Data>>();
  const refuse = (found: number): never => {
    const message = `${count} evaluation problems asked for, but only ${found} found; ask for fewer or widen the task's options`;
    throw new UserError('usage', `task ${task.name}: ${message}`, 'problems');
  };
  const listed = task.listed?.('evaluation');
  if (listed !== undefined) {
    if (listed.length < count) refuse(listed.length);
    return new Random(seed, 'listed').shuffle(listed).slice(0, count);
  }
  for (let index = 0, repeats = 0; problems.size < count; index++) {
    const problem = problemAt(task, seed, 'evaluation', index);
    if (!problems.has(problem.key)) {
      problems.set(problem.key, problem);
      repeats = 0;
    } else if (++repeats >= PATIENCE) {
      refuse(problems.size);
    }
  }
  return [...problems.values()];
}

/**
 * Training problem number `index`; problems may repeat, as in any endless stream over a finite
 * space.
 */
export function trainingProblem<Data>(
  task: Task<Data>,
  seed: number,
  index: number,
): Problem<Data> {
  return problemAt(task, seed, 'train', index);
}
