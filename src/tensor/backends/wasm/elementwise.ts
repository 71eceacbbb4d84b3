/** @file Elementwise operations, norms of gradients and AdamW on the WASM memory. */
import type { WasmKernels } from './context.js';
import type { WasmTensor } from './tensor.js';

/** Both contiguous: then their rows are one long row. */
const asOneRow = (out: WasmTensor, a: WasmTensor): boolean => out.contiguous && a.contiguous;

export const elementwise: WasmKernels<
  | 'fill'
  | 'copy'
  | 'add'
  | 'scale'
  | 'scaleBy'
  | 'sumSquares'
  | 'clipScale'
  | 'inverseNorm'
  | 'adamw'
> = {
  fill({ kernels }, { out }, { value, n }) {
    if (out.dtype === 'f32') kernels.fill(out.address, n, value);
    else kernels.fillInteger(out.address, n, value);
  },
  copy({ kernels }, { out, a }, { N, D }) {
    if (asOneRow(out, a)) kernels.copyRows(out.address, 0, a.address, 0, 1, N * D);
    else kernels.copyRows(out.address, out.rowStride, a.address, a.rowStride, N, D);
  },
  add({ kernels }, { out, a, b }, { n }) {
    kernels.add(out.address, a.address, b.address, n);
  },
  scale({ kernels }, { out, a }, { N, D, scale, accumulate }) {
    const [from, to] = [a.address, out.address];
    if (asOneRow(out, a)) kernels.scaleRows(to, 0, from, 0, 1, N * D, scale, accumulate);
    else kernels.scaleRows(to, out.rowStride, from, a.rowStride, N, D, scale, accumulate);
  },
  scaleBy({ kernels, f32s }, { out, a, s }, { n }) {
    kernels.scaleRows(out.address, 0, a.address, 0, 1, n, f32s[s.address / 4], false);
  },
  sumSquares({ kernels, f32s }, { out, x }, { n, accumulate }) {
    const sum = kernels.sumSquares(x.address, n);
    f32s[out.address / 4] = accumulate ? f32s[out.address / 4] + sum : sum;
  },
  clipScale({ f32s }, { out, sumSquares }, { W, maxNorm }) {
    let sum = 0;
    for (let i = 0; i < W; i++) sum += f32s[sumSquares.address / 4 + i];
    const clipped = Math.min(1, maxNorm / (Math.sqrt(sum) + 1e-6));
    const unclipped = Number.isNaN(sum) ? Number.NaN : 1;
    f32s[out.address / 4] = maxNorm === Number.POSITIVE_INFINITY ? unclipped : clipped;
  },
  inverseNorm({ f32s }, { out, sumSquares }, { epsilon }) {
    f32s[out.address / 4] = 1 / (Math.sqrt(f32s[sumSquares.address / 4]) + epsilon);
  },
  adamw({ kernels, f32s }, t, { n, lr, beta1, beta2, epsilon, weightDecay, step }) {
    kernels.adamw(
      t.parameter.address,
      t.firstMoment.address,
      t.secondMoment.address,
      t.gradient.address,
      n,
      f32s[t.gradientScale.address / 4],
      beta1,
      1 - beta1,
      beta2,
      1 - beta2,
      1 - lr * weightDecay,
      lr / (1 - beta1 ** step),
      1 / Math.sqrt(1 - beta2 ** step),
      epsilon,
    );
  },
};
