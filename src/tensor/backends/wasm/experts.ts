/** @file The mixture of experts and FP8 numbers on the WASM memory. */
import type { WasmKernels } from './context.js';

export const experts: WasmKernels<
  | 'route'
  | 'routeBackward'
  | 'balanceLoss'
  | 'sortByExpert'
  | 'combineRows'
  | 'combineRowsBackward'
  | 'quantizeFp8'
> = {
  route({ kernels, withScratch }, t, { N, E, K, groups, topGroups, normalize, scale, softmax }) {
    withScratch(4 * (E + groups), (scratch) =>
      kernels.route(
        t.experts.address,
        t.weights.address,
        t.scores.address,
        t.logits.address,
        t.bias.address,
        N,
        E,
        K,
        groups,
        topGroups,
        normalize,
        scale,
        softmax,
        scratch,
      ),
    );
  },
  routeBackward({ kernels }, t, { N, E, K, normalize, scale, softmax, accumulate }) {
    kernels.routeBackward(
      t.dLogits.address,
      t.dWeights.address,
      t.experts.address,
      t.scores.address,
      N,
      E,
      K,
      normalize,
      scale,
      softmax,
      accumulate,
    );
  },
  balanceLoss({ kernels, f32s, withScratch }, t, { S, E, K, coefficient }) {
    withScratch(4 * E, (shares) => {
      f32s[t.loss.address / 4] += kernels.balanceLoss(
        t.dLogits.address,
        t.scores.address,
        t.experts.address,
        t.segments.address,
        t.prefixes ? t.prefixes.address : 0,
        S,
        E,
        K,
        coefficient,
        shares,
      );
    });
  },
  sortByExpert({ kernels, withScratch }, t, { N, E, K }) {
    withScratch(4 * E, (next) =>
      kernels.sortByExpert(
        t.offsets.address,
        t.tokens.address,
        t.slots.address,
        t.load ? t.load.address : 0,
        t.experts.address,
        N * K,
        E,
        K,
        next,
      ),
    );
  },
  combineRows({ kernels }, { out, y, slots, weights }, { N, K, D, accumulate }) {
    const own = weights ? weights.address : 0;
    kernels.combineRows(out.address, y.address, slots.address, own, N, D, K, accumulate);
  },
  combineRowsBackward({ kernels }, t, { N, K, D }) {
    kernels.combineRowsBackward(
      t.dY.address,
      t.dWeights.address,
      t.dOut.address,
      t.y.address,
      t.slots.address,
      t.weights.address,
      N,
      D,
      K,
    );
  },
  quantizeFp8({ kernels }, { out, a }, { N, D, blockRows, blockColumns }) {
    kernels.quantizeFp8(out.address, a.address, N, D, blockRows, blockColumns);
  },
};
