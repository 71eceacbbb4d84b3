/** @file Matrix products: which kernel for which shape, and the scales of f16 operands. */
import { type Context, type On, THREADS, type With } from './context.js';
import { reductions } from './kernel.js';
import { fewRowsSource } from './matmul-few-rows.js';
import {
  nameOf,
  type ProductShape,
  productSource,
  TILES,
  type TileName,
  type Walk,
} from './matmul-kernel.js';
import { plainSource } from './matmul-plain.js';
import type { GpuTensor } from './tensor.js';

/** Rows up to which a product with a transposed b is decoding. */
const FEW_ROWS = 8;
/** Groups that keep a large GPU busy; with fewer tiles the inner dimension is split. */
const ENOUGH_TILES = 128;
/** Inner numbers of a part at least. */
const LEAST_PART = 256;
const MOST_PARTS = 32;
/** Products of fewer multiplications are not worth rounding. */
const LEAST_HALF = 1 << 21;

interface Call {
  out: GpuTensor;
  a: GpuTensor;
  b: GpuTensor;
  m: number;
  n: number;
  k: number;
  transposeA: boolean;
  transposeB: boolean;
  accumulate: boolean;
  alpha: number;
  /** Added to the product, `beta` times; lies as `out` does. */
  more?: GpuTensor;
  beta?: number;
  walk: Walk;
  batches: number;
  batchA: number;
  batchB: number;
  batchOut: number;
  offsets?: GpuTensor;
}

interface Options {
  transposeA?: boolean;
  transposeB?: boolean;
  accumulate?: boolean;
  alpha?: number;
}

const ALONE = { walk: 'batch', batches: 1, batchA: 0, batchB: 0, batchOut: 0 } as const;

/** out = alpha · op(a) · op(b) (or +=), for the kernels here that need a product of their own. */
export function multiply(
  context: Context,
  out: GpuTensor,
  a: GpuTensor,
  b: GpuTensor,
  { transposeA = false, transposeB = false, accumulate = false, alpha = 1 }: Options,
): void {
  const [m, n, k] = [out.rows, out.columns, transposeA ? a.rows : a.columns];
  product(context, { out, a, b, m, n, k, transposeA, transposeB, accumulate, alpha, ...ALONE });
}

export function matmul(
  context: Context,
  tensors: On<'matmul'>,
  { M: m, N: n, K: k, transposeA, transposeB, accumulate, alpha }: With<'matmul'>,
): void {
  const options = { transposeA, transposeB, accumulate, alpha };
  product(context, { ...tensors, m, n, k, ...options, ...ALONE });
}

export function batchedMatmul(
  context: Context,
  tensors: On<'batchedMatmul'>,
  { B, M: m, N: n, K: k, transposeA, transposeB, accumulate, alpha }: With<'batchedMatmul'>,
): void {
  const options = { transposeA, transposeB, accumulate, alpha, walk: 'batch' } as const;
  const sizes = { batches: B, batchA: m * k, batchB: n * k, batchOut: m * n };
  product(context, { ...tensors, m, n, k, ...options, ...sizes });
}

export function groupedMatmul(
  context: Context,
  tensors: On<'groupedMatmul'>,
  { G, N, M, K, kind, accumulate }: With<'groupedMatmul'>,
): void {
  const base = { ...tensors, accumulate, alpha: 1, batches: G, batchA: 0 };
  const sizes = { batchB: M * K, batchOut: M * K };
  const kinds = {
    forward: { m: N, n: M, k: K, transposeA: false, transposeB: true, walk: 'rows' },
    input: { m: N, n: K, k: M, transposeA: false, transposeB: false, walk: 'rows' },
    weight: { m: M, n: K, k: N, transposeA: true, transposeB: false, walk: 'inner' },
  } as const;
  product(context, { ...base, ...sizes, ...kinds[kind] });
}

/**
 * out = alpha · a · b + beta · more, for each matrix of stacks [G, rows, columns]; `more` may be
 * left out.
 */
