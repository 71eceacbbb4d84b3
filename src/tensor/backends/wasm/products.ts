/**
 * @file Matrix products of the backend: dense, batched, grouped and with frozen bf16 weights, all
 * by calls of one `sgemm`.
 */
import type { GroupedKind, MatmulOptions, Tensor } from '../../backend.js';
import type { Gemm } from './gemm.js';
import { f32, f32Strided, i32, mismatch, type WasmTensor } from './tensor.js';

/** What products need of the backend. */
export interface ProductContext {
  gemm: Gemm;
  memory: WebAssembly.Memory;
  expandBf16(out: number, bits: number, n: number): void;
  /** Runs `body` with `bytes` of scratch. */
  withScratch(bytes: number, body: (address: number) => void): void;
}

/**
 * Numbers of a frozen matrix that are expanded at a time: 1 MB as f32, half of a usual L2 cache.
 */
const TILE = 256 * 1024;

const NO_OPTIONS: MatmulOptions = {};

export function matmul(
  context: ProductContext,
  outT: Tensor,
  aT: Tensor,
  bT: Tensor,
  options = NO_OPTIONS,
): void {
  const out = f32Strided('matmul', outT);
  const a = f32Strided('matmul', aT);
  const b = bT as WasmTensor;
  if (b.dtype === 'i32') throw mismatch('matmul', 'wants f32 or bf16', { b });
  const transposeA = options.transposeA === true;
  const transposeB = options.transposeB === true;
  const inner = transposeA ? a.rows : a.columns;
  if (
    out.rows !== (transposeA ? a.columns : a.rows) ||
    out.columns !== (transposeB ? b.rows : b.columns) ||
    inner !== (transposeB ? b.columns : b.rows)
  ) {
    const transposed = `${transposeA ? 'aᵀ' : 'a'}·${transposeB ? 'bᵀ' : 'b'}`;
    throw mismatch('matmul', `shapes do not fit for out = ${transposed}`, { out, a, b });
  }
  const alpha = options.alpha ?? 1;
  const beta = options.accumulate === true ? 1 : 0;
  const { rows: m, columns: n } = out;
  multiply(
    context,
    b,
    transposeA,
    transposeB,
    m,
    n,
    inner,
    alpha,
    a.address,
    a.rowStride,
    beta,
    out.address,
    out.rowStride,
  );
}

/** `Gemm.sgemm` with a matrix `b` that may be frozen. */
export function multiply(
  context: ProductContext,
  b: WasmTensor,
  transposeA: boolean,
  transposeB: boolean,
  m: number,
  n: number,
  k: number,
  alpha: number,
  a: number,
  lda: number,
  beta: number,
  c: number,
  ldc: number,
): void {
  const { gemm } = context;
  const { bits, rows: bRows, columns: width } = b;
  if (bits === null || bRows === 0 || width === 0) {
    gemm.sgemm(
      transposeA,
      transposeB,
      m,
      n,
      k,
      alpha,
      a,
      lda,
      b.address,
      b.rowStride,
      beta,
      c,
      ldc,
    );
    return;
  }
  // Some rows of `b` at a time: columns of the output when b is transposed, a part of the inner sum
  // when not.
  const tileRows = Math.min(bRows, Math.max(16, Math.floor(TILE / width)));
  context.withScratch(tileRows * width * 6, (tile) => {
    const packed = tile + tileRows * width * 4;
    for (let first = 0; first < bRows; first += tileRows) {
      const rows = Math.min(tileRows, bRows - first);
      expandRows(context, tile, packed, b, first, rows);
      if (transposeB) {
        gemm.sgemm(
          transposeA,
          true,
          m,
          rows,
          k,
          alpha,
          a,
          lda,
          tile,
          width,
          beta,
          c + 4 * first,
          ldc,
        );
      } else {
        const part = a + 4 * first * (transposeA ? lda : 1);
        gemm.sgemm(
          transposeA,
          false,
          m,
          width,
          rows,
          alpha,
          part,
          lda,
          tile,
          width,
          first > 0 ? 1 : beta,
          c,
          ldc,
        );
      }
    }
  });
}

/** Puts rows of a frozen matrix at `out` as f32, through as many 16-bit numbers at `packed`. */
function expandRows(
  context: ProductContext,
  out: number,
  packed: number,
  b: WasmTensor,
  first: number,
  rows: number,
): void {
  const bits = b.bits as Uint16Array;
  const { columns: width, rowStride } = b;
  const staging = new Uint16Array(context.memory.buffer, packed, rows * width);
  if (rowStride === width) {
    staging.set(bits.subarray(first * width, (first + rows) * width));
  } else {
    for (let r = 0; r < rows; r++) {
      const start = (first + r) * rowStride;
      staging.set(bits.subarray(start, start + width), r * width);
    }
  }
  context.expandBf16(out, packed, rows * width);
}

