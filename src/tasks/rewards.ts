/**
 * @file Rewards of a user's own: plain functions, one or several with weights, each by itself.
 *
 * A reward is given one completion and returns a number, or true and false for 1 and 0; it may be
 * async. What throws, hangs or returns no number scores 0 with its reason, and the other rewards
 * count as ever. The first reward says whether the completion is right: it is when it scores at
 * least 1.
 */
import { parseCompletion } from './completion.js';
import { oneLine } from './pool.js';
import type { Problem, Reward, Verdict } from './task.js';

/** One reward of one completion. */
export type Outcome = { readonly score: number } | { readonly failed: string };

/** Asks one reward; never throws. */
export async function scoreOf<Data>(
  reward: Reward<Data>,
  problem: Problem<Data>,
  completion: string,
): Promise<Outcome> {
  const parsed = parseCompletion(completion);
  const parts = parsed.wellFormed ? parsed : { thinking: null, answer: null };
  try {
    const { thinking, answer } = parts;
    const score = await reward.score({ problem, completion, thinking, answer });
    if (typeof score === 'boolean') return { score: score ? 1 : 0 };
    if (typeof score === 'number' && Number.isFinite(score)) return { score };
    return { failed: `returns ${typeof score === 'number' ? score : typeof score}, not a number` };
  } catch (error) {
    return { failed: `throws ${oneLine(error instanceof Error ? error.message : String(error))}` };
  }
}

/** The verdict that outcomes add up to: the mean of the scores by weight. */
export function verdictOf<Data>(
  rewards: readonly Reward<Data>[],
  outcomes: readonly Outcome[],
  completion: string,
): Verdict {
  const total = rewards.reduce((sum, { weight = 1 }) => sum + weight, 0);
  let reward = 0;
  const reasons = rewards.map(({ name, weight = 1 }, i) => {
    const outcome = outcomes[i];
    if ('failed' in outcome) return `${name} failed: ${outcome.failed}`;
    reward += (weight * outcome.score) / total;
    return `${name} ${Number(outcome.score.toFixed(3))}`;
  });
  const [first] = outcomes;
  const correct = 'score' in first && first.score >= 1;
  return {
    reward,
    correct,
    wellFormed: parseCompletion(completion).wellFormed,
    reason: oneLine(reasons.join(', ')),
  };
}