export function stackProduct(
  context: Context,
  out: GpuTensor,
  a: GpuTensor,
  b: GpuTensor,
  options: Options & { more?: GpuTensor; beta?: number },
): void {
  const { transposeA = false, transposeB = false, alpha = 1, more, beta } = options;
  const [batches, m, n] = out.shape;
  const k = a.shape[transposeA ? 1 : 2];
  const sizes = { walk: 'batch', batches, batchA: m * k, batchB: n * k, batchOut: m * n } as const;
  product(context, {
    out,
    a,
    b,
    m,
    n,
    k,
    transposeA,
    transposeB,
    accumulate: false,
    alpha,
    more,
    beta,
    ...sizes,
  });
}

/** True when the tile loaders may read four numbers at once. */
function vectorised(call: Call): boolean {
  const { out, a, b, m, n, k, transposeA, transposeB, batchA, batchB, batchOut, walk } = call;
  const along = (transpose: boolean, inner: number, outer: number): boolean =>
    (transpose ? outer : inner) % 4 === 0;
  // Where the inner dimension is cut at any row, it must not be the one that is read four at a
  // time: it never is.
  const cuts = batchA % 4 === 0 && batchB % 4 === 0 && batchOut % 4 === 0;
  const ends = along(transposeA, k, m) && along(!transposeB, k, n) && n % 4 === 0;
  return (
    ends && (cuts || walk === 'rows') && batchB % 4 === 0 && out.aligned && a.aligned && b.aligned
  );
}

function tileFor(m: number, n: number, batches: number): TileName {
  const tiles = (size: number): number => Math.ceil(m / size) * Math.ceil(n / size) * batches;
  if (m >= 96 && n >= 96 && tiles(128) >= ENOUGH_TILES) return 'large';
  return m > 32 && n > 32 ? 'medium' : 'small';
}

function product(context: Context, call: Call): void {
  const { runner, features } = context;
  const {
    out,
    a,
    b,
    m,
    n,
    k,
    transposeA,
    transposeB,
    accumulate,
    alpha,
    more,
    beta = 0,
    walk,
    batches,
    offsets,
  } = call;
  if (m * n * batches === 0) return;
  const vector = !features.plain && vectorised(call);
  const { bf16 } = b;
  const strides = {
    strideA: strideOf(a, transposeA ? m : k),
    strideB: strideOf(b, transposeB ? k : n),
    strideOut: strideOf(out, n),
  };
  if (
    !features.plain &&
    !more &&
    m <= FEW_ROWS &&
    transposeB &&
    !transposeA &&
    walk === 'batch' &&
    batches === 1
  ) {
    runner.run(
      `few rows ${m} ${accumulate} ${vector} ${bf16}`,
      () =>
        fewRowsSource(m, accumulate, vector, bf16, reductions(32, 256, context.features.subgroup)),
      { out, a, b },
      { n, k, ...strides, alpha },
      Math.ceil(n / 8),
    );
    return;
  }
  const half = features.half && m * n * k >= LEAST_HALF;
  const tier = !half ? 'f32' : features.matrix ? 'matrix' : 'f16';
  const plain = m <= TILES.plainFew.rows ? 'plainFew' : 'plain';
  const tile = features.plain ? plain : tier === 'matrix' ? 'matrix' : tileFor(m, n, batches);
  const sourceOf = features.plain ? plainSource : productSource;
  const { rows, columns, slice } = TILES[tile];
  const across = Math.ceil(n / columns);
  const down = walk === 'rows' ? Math.ceil(m / rows) + batches : Math.ceil(m / rows);
  const shape: ProductShape = {
    tile,
    walk,
    transposeA,
    transposeB,
    addend: more ? 'more' : accumulate ? 'out' : 'none',
    vector,
    bf16,
    tier,
    unit: tier === 'matrix' ? (features.matrix ?? undefined) : undefined,
  };
  const sizes = {
    m,
    n,
    k,
    ...strides,
    batchA: call.batchA,
    batchB: call.batchB,
    batchOut: call.batchOut,
    part: 0,
    alpha,
    beta,
  };
  const launch = (scales: GpuTensor | null): void => {
    const tensors: Record<string, GpuTensor> = { out, a, b };
    if (offsets) tensors.offsets = offsets;
    if (scales) tensors.scales = scales;
    if (more) tensors.more = more;
    const parts =
      walk === 'batch' && batches === 1 && !features.plain && !more ? partsOf(across * down, k) : 1;
    if (parts === 1) {
      const z = walk === 'rows' ? 1 : batches;
      runner.run(nameOf(shape), () => sourceOf(shape), tensors, { ...sizes, groups: batches }, [
        across,
        down,
        z,
      ]);
      return;
    }
    // A small result of a long product (a weight's gradient): parts of the sum side by side, then
    // added in order.
    const part = Math.ceil(k / parts / slice) * slice;
    const count = Math.ceil(k / part);
    context.withScratch(count * m * n, (scratch) => {
      const split: ProductShape = { ...shape, walk: 'split', addend: 'none' };
      const values = { ...sizes, strideOut: n, batchOut: m * n, part, groups: 1, alpha: 1 };
      runner.run(nameOf(split), () => productSource(split), { ...tensors, out: scratch }, values, [
        across,
        down,
        count,
      ]);
      runner.run(
        `add parts ${accumulate}`,
        () => ({
          operands: ['out', 'parts'],
          parameters: { size: 'u32', columns: 'u32', stride: 'u32', count: 'u32', alpha: 'f32' },
          threads: THREADS,
          body: `  let item = group * ${THREADS}u + tid;
  if (item >= $size) { return; }
  var total = 0.0;
  for (var p = 0u; p < $count; p++) { total += ld_parts(p * $size + item); }
  let at = item / $columns * $stride + item % $columns;
  st_out(at, ${accumulate ? 'ld_out(at) + ' : ''}$alpha * total);`,
        }),
        { out, parts: scratch },
        { size: m * n, columns: n, stride: strides.strideOut, count, alpha },
        Math.ceil((m * n) / THREADS),
      );
    });
  };
  if (!half) launch(null);
  else withScales(context, a, b, launch);
}