/** out[n] = table[ids[n]] from a frozen table. */
export function frozenRows(
  context: ProductContext,
  out: WasmTensor,
  table: WasmTensor,
  ids: Int32Array,
): void {
  const width = table.columns;
  context.withScratch(2 * width, (packed) => {
    for (let n = 0; n < ids.length; n++)
      expandRows(context, out.address + 4 * n * width, packed, table, ids[n], 1);
  });
}

export function batchedMatmul(
  context: ProductContext,
  outT: Tensor,
  aT: Tensor,
  bT: Tensor,
  options = NO_OPTIONS,
): void {
  const out = f32('batchedMatmul', outT);
  const a = f32('batchedMatmul', aT);
  const b = f32('batchedMatmul', bT);
  const transposeA = options.transposeA === true;
  const transposeB = options.transposeB === true;
  const batch = out.shape[0];
  const [aRows, aColumns] = [a.shape[1], a.shape[2]];
  const [bRows, bColumns] = [b.shape[1], b.shape[2]];
  const [m, n] = [out.shape[1], out.shape[2]];
  const inner = transposeA ? aRows : aColumns;
  if (
    out.shape.length !== 3 ||
    a.shape.length !== 3 ||
    b.shape.length !== 3 ||
    a.shape[0] !== batch ||
    b.shape[0] !== batch ||
    m !== (transposeA ? aColumns : aRows) ||
    n !== (transposeB ? bRows : bColumns) ||
    inner !== (transposeB ? bColumns : bRows)
  ) {
    throw mismatch('batchedMatmul', 'shapes do not fit', { out, a, b });
  }
  const alpha = options.alpha ?? 1;
  const beta = options.accumulate === true ? 1 : 0;
  for (let i = 0; i < batch; i++) {
    context.gemm.sgemm(
      transposeA,
      transposeB,
      m,
      n,
      inner,
      alpha,
      a.address + 4 * i * aRows * aColumns,
      aColumns,
      b.address + 4 * i * bRows * bColumns,
      bColumns,
      beta,
      out.address + 4 * i * m * n,
      n,
    );
  }
}

export function groupedMatmul(
  context: ProductContext,
  outT: Tensor,
  aT: Tensor,
  bT: Tensor,
  offsetsT: Tensor,
  kind: GroupedKind,
  accumulate: boolean,
): void {
  const out = f32('groupedMatmul', outT);
  const a = f32('groupedMatmul', aT);
  const b = f32('groupedMatmul', bT);
  const offsets = i32('groupedMatmul', offsetsT);
  const groups = offsets.size - 1;
  const weights = kind === 'weight' ? out : b;
  const [m, k] = [weights.shape[1], weights.shape[2]];
  const fits =
    weights.shape.length === 3 &&
    weights.shape[0] === groups &&
    (kind === 'forward'
      ? a.columns === k && out.columns === m && a.rows === out.rows
      : kind === 'input'
        ? a.columns === m && out.columns === k && a.rows === out.rows
        : a.columns === m && b.columns === k && a.rows === b.rows);
  if (!fits)
    throw mismatch('groupedMatmul', `shapes do not fit for ${kind}`, { out, a, b, offsets });
  const at = new Int32Array(context.memory.buffer, offsets.address, groups + 1);
  if (at[0] !== 0 || at[groups] !== a.rows)
    throw mismatch('groupedMatmul', `offsets end at ${at[groups]}, not at the rows`, {
      a,
      offsets,
    });
  const beta = accumulate ? 1 : 0;
  const { gemm } = context;
  for (let g = 0; g < groups; g++) {
    const from = at[g];
    const rows = at[g + 1] - from;
    const weight = weights.address + 4 * g * m * k;
    const aFrom = a.address + 4 * from * a.columns;
    if (kind === 'forward')
      gemm.sgemm(
        false,
        true,
        rows,
        m,
        k,
        1,
        aFrom,
        k,
        weight,
        k,
        beta,
        out.address + 4 * from * m,
        m,
      );
    else if (kind === 'input')
      gemm.sgemm(
        false,
        false,
        rows,
        k,
        m,
        1,
        aFrom,
        m,
        weight,
        k,
        beta,
        out.address + 4 * from * k,
        k,
      );
    else
      gemm.sgemm(
        true,
        false,
        m,
        k,
        rows,
        1,
        aFrom,
        m,
        b.address + 4 * from * k,
        k,
        beta,
        weight,
        k,
      );
  }
}
