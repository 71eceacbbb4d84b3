/**
 * @file A projection by the name of its weight: the one place through which every model multiplies
 * by a weight matrix, so that what changes a matrix without changing the model (an adapter beside
 * it, frozen numbers under it) is added here and nowhere else.
 */
import { type LinearOptions, linear } from '../tensor/operations/linear.js';
import { linearFp8 } from '../tensor/operations/linear-fp8.js';
import type { Tape, Variable } from '../tensor/tape.js';
import type { ParameterStore } from './parameters.js';

/**
 * x · weightᵀ (+ bias) (+ residual) with the parameter, or the fused group, called `name`, and what
 * its adapter adds. x [N, K], weight [M, K] → [N, M].
 */
export function project(
  tape: Tape,
  store: ParameterStore,
  name: string,
  x: Variable,
  options: LinearOptions = {},
): Variable {
  const adapter = store.adapterOf(name);
  if (store.numerics === 'fp8' && !adapter) return linearFp8(tape, x, store.get(name), options);
  return linear(tape, x, store.get(name), { ...options, adapter });
}
