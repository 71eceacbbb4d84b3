/** @file The decoder's operations on the WASM memory, but for products and attention's blocks. */
import * as blocks from './attention.js';
import type { WasmContext, WasmKernels } from './context.js';
import { frozenRows } from './products.js';
import type { WasmTensor } from './tensor.js';

const place = (t: WasmTensor): blocks.Strided => ({ address: t.address, stride: t.rowStride });

function gather(
  { kernels, products, i32s }: WasmContext,
  out: WasmTensor,
  table: WasmTensor,
  ids: WasmTensor,
): void {
  const first = ids.address / 4;
  if (table.frozen) frozenRows(products, out, table, i32s.subarray(first, first + ids.size));
  else kernels.gatherRows(out.address, table.address, ids.address, out.rows, out.columns);
}

export const decoder: WasmKernels<
  | 'rmsNorm'
  | 'rmsNormBackward'
  | 'rope'
  | 'swiglu'
  | 'swigluBackward'
  | 'geglu'
  | 'gegluBackward'
  | 'embedding'
  | 'embeddingBackward'
  | 'gatherRows'
  | 'scatterRows'
  | 'attention'
  | 'attentionBackward'
  | 'attentionCached'
  | 'joinHeads'
  | 'joinHeadsBackward'
> = {
  rmsNorm({ kernels }, { out, inverseRms, x, weight }, { N, H, d, epsilon }) {
    kernels.rmsNorm(
      out.address,
      out.rowStride,
      inverseRms.address,
      x.address,
      x.rowStride,
      weight.address,
      N,
      H,
      d,
      epsilon,
    );
  },
  rmsNormBackward({ kernels }, t, { N, H, d, accumulate }) {
    const { dx, dWeight, dOut, x, weight, inverseRms } = t;
    if (dWeight && !accumulate.dWeight) kernels.fill(dWeight.address, d, 0);
    kernels.rmsNormBackward(
      dx ? dx.address : 0,
      dx ? dx.rowStride : 0,
      dWeight ? dWeight.address : 0,
      dOut.address,
      x.address,
      x.rowStride,
      weight.address,
      inverseRms.address,
      N,
      H,
      d,
      accumulate.dx,
    );
  },
  rope({ kernels }, t, { N, R, H, half, inverse, accumulate, interleaved }) {
    const { out, x, positions, cosine, sine } = t;
    kernels.rope(
      out.address,
      out.rowStride,
      x.address,
      x.rowStride,
      positions.address,
      cosine.address,
      sine.address,
      N * R,
      R,
      H,
      half,
      inverse,
      accumulate,
      interleaved,
    );
  },
  swiglu({ kernels }, { out, gateUp }, { N, F }) {
    kernels.swiglu(out.address, gateUp.address, N, F);
  },
  swigluBackward({ kernels, withScratch }, { dGateUp, dOut, gateUp }, { N, F, accumulate }) {
    const [d, o, g] = [dGateUp.address, dOut.address, gateUp.address];
    withScratch(4 * F, (powers) => kernels.swigluBackward(d, o, g, N, F, accumulate, powers));
  },
  geglu({ kernels }, { out, gateUp }, { N, F }) {
    kernels.geglu(out.address, gateUp.address, N, F);
  },
  gegluBackward({ kernels, withScratch }, { dGateUp, dOut, gateUp }, { N, F, accumulate }) {
    const [d, o, g] = [dGateUp.address, dOut.address, gateUp.address];
    withScratch(4 * F, (powers) => kernels.gegluBackward(d, o, g, N, F, accumulate, powers));
  },
  embedding(context, { out, table, ids }) {
    gather(context, out, table, ids);
  },
  embeddingBackward({ kernels }, { dTable, dOut, ids }, { N, D, accumulate }) {
    if (!accumulate) kernels.fill(dTable.address, dTable.size, 0);
    kernels.scatterRows(dTable.address, dOut.address, D, ids.address, N, D, true);
  },
  gatherRows(context, { out, a, rows }) {
    gather(context, out, a, rows);
  },
  scatterRows({ kernels }, { out, a, rows }, { N, D, accumulate }) {
    const { address, rowStride } = a;
    kernels.scatterRows(out.address, address, rowStride, rows.address, N, D, accumulate);
  },
  attention({ attention }, t, { S, heads, kvHeads, dk, dv, scale }) {
    blocks.attentionForward(attention, {
      heads,
      kvHeads,
      keyDim: dk,
      valueDim: dv,
      scale,
      out: place(t.out),
      logSumExp: t.logSumExp.address,
      q: place(t.q),
      k: place(t.k),
      v: place(t.v),
      segments: t.segments.address,
      prefixes: t.prefixes ? t.prefixes.address : 0,
      sequences: S,
    });
  },
  attentionBackward({ attention }, t, n) {
    const { heads, kvHeads, keyDim, valueDim, scale, accumulate } = n;
    blocks.attentionBackward(attention, {
      heads,
      kvHeads,
      keyDim,
      valueDim,
      scale,
      out: place(t.out),
      logSumExp: t.logSumExp.address,
      q: place(t.q),
      k: place(t.k),
      v: place(t.v),
      segments: t.segments.address,
      prefixes: t.prefixes ? t.prefixes.address : 0,
      sequences: n.S,
      dOut: place(t.dOut),
      dq: place(t.dq),
      dk: place(t.dk),
      dv: place(t.dv),
      accumulate: { q: accumulate.dq, k: accumulate.dk, v: accumulate.dv },
    });
  },
  attentionCached({ attention }, t, { B, heads, kvHeads, dk, dv, scale }) {
    blocks.attentionCached(attention, {
      heads,
      kvHeads,
      keyDim: dk,
      valueDim: dv,
      scale,
      out: place(t.out),
      q: place(t.q),
      keys: place(t.keys),
      values: place(t.values),
      prefixStart: t.prefixStart.address,
      prefixLength: t.prefixLength.address,
      ownStart: t.ownStart.address,
      ownLength: t.ownLength.address,
      batch: B,
    });
  },
  joinHeads({ kernels }, { k, v, up, shared }, { N, heads, dn, dr, dv }) {
    const { address, rowStride } = shared;
    kernels.joinHeads(k.address, v.address, up.address, address, rowStride, N, heads, dn, dr, dv);
  },
  joinHeadsBackward({ kernels }, t, { N, heads, dn, dr, dv, accumulate }) {
    kernels.joinHeadsBackward(
      t.dUp.address,
      t.dShared.address,
      t.dShared.rowStride,
      t.dk.address,
      t.dValue.address,
      N,
      heads,
      dn,
      dr,
      dv,
      accumulate.dUp,
      accumulate.dShared,
    );
  },
};