/** The stride of a single row is never used, and may be anything. */
const strideOf = (t: GpuTensor, columns: number): number =>
  t.shape.length > 2 ? columns : t.rowStride;

function partsOf(tiles: number, k: number): number {
  if (tiles >= ENOUGH_TILES || k < 2 * LEAST_PART) return 1;
  return Math.min(MOST_PARTS, Math.ceil(ENOUGH_TILES / tiles), Math.floor(k / LEAST_PART));
}

/** Groups that look for an operand's largest number. */
const SEARCHERS = 64;

/**
 * f16 ends at 65504 and knows little below 6e-5, and gradients are small. So each operand is
 * multiplied by the power of two that brings its largest number to between 16 and 32 — 16 products
 * of two such numbers add up to at most 16384 — and the result is divided by both: loss scaling
 * (Micikevicius et al. 2018, section 3.2), but a product at a time, and never guessed.
 */
function withScales(
  context: Context,
  a: GpuTensor,
  b: GpuTensor,
  body: (scales: GpuTensor) => void,
): void {
  const { runner } = context;
  context.withScratch(2 * SEARCHERS + 2, (scratch) => {
    [a, b].forEach((x, which) => {
      const { bf16 } = x;
      runner.run(
        `largest of an operand ${which} ${bf16}`,
        () => ({
          operands: ['scratch', 'x'],
          parameters: { size: 'u32', columns: 'u32', stride: 'u32' },
          threads: THREADS,
          bf16: bf16 ? ['x'] : [],
          declarations: reductions(THREADS, THREADS, context.features.subgroup),
          body: `  var most = 0.0;
  for (var i = group * ${THREADS}u + tid; i < $size; i += ${THREADS * SEARCHERS}u) {
    most = max(most, abs(ld_x(i / $columns * $stride + i % $columns)));
  }
  let result = largest(most, tid);
  if (tid == 0u) { st_scratch(${2 + which * SEARCHERS}u + group, result); }`,
        }),
        { scratch, x },
        { size: x.size, columns: x.columns, stride: x.rowStride },
        SEARCHERS,
      );
    });
    runner.run(
      'scales',
      () => ({
        operands: ['scratch'],
        parameters: {},
        threads: 2,
        body: `  var most = 0.0;
  for (var i = 0u; i < ${SEARCHERS}u; i++) { most = max(most, ld_scratch(2u + tid * ${SEARCHERS}u + i)); }
  let exponent = i32((bitcast<u32>(most) >> 23u) & 255u) - 127;
  let scale = select(clamp(4 - exponent, -100, 100), 0, most == 0.0);
  st_scratch(tid, bitcast<f32>(u32(scale + 127) << 23u));`,
      }),
      { scratch },
      {},
      1,
    );
    body(scratch);
  });
}
