/**
 * @file Choosing a token with a request's own rules: temperature, top-k, top-p, min-p, biases, and
 * a set of tokens that may come.
 *
 * Biases come first, then tokens that may not come go, then the temperature, then top-k, top-p
 * (nucleus sampling, Holtzman et al. 2020) and min-p (Nguyen et al. 2024), each on what the one
 * before has left, as in vLLM. What is left is drawn from by inverting its cumulative distribution
 * in the order of tokens, as `Backend.sample` does. All in float64, a row at a time.
 */

export interface Choosing {
  /** 0 takes the most likely token. */
  temperature: number;
  /** Keep the most likely tokens that together have this probability; 1 keeps all. */
  topP: number;
  /** Keep this many; 0 keeps all. */
  topK: number;
  /** Keep tokens at least this likely relative to the most likely one; 0 keeps all. */
  minP: number;
  /** Added to logits, by token. */
  bias: ReadonlyMap<number, number> | null;
}

/** The rules of a request that says no more than these. */
export const choosingOf = ({
  temperature,
  topP = 1,
  topK = 0,
}: Partial<Choosing> & { temperature: number }): Choosing => ({
  temperature,
  topP,
  topK,
  minP: 0,
  bias: null,
});

/** True when `Backend.sample` does all that is asked for. */
export function isPlain({ temperature, topP, topK, minP, bias }: Choosing): boolean {
  return (temperature === 0 || (topP === 1 && topK === 0 && minP === 0)) && bias === null;
}

/** log Σ eˡ of a row. */
export function logSumExp(logits: ArrayLike<number>): number {
  let top = Number.NEGATIVE_INFINITY;
  for (let v = 0; v < logits.length; v++) if (logits[v] > top) top = logits[v];
  let sum = 0;
  for (let v = 0; v < logits.length; v++) sum += Math.exp(logits[v] - top);
  return top + Math.log(sum);
}

/**
 * The n most likely tokens and their log-probabilities under the model itself (temperature 1,
 * nothing left out).
 */
export function topTokens(
  logits: ArrayLike<number>,
  n: number,
): { id: number; logProbability: number }[] {
  const lse = logSumExp(logits);
  const best: number[] = [];
  for (let v = 0; v < logits.length && n > 0; v++) {
    if (best.length === n && logits[v] <= logits[best[n - 1]]) continue;
    let at = best.length;
    while (at > 0 && logits[best[at - 1]] < logits[v]) at--;
    best.splice(at, 0, v);
    if (best.length > n) best.pop();
  }
  return best.map((id) => ({ id, logProbability: logits[id] - lse }));
}

/** What a row of logits gives each token, not normalised. */
export interface Distribution {
  weights: Float64Array;
  /** Sum of the weights. */
  total: number;
}

/**
 * The distribution that a token is drawn from; all of it on the most likely token at temperature 0.
 * @param allowed 1 for each token that may come; null for all. At least one must be allowed.
 */
export function weigh(
  logits: ArrayLike<number>,
  { temperature, topP, topK, minP, bias }: Choosing,
  allowed: Uint8Array | null,
): Distribution {
  const n = logits.length;
  const z = new Float64Array(n);
  let top = Number.NEGATIVE_INFINITY;
  let best = 0;
  for (let v = 0; v < n; v++) {
    z[v] =
      allowed === null || allowed[v] === 1
        ? logits[v] + (bias?.get(v) ?? 0)
        : Number.NEGATIVE_INFINITY;
    if (z[v] > top) [top, best] = [z[v], v];
  }
  if (temperature === 0 || top === Number.NEGATIVE_INFINITY) {
    z.fill(0);
    z[best] = 1;
    return { weights: z, total: 1 };
  }
  let total = 0;
  for (let v = 0; v < n; v++) {
    z[v] = Math.exp((z[v] - top) / temperature);
    total += z[v];
  }
  if (topK > 0 || topP < 1) {
    // Sorted: only what could be kept. The rest together is too little to matter for top-p, or is
    // cut by top-k.
    const order: number[] = [];
    for (let v = 0; v < n; v++) if (z[v] > 0) order.push(v);
    order.sort((a, b) => z[b] - z[a] || a - b);
    let keep = topK > 0 ? Math.min(topK, order.length) : order.length;
    if (topP < 1) {
      let mass = 0;
      for (let i = 0; i < keep; i++) mass += z[order[i]];
      let seen = 0;
      let i = 0;
      while (i < keep && (i === 0 || seen < topP * mass)) seen += z[order[i++]];
      keep = i;
    }
    for (let i = keep; i < order.length; i++) z[order[i]] = 0;
    total = 0;
    for (let v = 0; v < n; v++) total += z[v];
  }
  if (minP > 0) {
    total = 0;
    for (let v = 0; v < n; v++) {
      if (z[v] < minP) z[v] = 0;
      total += z[v];
    }
  }
  return { weights: z, total };
}

/** The token that `uniform` (in [0, 1)) falls on. */
export function pick({ weights, total }: Distribution, uniform: number): number {
  let cumulative = 0;
  let chosen = 0;
  for (let v = 0; v < weights.length; v++) {
    if (weights[v] > 0) chosen = v;
    cumulative += weights[v];
    if (cumulative > uniform * total) break;
  }
  return chosen;
}

/** `pick` of `weigh`. */
export function choose(
  logits: ArrayLike<number>,
  choosing: Choosing,
  allowed: Uint8Array | null,
  uniform: number,
): number {
  return pick(weigh(logits, choosing, allowed), uniform);
}
