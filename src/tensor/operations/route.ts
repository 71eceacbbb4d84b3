/**
 * @file The gate of DeepSeekMoE: which experts a token goes to, and how much each counts
 * (DeepSeek-V3, arXiv:2412.19437, section 2.1.2).
 *
 * Scores s = σ(logits). Experts are chosen by s + bias, where the bias is moved after each step so
 * that all experts get work (auxiliary-loss-free balancing, equation 16), and weighted by s alone:
 * w = scale · s / Σ s over the chosen. With S = Σ s and the chosen fixed, ds_j = scale/S · (dw_j −
 * Σ_i dw_i·s_i/S), and σ′ = s(1 − s).
 *
 * The complementary balance loss (equations 17–20) is one of the routing of a sequence, not of what
 * the model says, so its derivative enters here: c·Σ_t Σ_e f_e·s'_te with s' = s/Σ s gives ds_te =
 * c·(f_e − Σ_j f_j·s'_tj)/Σ_j s_tj.
 */
import { matrixOf, type RouteOptions, type Tensor } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import type { Minus } from './reference-kernel.js';

export interface BalanceOptions {
  /** i32 [S + 1], as for attention. */
  segments: Tensor;
  /** α, times what a token counts in the loss. */
  coefficient: number;
  /** f32 [1]: the backward pass adds the loss's value. */
  loss: Tensor;
}

export interface Routing {
  /** i32 [N, K]. */
  experts: Tensor;
  /** [N, K]. */
  weights: Variable;
}

/**
 * @param logits [N, E]
 * @param bias f32 [E]
 * @param topK experts a token: K
 * @param balance adds the balance loss; leave out for none
 */
export function route(
  tape: Tape,
  logits: Variable,
  bias: Tensor,
  topK: number,
  options: RouteOptions,
  balance?: BalanceOptions,
): Routing {
  const { backend } = tape;
  const { rows, columns } = matrixOf(logits.value);
  const weights = tape.output([rows, topK], logits);
  const experts = backend.allocate('i32', [rows, topK]);
  const scores = backend.allocate('f32', [rows, columns]);
  backend.route(experts, weights.value, scores, logits.value, bias, options);
  tape.record(weights, (gradient) => {
    const slot = tape.gradientOf(logits);
    if (!slot) return;
    backend.routeBackward(slot.tensor, gradient, experts, scores, options, slot.accumulate);
    if (balance)
      backend.balanceLoss(
        slot.tensor,
        balance.loss,
        scores,
        experts,
        balance.segments,
        balance.coefficient,
      );
  });
  return { experts, weights };
}

const TINY = 1e-20;
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Indices of the `count` largest of `values`, the larger first, equals by index. */
function largest(values: readonly number[], count: number): number[] {
  return values
    .map((_, i) => i)
    .sort((i, j) => values[j] - values[i] || i - j)
    .slice(0, count);
}

/** `width` is E, `topK` K. */
export function routeReference(
  experts: Int32Array,
  weights: Float64Array,
  scores: Float64Array,
  logits: Float64Array,
  bias: Float64Array,
  topK: number,
  options: RouteOptions,
): void {
  const { groups, topGroups, normalize, scale } = options;
  const width = bias.length;
  const size = width / groups;
  for (let n = 0; n * width < logits.length; n++) {
    const own = Array.from(logits.subarray(n * width, (n + 1) * width), sigmoid);
    scores.set(own, n * width);
    const biased = own.map((score, e) => score + bias[e]);
    const groupScores = Array.from({ length: groups }, (_, g) => {
      const inside = biased.slice(g * size, (g + 1) * size).sort((a, b) => b - a);
      return inside[0] + (inside[1] ?? 0);
    });
    const open = new Set(largest(groupScores, topGroups));
    const allowed = biased.map((score, e) =>
      open.has(Math.floor(e / size)) ? score : Number.NEGATIVE_INFINITY,
    );
    const chosen = largest(allowed, topK);
    const sum = normalize ? chosen.reduce((total, e) => total + own[e], 0) + TINY : 1;
    chosen.forEach((e, k) => {
      experts[n * topK + k] = e;
      weights[n * topK + k] = (scale * own[e]) / sum;
    });
  }
}

export function routeBackwardReference(
  dLogits: Float64Array,
  dWeights: Float64Array,
  experts: Int32Array,
  scores: Float64Array,
  width: number,
  topK: number,
  { normalize, scale }: RouteOptions,
  accumulate: boolean,
  minus: Minus,
): void {
  if (!accumulate) dLogits.fill(0);
  for (let n = 0; n * width < scores.length; n++) {
    let sum = 0;
    let weighted = 0;
    for (let k = 0; k < topK; k++) {
      const s = scores[n * width + experts[n * topK + k]];
      sum += s;
      weighted += dWeights[n * topK + k] * s;
    }
    if (normalize) sum += TINY;
    for (let k = 0; k < topK; k++) {
      const e = n * width + experts[n * topK + k];
      const dw = dWeights[n * topK + k];
      const ds = normalize ? (scale * minus(dw, weighted / sum)) / sum : scale * dw;
      dLogits[e] += ds * scores[e] * (1 - scores[e]);
    }
  }
}

export function balanceLossReference(
  dLogits: Float64Array,
  loss: Float64Array,
  scores: Float64Array,
  experts: Int32Array,
  segments: Int32Array,
  width: number,
  topK: number,
  coefficient: number,
  minus: Minus,
): void {
  for (let s = 0; s + 1 < segments.length; s++) {
    const tokens = segments[s + 1] - segments[s];
    const f = new Float64Array(width);
    for (let i = segments[s] * topK; i < segments[s + 1] * topK; i++)
      f[experts[i]] += width / (topK * tokens);
    for (let n = segments[s]; n < segments[s + 1]; n++) {
      const own = scores.subarray(n * width, (n + 1) * width);
      const sum = own.reduce((a, b) => a + b, 0);
      const mean = own.reduce((total, score, e) => total + (f[e] * score) / sum, 0);
      loss[0] += coefficient * mean;
      for (let e = 0; e < width; e++) {
        dLogits[n * width + e] += (coefficient * minus(f[e], mean) * own[e] * (1 - own[e])) / sum;
      }
    }
  }
}
