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
import { declare, f32, flags, i32, optional, positive, weights } from './declare.js';
import {
  at,
  clearUnless,
  demand,
  dot,
  logSumExp as logSumExpOf,
  type Matrix,
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
  backend.tokenLogProbabilities({
    logProbabilities: out.value,
    entropy,
    logSumExp,
    hidden: hidden.value,
    head: headVariable.value,
    targets,
    temperature,
  });
  tape.record(out, (gradient) => {
    const dHidden = tape.gradientOf(hidden);
    const dHead = tape.gradientOf(headVariable);
    backend.tokenLogProbabilitiesBackward({
      dHidden: dHidden?.tensor ?? null,
      dHead: dHead?.tensor ?? null,
      dLogProbabilities: gradient,
      logSumExp,
      hidden: hidden.value,
      head: headVariable.value,
      targets,
      temperature,
      accumulate: { dHidden: dHidden?.accumulate ?? false, dHead: dHead?.accumulate ?? false },
    });
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

export const tokenLogProbabilitiesOperations = {
  /**
   * logProbabilities[n] = log softmax(hidden[n] · headᵀ / temperature)[targets[n]], and the entropy
   * of that distribution (nats). The logits [N, V] are never materialised as a whole: rows go in
   * chunks. logSumExp is kept for the derivative.
   */
  tokenLogProbabilities: declare({
    args: {
      logProbabilities: f32('N'),
      entropy: f32('N'),
      logSumExp: f32('N'),
      hidden: f32('N', 'D'),
      head: weights('V', 'D'),
      targets: i32('N'),
      temperature: positive(),
    },
    reference(t, { N, V, temperature }, minus) {
      const { logProbabilities, entropy, logSumExp, hidden, head, targets } = t;
      for (let n = 0; n < N; n++) {
        const target = targets[n];
        demand(
          target >= 0 && target < V,
          `tokenLogProbabilities: target ${target} is not among ${V}`,
        );
        const logits = logitsOf(hidden, n, head, temperature);
        const lse = logSumExpOf(logits);
        let meanLogit = 0;
        for (const logit of logits) meanLogit += Math.exp(logit - lse) * logit;
        logSumExp[n] = lse;
        logProbabilities[n] = minus(logits[target], lse);
        entropy[n] = minus(lse, meanLogit);
      }
    },
  }),
  /** `null` for a derivative that is not wanted; a frozen head has none. The entropy has none. */
  tokenLogProbabilitiesBackward: declare({
    args: {
      dHidden: optional(f32('N', 'D')),
      dHead: optional(f32('V', 'D')),
      dLogProbabilities: f32('N'),
      logSumExp: f32('N'),
      hidden: f32('N', 'D'),
      head: weights('V', 'D'),
      targets: i32('N'),
      temperature: positive(),
      accumulate: flags('dHidden', 'dHead'),
    },
    refuse: ({ dHead, head }) =>
      dHead && head.dtype === 'frozen' ? 'a frozen head has no derivative' : null,
    reference(t, { N, V, D, temperature, accumulate }, minus) {
      const { dHidden, dHead, dLogProbabilities, logSumExp, hidden, head, targets } = t;
      if (dHidden) clearUnless(accumulate.dHidden, dHidden);
      if (dHead) clearUnless(accumulate.dHead, dHead);
      for (let n = 0; n < N; n++) {
        const logits = logitsOf(hidden, n, head, temperature);
        for (let v = 0; v < V; v++) {
          const p = Math.exp(logits[v] - logSumExp[n]);
          const dLogit = (dLogProbabilities[n] * minus(v === targets[n] ? 1 : 0, p)) / temperature;
          for (let d = 0; d < D; d++) {
            if (dHidden) put(dHidden, n, d, dLogit * at(head, v, d), true);
            if (dHead) put(dHead, v, d, dLogit * at(hidden, n, d), true);
          }
        }
      }
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    tokenLogProbabilities: typeof tokenLogProbabilitiesOperations.tokenLogProbabilities;
    tokenLogProbabilitiesBackward: typeof tokenLogProbabilitiesOperations.tokenLogProbabilitiesBackward;
  }
}
