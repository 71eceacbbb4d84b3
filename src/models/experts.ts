/**
 * @file A mixture of routed experts (Shazeer et al. 2017, arXiv:1701.06538): a gate chooses a few
 * experts for each token, and what they make of it is added up by the gate's weights.
 *
 * All experts of a layer are two stacks of matrices, multiplied group by group; DeepSeek-V3's gate
 * takes sigmoids, a bias and groups, Mixtral's and Qwen3's a softmax.
 */
import type { Tensor } from '../tensor/backend.js';
import {
  combineRows,
  dispatchRows,
  groupedMatmul,
  groupedMatmulFp8,
  linear,
  type RouteOptions,
  route,
  sortByExpert,
  swiglu,
} from '../tensor/index.js';
import type { Tape, Variable } from '../tensor/tape.js';
import type { ForwardInput } from './model.js';
import type { ParameterStore } from './parameters.js';

export interface MixtureLayer {
  /** Names of the gate's weight [experts, width], and of the stacks gate and up, and down. */
  gate: string;
  gateUp: string;
  down: string;
  /** f32 [experts]: added to the scores when experts are chosen. */
  bias: Tensor;
  experts: number;
  topK: number;
  routing: RouteOptions;
}

/**
 * What the experts of a layer make of h [N, width], added to what `base` makes after them.
 * @param load f32 [experts]: the choices of each expert are added
 */
export function routedExperts(
  tape: Tape,
  store: ParameterStore,
  layer: MixtureLayer,
  h: Variable,
  base: () => Variable,
  { balance, segments, prefixes }: Pick<ForwardInput, 'balance' | 'segments' | 'prefixes'>,
  load: Tensor | null = null,
): Variable {
  const logits = linear(tape, h, store.get(layer.gate));
  const sequenceWise = balance && segments ? { ...balance, segments, prefixes } : undefined;
  const gate = route(tape, logits, layer.bias, layer.topK, layer.routing, sequenceWise);
  const order = sortByExpert(tape, gate.experts, layer.experts, load);
  const sorted = dispatchRows(tape, h, order);
  const product = store.numerics === 'fp8' ? groupedMatmulFp8 : groupedMatmul;
  const inner = swiglu(tape, product(tape, sorted, store.get(layer.gateUp), order.offsets));
  const y = product(tape, inner, store.get(layer.down), order.offsets);
  return combineRows(tape, y, gate.weights, order, base());
}
