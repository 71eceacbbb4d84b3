/**
 * @file Rewards of a user's own: plain functions, one or several with weights, each by itself.
 *
 * A reward is given one completion and returns a number, or true and false for 1 and 0; it may be
 * async. What throws, hangs or returns no number scores 0 with its reason, and the other rewards
 * count as ever. No reward says whether a completion is right: that is the task's `correct`, or
 * whether its answer is that of `gold`.
 */
import { sameAnswer } from './answers/index.js';
import { parseCompletion } from './completion.js';
import { oneLine } from './pool.js';
import type { Problem, Reward, Task, Verdict } from './task.js';

/** One reward of one completion. */
export type Outcome = { readonly score: number } | { readonly failed: string };

/** Asks one reward, or `correct`; never throws. */
export async function scoreOf<Data>(
  ask: Reward<Data>['score'],
  problem: Problem<Data>,
  completion: string,
): Promise<Outcome> {
  const parsed = parseCompletion(completion);
  const parts = parsed.wellFormed ? parsed : { thinking: null, answer: null };
  try {
    const { thinking, answer } = parts;
    const score = await ask({ problem, completion, thinking, answer });
    if (typeof score === 'boolean') return { score: score ? 1 : 0 };
    if (typeof score === 'number' && Number.isFinite(score)) return { score };
    return { failed: `returns ${typeof score === 'number' ? score : typeof score}, not a number` };
  } catch (error) {
    return { failed: `throws ${oneLine(error instanceof Error ? error.message : String(error))}` };
  }
}

/** Whether the answer is the one of a gold completion; for tasks that have no `correct`. */
export function isGold(gold: string | null, completion: string): boolean {
  const [truth, given] = [parseCompletion(gold ?? ''), parseCompletion(completion)];
  return truth.wellFormed && given.wellFormed && sameAnswer(truth.answer, given.answer);
}

/**
 * The verdict of a task that has rewards: the mean of their scores by weight, and beside it whether
 * the completion is right.
 * @param ask one reward by its index, or `correct`
 */
export async function verdictBy<Data>(
  task: Pick<Task<Data>, 'correct' | 'gold'> & { readonly rewards: readonly Reward<Data>[] },
  problem: Problem<Data>,
  completion: string,
  ask: (which: number | 'correct') => Promise<Outcome>,
): Promise<Verdict> {
  const { rewards, correct, gold } = task;
  const [right, ...outcomes] = await Promise.all([
    correct === undefined ? { score: isGold(gold(problem), completion) ? 1 : 0 } : ask('correct'),
    ...rewards.map((_, i) => ask(i)),
  ]);
  return verdictOf(rewards, outcomes, completion, right);
}

function verdictOf<Data>(
  rewards: readonly Reward<Data>[],
  outcomes: readonly Outcome[],
  completion: string,
  right: Outcome,
): Verdict {
  const total = rewards.reduce((sum, { weight = 1 }) => sum + weight, 0);
  let reward = 0;
  const reasons = rewards.map(({ name, weight = 1 }, i) => {
    const outcome = outcomes[i];
    if ('failed' in outcome) return `${name} failed: ${outcome.failed}`;
    reward += (weight * outcome.score) / total;
    return `${name} ${Number(outcome.score.toFixed(3))}`;
  });
  if ('failed' in right) reasons.push(`correct failed: ${right.failed}`);
  return {
    reward,
    correct: 'score' in right && right.score === 1,
    wellFormed: parseCompletion(completion).wellFormed,
    reason: oneLine(reasons.join(', ')),
  };
}
