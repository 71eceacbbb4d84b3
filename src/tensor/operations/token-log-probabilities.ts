/**
 * @file The head and the softmax as one operation: how likely was each target, and how undecided
 * was the model.
 *
 * With logits z = hidden · headᵀ / T and p = softmax(z): log p[target] = z[target] − log Σ exp(z),
 * and the entropy is log Σ exp(z) − Σ p·z. Logits of all rows at once would be the largest array of
 * a training step (rows × vocabulary), so no backend stores them: only log Σ exp(z) of each row is
 * kept, and the derivative dz = g·(1[target] − p)/T recomputes p.
 */
import { matrixOf, type Tensor } from '../backend.js';
import { type Tape, Variable } from '../tape.js';
import {
  at,
  clearUnless,
  demand,
  dot,
  logSumExp as logSumExpOf,
  type Matrix,
  type Minus,
  put,
} from './reference-kernel.js';

export interface TokenLogProbabilities {
  /** [N], in nats. */
  logProbabilities: Variable;
  /** [N], in nats; it has no derivative. */
  entropy: Tensor;
}

/**
 * @param hidden [N, D]
 * @param head [V, D]; a bare `Tensor` is frozen
 * @param targets i32 [N]
 */
export function tokenLogProbabilities(
  tape: Tape,
  hidden: Variable,
  head: Variable | Tensor,
  targets: Tensor,
  temperature = 1,
): TokenLogProbabilities {
  const { backend } = tape;
  const headVariable = head instanceof Variable ? head : new Variable(head, false);
  const { rows: n, columns: d } = matrixOf(hidden.value);
  demand(
    headVariable.shape[1] === d,
    `tokenLogProbabilities: hidden has ${d} columns, the head ${headVariable.shape[1]}`,
  );
  demand(temperature > 0, `tokenLogProbabilities: temperature ${temperature} is not positive`);
  const out = tape.output([n], hidden, headVariable);
  const entropy = backend.allocate('f32', [n]);
  const logSumExp = backend.allocate('f32', [n]);
  backend.tokenLogProbabilities(
    out.value,
    entropy,
    logSumExp,
    hidden.value,
    headVariable.value,
    targets,
    temperature,
  );
  tape.record(out, (gradient) => {
    const dHidden = tape.gradientOf(hidden);
    const dHead = tape.gradientOf(headVariable);
    backend.tokenLogProbabilitiesBackward(
      dHidden?.tensor ?? null,
      dHead?.tensor ?? null,
      gradient,
      logSumExp,
      hidden.value,
      headVariable.value,
      targets,
      temperature,
      { dHidden: dHidden?.accumulate ?? false, dHead: dHead?.accumulate ?? false },
    );
  });
  return { logProbabilities: out, entropy };
}

/** One row's logits, divided by the temperature. */
function logitsOf(hidden: Matrix, n: number, head: Matrix, temperature: number): Float64Array {
  const logits = new Float64Array(head.rows);
  for (let v = 0; v < head.rows; v++)
    logits[v] = dot(hidden, n, 0, head, v, 0, hidden.columns) / temperature;
  return logits;
}

export function tokenLogProbabilitiesReference(
  logProbabilities: Float64Array,
  entropy: Float64Array,
  logSumExp: Float64Array,
  hidden: Matrix,
  head: Matrix,
  targets: Int32Array,
  temperature: number,
  minus: Minus,
): void {
  for (let n = 0; n < hidden.rows; n++) {
    demand(
      targets[n] >= 0 && targets[n] < head.rows,
      `tokenLogProbabilities: target ${targets[n]} is not among ${head.rows}`,
    );
    const logits = logitsOf(hidden, n, head, temperature);
    const lse = logSumExpOf(logits);
    let meanLogit = 0;
    for (const logit of logits) meanLogit += Math.exp(logit - lse) * logit;
    logSumExp[n] = lse;
    logProbabilities[n] = minus(logits[targets[n]], lse);
    entropy[n] = minus(lse, meanLogit);
  }
}

export function tokenLogProbabilitiesBackwardReference(
  dHidden: Matrix | null,
  dHead: Matrix | null,
  dLogProbabilities: Float64Array,
  logSumExp: Float64Array,
  hidden: Matrix,
  head: Matrix,
  targets: Int32Array,
  temperature: number,
  accumulate: { dHidden: boolean; dHead: boolean },
  minus: Minus,
): void {
  if (dHidden) clearUnless(accumulate.dHidden, dHidden);
  if (dHead) clearUnless(accumulate.dHead, dHead);
  for (let n = 0; n < hidden.rows; n++) {
    const logits = logitsOf(hidden, n, head, temperature);
    for (let v = 0; v < head.rows; v++) {
      const p = Math.exp(logits[v] - logSumExp[n]);
      const dLogit = (dLogProbabilities[n] * minus(v === targets[n] ? 1 : 0, p)) / temperature;
      for (let d = 0; d < hidden.columns; d++) {
        if (dHidden) put(dHidden, n, d, dLogit * at(head, v, d), true);
        if (dHead) put(dHead, v, d, dLogit * at(hidden, n, d), true);
      }
    }
  }
}
