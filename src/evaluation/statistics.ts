/**
 * @file The statistics of an evaluation: what a model's accuracy is, and how sure we are.
 *
 * Sampled accuracy averages several completions of each problem. Completions of one problem are not
 * independent draws, so the problems are the trials: the interval is Wilson's over problems, the
 * same in `train`, the bill, the studio and `eval` (Miller 2024, "Adding Error Bars to Evals",
 * arXiv:2411.00640, on clustering by problem).
 */

import { type Interval95 as Estimate, wilsonInterval, Z_95 } from '../base/intervals.js';

export { type Interval95 as Estimate, wilsonInterval, Z_95 } from '../base/intervals.js';

/**
 * Unbiased pass@k of one problem from n samples, c of them correct: 1 − C(n − c, k)/C(n, k), in the
 * product form that never overflows (Chen et al. 2021, arXiv:2107.03374, eq. 1 and figure 3).
 * @throws RangeError unless 0 ≤ c ≤ n and 1 ≤ k ≤ n
 */
export function passAtK(n: number, c: number, k: number): number {
  if (!(c >= 0 && c <= n && k >= 1 && k <= n))
    throw new RangeError(`pass@${k} of ${c} correct among ${n} is undefined`);
  if (n - c < k) return 1;
  let allWrong = 1;
  for (let i = n - c + 1; i <= n; i++) allWrong *= 1 - k / i;
  return 1 - allWrong;
}

/**
 * Mean over problems of a value in [0, 1] that was averaged over each problem's samples, with
 * Wilson's interval over the problems: samples of one problem are not independent.
 * @param perProblem one value a problem, for example the share of its samples that were correct
 */
export function clusteredInterval(perProblem: readonly number[]): Estimate {
  return wilsonInterval(
    perProblem.reduce((sum, value) => sum + value, 0),
    perProblem.length,
  );
}

/**
 * Mean over problems of any number, with a normal interval from the spread between them; of one
 * problem, no width.
 */
export function meanInterval(perProblem: readonly number[]): Estimate {
  const n = perProblem.length;
  if (n === 0) return { mean: Number.NaN, low: Number.NaN, high: Number.NaN };
  const mean = perProblem.reduce((sum, value) => sum + value, 0) / n;
  const squares = perProblem.reduce((sum, value) => sum + (value - mean) ** 2, 0);
  const half = n === 1 ? 0 : Z_95 * Math.sqrt(squares / (n - 1) / n);
  return { mean, low: mean - half, high: mean + half };
}

/**
 * The answer that most samples gave, the earliest on a tie (Wang et al. 2023, self-consistency).
 * `null` stands for a sample without an answer, which has no vote.
 */
export function majorityVote<Answer>(answers: readonly (Answer | null)[]): Answer | null {
  const votes = new Map<Answer, number>();
  for (const answer of answers)
    if (answer !== null) votes.set(answer, (votes.get(answer) ?? 0) + 1);
  let best: Answer | null = null;
  let most = 0;
  for (const [answer, count] of votes) {
    if (count > most) {
      best = answer;
      most = count;
    }
  }
  return best;
}
