/**
 * @file What the table of tasks holds: a name, a description, options with defaults, and how to
 * make the task.
 *
 * Options come from recipe files, which people write: an unknown or impossible option ends in one
 * line that names it.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { scoreOf, verdictBy } from './rewards.js';
import type { Reward, Sample, Score, Task } from './task.js';

export interface TaskDefinition {
  readonly name: string;
  /** One sentence for lists and `--help`. */
  readonly description: string;
  /** Options with their defaults; unknown fields are refused. */
  readonly options: z.ZodType;
  /** The options with defaults filled in. @throws UserError (usage) naming the field. */
  resolve(options: unknown): Record<string, unknown>;
  /** The task with these options. @throws UserError (usage) naming the field. */
  create(options: unknown): Task;
}

/** A task that says `rewards` and leaves `verify` to them. */
export type RewardedTask<Data> = Omit<Task<Data>, 'verify'> & Required<Pick<Task<Data>, 'rewards'>>;

/** The function of a task that gives a reward, or says whether a completion is right. */
export function askOf<Data>(
  task: Pick<Task<Data>, 'correct' | 'rewards'>,
  which: number | 'correct',
): (sample: Sample<Data>) => Score | Promise<Score> {
  if (which === 'correct')
    return (sample) => (task.correct as NonNullable<typeof task.correct>)(sample);
  const reward = (task.rewards as readonly Reward<Data>[])[which];
  return (sample) => reward.score(sample);
}

/** `verify` as the weighted mean of the rewards. */
function withVerify<Data>(task: Task<Data> | RewardedTask<Data>, name: string): Task<Data> {
  const { rewards } = task;
  if (rewards === undefined) return task as Task<Data>;
  const wrong = rewards.find(({ weight = 1 }) => !(weight > 0 && Number.isFinite(weight)));
  if (rewards.length === 0)
    throw new UserError('usage', `task ${name}: rewards: must be at least one`, 'rewards');
  if (wrong)
    throw new UserError(
      'usage',
      `task ${name}: rewards: the weight of ${wrong.name} must be above 0`,
      'rewards',
    );
  return {
    ...task,
    verify: (problem, completion) =>
      verdictBy({ ...task, rewards }, problem, completion, (which) =>
        scoreOf(askOf({ ...task, rewards }, which), problem, completion),
      ),
  };
}

/** A definition whose `create` receives checked options with defaults filled in. */
export function defineTask<Options extends Record<string, unknown>, Data>(definition: {
  name: string;
  description: string;
  options: z.ZodType<Options>;
  create(options: Options): Task<Data> | RewardedTask<Data>;
}): TaskDefinition {
  const { name, options: schema } = definition;
  const resolve = (options: unknown): Options => {
    const result = schema.safeParse(options ?? {});
    if (result.success) return result.data;
    const issue = result.error.issues[0];
    const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
    const field =
      [...issue.path.map(String), ...(unknown === undefined ? [] : [unknown])].join('.') ||
      'options';
    const known =
      unknown !== undefined && schema instanceof z.ZodObject
        ? `; it has ${Object.keys(schema.shape).join(', ')}`
        : '';
    const problem = unknown === undefined ? issue.message : `no such option${known}`;
    throw new UserError('usage', `task ${name}: ${field}: ${problem}`, field);
  };
  return {
    ...definition,
    resolve,
    create: (options) => withVerify(definition.create(resolve(options)), name) as Task,
  };
}

/** A pair [low, high] of integers in [minimum, maximum], low ≤ high. */
export const integerRange = (minimum: number, maximum: number): z.ZodType<[number, number]> =>
  z
    .tuple([z.number().int().min(minimum).max(maximum), z.number().int().min(minimum).max(maximum)])
    .refine(
      ([low, high]) => low <= high,
      'the first number must not be above the second',
    ) as z.ZodType<[number, number]>;

/** A share or probability. */
export const share = z.number().min(0).max(1);

/**
 * Reward of a well-formed wrong answer; below one half, so that only right answers are worth
 * learning in the end.
 */
export const formatReward = z.number().min(0).max(0.5).default(0);
