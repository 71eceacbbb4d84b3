/**
 * @file The gate of DeepSeekMoE: which experts a token goes to, and how much each counts
 * (DeepSeek-V3, arXiv:2412.19437, section 2.1.2).
 *
 * Scores s = σ(logits). Experts are chosen by s + bias, where the bias is moved after each step so
 * that all experts get work (auxiliary-loss-free balancing, equation 16), and weighted by s alone:
 * w = scale · s / Σ s over the chosen. With S = Σ s and the chosen fixed, ds_j = scale/S · (dw_j −
 * Σ_i dw_i·s_i/S), and σ′ = s(1 − s).
 *
 * With `softmax` the scores are softmax(logits), as in Mixtral (arXiv:2401.04088, section 2.1) and
 * Qwen3; then dlogits_e = s_e·(ds_e − Σ_j ds_j·s_j), for experts that were not chosen too.
 *
 * The complementary balance loss (equations 17–20) is one of the routing of a sequence, not of what
 * the model says, so its derivative enters here: c·Σ_t Σ_e f_e·s'_te with s' = s/Σ s gives ds_te =
 * c·(f_e − Σ_j f_j·s'_tj)/Σ_j s_tj.
 */
import { matrixOf, type Tensor } from '../backend.js';
import type { Tape, Variable } from '../tape.js';
import { prefixOf, type Sequences } from './attention.js';
import { type ArgumentsOf, count, declare, f32, flag, i32, optional, or, real } from './declare.js';
import { at, clearUnless, put } from './reference-kernel.js';

/**
 * Groups are of equally many experts; a token uses experts of `topGroups` of them (1 and 1: any
 * expert). `normalize` divides a token's weights by their sum, `scale` multiplies them. `softmax`:
 * scores are shares of all experts instead of sigmoids.
 */
export type RouteOptions = Pick<
  ArgumentsOf<typeof routeOperations.route>,
  'groups' | 'topGroups' | 'normalize' | 'scale' | 'softmax'
>;

