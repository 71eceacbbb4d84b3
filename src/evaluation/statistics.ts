/**
 * @file The statistics of an evaluation: what a model's accuracy is, and how sure we are.
 *
 * Sampled accuracy averages several completions of each problem. Completions of one problem are not
 * independent draws, so the uncertainty comes from the spread between problems (clustered standard
 * errors; Miller 2024, "Adding Error Bars to Evals", arXiv:2411.00640, section 2.2), not from the
 * number of completions.
 */

/** Two-sided 95%. */
export const Z_95 = 1.959963984540054;

export interface Estimate {
  mean: number;
  /** Lower and upper end of the 95% interval. */
  low: number;
  high: number;
}

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
 * Wilson's score interval (1927) for a proportion of independent trials; never leaves [0, 1].
 * Without trials: 0 to 1.
 */
export function wilsonInterval(successes: number, trials: number): Estimate {
  if (trials === 0) return { mean: Number.NaN, low: 0, high: 1 };
  const p = successes / trials;
  const z2 = Z_95 * Z_95;
  const centre = (p + z2 / (2 * trials)) / (1 + z2 / trials);
  const half =
    (Z_95 / (1 + z2 / trials)) * Math.sqrt((p * (1 - p)) / trials + z2 / (4 * trials * trials));
  return {
    mean: p,
    low: Math.max(0, Math.min(p, centre - half)),
    high: Math.min(1, Math.max(p, centre + half)),
  };
}

/**
 * Mean over problems of a value in [0, 1] that was averaged over each problem's samples, with a
 * normal interval from the spread between problems, kept within [0, 1]. Where all problems agree on
 * 0 or on 1 the spread says nothing: Wilson's interval over problems is given instead of a width of
 * zero.
 * @param perProblem one value a problem, for example the share of its samples that were correct
 */
export function clusteredInterval(perProblem: readonly number[]): Estimate {
  const n = perProblem.length;
  if (n === 0) return { mean: Number.NaN, low: 0, high: 1 };
  const mean = perProblem.reduce((sum, value) => sum + value, 0) / n;
  let squares = 0;
  for (const value of perProblem) squares += (value - mean) ** 2;
  if (squares === 0 && (mean === 0 || mean === 1)) return wilsonInterval(mean * n, n);
  // One problem has no spread to measure.
  const half = n === 1 ? 1 : Z_95 * Math.sqrt(squares / (n - 1) / n);
  return { mean, low: Math.max(0, mean - half), high: Math.min(1, mean + half) };
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