/** Segments as for attention. */
export interface BalanceOptions extends Sequences {
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
  backend.route({
    experts,
    weights: weights.value,
    scores,
    logits: logits.value,
    bias,
    ...options,
  });
  tape.record(weights, (gradient) => {
    const slot = tape.gradientOf(logits);
    if (!slot) return;
    backend.routeBackward({
      dLogits: slot.tensor,
      dWeights: gradient,
      experts,
      scores,
      ...options,
      accumulate: slot.accumulate,
    });
    if (balance)
      backend.balanceLoss({
        dLogits: slot.tensor,
        loss: balance.loss,
        scores,
        experts,
        segments: balance.segments,
        prefixes: balance.prefixes ?? null,
        coefficient: balance.coefficient,
      });
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

/** Shares of e^x. */
function softmaxOf(row: readonly number[]): number[] {
  const largest = Math.max(...row);
  const powers = row.map((x) => Math.exp(x - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((x) => x / sum);
}

const weighing = { normalize: flag(), scale: real(), softmax: or(false, flag()) };

export const routeOperations = {
  /**
   * scores = σ(logits), or softmax(logits). A token's K experts are those with the largest scores + bias among the
   * `topGroups` groups whose two largest biased scores have the largest sums (the largest alone,
   * where a group is one expert); the larger first, equals by index. weights are the scores of
   * those experts, normalised (sums + 1e-20, as the released code has it) and scaled.
   */
  route: declare({
    args: {
      experts: i32('N', 'K'),
      weights: f32('N', 'K'),
      scores: f32('N', 'E'),
      logits: f32('N', 'E'),
      bias: f32('E'),
      groups: count(),
      topGroups: count(),
      ...weighing,
    },
    where: ['E = groups*size', 'topGroups <= groups', 'K <= topGroups*size'],
    reference(t, { N, E, K, size, groups, topGroups, normalize, scale, softmax }) {
      const { experts, weights, scores, logits, bias } = t;
      for (let n = 0; n < N; n++) {
        const row = Array.from({ length: E }, (_, e) => at(logits, n, e));
        const own = softmax ? softmaxOf(row) : row.map(sigmoid);
        own.forEach((score, e) => {
          put(scores, n, e, score);
        });
        const biased = own.map((score, e) => score + bias[e]);
        const groupScores = Array.from({ length: groups }, (_, g) => {
          const inside = biased.slice(g * size, (g + 1) * size).sort((a, b) => b - a);
          return inside[0] + (inside[1] ?? 0);
        });
        const open = new Set(largest(groupScores, topGroups));
        const allowed = biased.map((score, e) =>
          open.has(Math.floor(e / size)) ? score : Number.NEGATIVE_INFINITY,
        );
        const chosen = largest(allowed, K);
        const sum = normalize ? chosen.reduce((total, e) => total + own[e], 0) + TINY : 1;
        chosen.forEach((e, k) => {
          experts[n * K + k] = e;
          put(weights, n, k, (scale * own[e]) / sum);
        });
      }
    },
  }),
  /** Logits of experts that were not taken get 0 from sigmoids; the choice has no derivative. */
  routeBackward: declare({
    args: {
      dLogits: f32('N', 'E'),
      dWeights: f32('N', 'K'),
      experts: i32('N', 'K'),
      scores: f32('N', 'E'),
      ...weighing,
      accumulate: flag(),
    },
    reference(t, { N, E, K, normalize, scale, softmax, accumulate }, minus) {
      const { dLogits, dWeights, experts, scores } = t;
      clearUnless(accumulate, dLogits);
      for (let n = 0; n < N; n++) {
        let sum = 0;
        let weighted = 0;
        for (let k = 0; k < K; k++) {
          const s = at(scores, n, experts[n * K + k]);
          sum += s;
          weighted += at(dWeights, n, k) * s;
        }
        if (normalize) sum += TINY;
        let mean = 0;
        for (let k = 0; k < K; k++) {
          const e = experts[n * K + k];
          const s = at(scores, n, e);
          const dw = at(dWeights, n, k);
          const ds = normalize ? (scale * minus(dw, weighted / sum)) / sum : scale * dw;
          mean += ds * s;
          put(dLogits, n, e, softmax ? ds * s : ds * s * (1 - s), true);
        }
        for (let e = 0; softmax && e < E; e++)
          put(dLogits, n, e, minus(0, at(scores, n, e) * mean), true);
      }
    },
  }),
  /**
   * The complementary sequence-wise balance loss, value and derivative at once, both added: for
   * each sequence of T rows, loss[0] += coefficient·T·Σ f·P over experts e, where f = E/(K·T)·(rows
   * that took e) and P = mean over the sequence of e's share score/Σ scores; dLogits += its
   * derivative (f has none). So `coefficient` is per token.
   *
   * A sequence is a segment with its prefix, where it has one; a segment that is the prefix of
   * others is no sequence of its own. As the loss is linear in f, a row of a prefix takes the sum of
   * the f of the sequences that go on from it.
   */
  balanceLoss: declare({
    args: {
      dLogits: f32('N', 'E'),
      loss: f32('1'),
      scores: f32('N', 'E'),
      experts: i32('N', 'K'),
      segments: i32('S + 1'),
      prefixes: optional(i32('S')),
      coefficient: real(),
    },
    ends: { segments: 'N' },
    reference(t, { S, E, K, coefficient }, minus) {
      const { dLogits, loss, scores, experts, segments, prefixes } = t;
      const f = Array.from({ length: S }, () => new Float64Array(E));
      const before = Array.from({ length: S }, (_, s) => prefixOf(prefixes, s));
      for (let s = 0; s < S; s++) {
        if (before.includes(s)) continue;
        const prefix = before[s];
        const runs = prefix < 0 ? [s] : [prefix, s];
        const tokens = runs.reduce((sum, run) => sum + segments[run + 1] - segments[run], 0);
        const share = E / (K * tokens);
        for (const run of runs) {
          for (let i = segments[run] * K; i < segments[run + 1] * K; i++)
            for (const own of runs) f[own][experts[i]] += share;
        }
      }
      for (let s = 0; s < S; s++) {
        for (let n = segments[s]; n < segments[s + 1]; n++) {
          const own = Array.from({ length: E }, (_, e) => at(scores, n, e));
          const sum = own.reduce((a, b) => a + b, 0);
          const mean = own.reduce((total, score, e) => total + (f[s][e] * score) / sum, 0);
          loss[0] += coefficient * mean;
          for (let e = 0; e < E; e++) {
            const derivative = coefficient * minus(f[s][e], mean) * own[e] * (1 - own[e]);
            put(dLogits, n, e, derivative / sum, true);
          }
        }
      }
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    route: typeof routeOperations.route;
    routeBackward: typeof routeOperations.routeBackward;
    balanceLoss: typeof routeOperations.balanceLoss;
  }
}
