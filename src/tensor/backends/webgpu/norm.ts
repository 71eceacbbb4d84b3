/**
 * @file Root-mean-square norm and its derivative, and the sums over whole tensors that optimizers
 * want.
 */
import { type Context, lanesFor, type On, THREADS, type With } from './context.js';
import { reductions } from './kernel.js';
import type { GpuTensor } from './tensor.js';

/** Text that leaves threads without a block idle but in step: barriers must be reached by all. */
const blockText = (
  lanes: number,
): string => `  let block = group * ${THREADS / lanes}u + tid / ${lanes}u;
  let lane = tid % ${lanes}u;
  let inside = block < $count;
  let row = block / $blocks;
  let head = block % $blocks * $d;
  let end = select(0u, $d, inside);`;

export function rmsNorm(
  context: Context,
  { out, inverseRms, x, weight }: On<'rmsNorm'>,
  { d, epsilon }: With<'rmsNorm'>,
): void {
  const count = inverseRms.size;
  if (count === 0) return;
  const lanes = lanesFor(d, context.features);
  context.runner.run(
    `rmsNorm ${lanes}`,
    () => ({
      operands: ['out', 'inverseRms', 'x', 'weight'],
      parameters: {
        count: 'u32',
        blocks: 'u32',
        d: 'u32',
        outStride: 'u32',
        xStride: 'u32',
        epsilon: 'f32',
      },
      threads: THREADS,
      declarations: reductions(lanes, THREADS, context.features.subgroup),
      body: `${blockText(lanes)}
  let base = row * $xStride + head;
  var squares = 0.0;
  for (var i = lane; i < end; i += ${lanes}u) { let v = ld_x(base + i); squares += v * v; }
  let r = 1.0 / sqrt(sum(squares, tid) / f32($d) + $epsilon);
  if (inside && lane == 0u) { st_inverseRms(block, r); }
  for (var i = lane; i < end; i += ${lanes}u) { st_out(row * $outStride + head + i, ld_weight(i) * ld_x(base + i) * r); }`,
    }),
    { out, inverseRms, x, weight },
    { count, blocks: x.columns / d, d, outStride: out.rowStride, xStride: x.rowStride, epsilon },
    Math.ceil(count / (THREADS / lanes)),
  );
}

export function rmsNormBackward(
  context: Context,
  { dx, dWeight, dOut, x, weight, inverseRms }: On<'rmsNormBackward'>,
  { H: blocks, d, accumulate }: With<'rmsNormBackward'>,
): void {
  const count = inverseRms.size;
  const lanes = lanesFor(d, context.features);
  if (dx && count > 0) {
    context.runner.run(
      `rmsNormBackward ${lanes} ${accumulate.dx}`,
      () => ({
        operands: ['dx', 'dOut', 'x', 'weight', 'inverseRms'],
        parameters: {
          count: 'u32',
          blocks: 'u32',
          d: 'u32',
          dxStride: 'u32',
          dOutStride: 'u32',
          xStride: 'u32',
        },
        threads: THREADS,
        declarations: reductions(lanes, THREADS, context.features.subgroup),
        body: `${blockText(lanes)}
  let base = row * $xStride + head;
  let fromD = row * $dOutStride + head;
  let into = row * $dxStride + head;
  var products = 0.0;
  for (var i = lane; i < end; i += ${lanes}u) { products += ld_x(base + i) * ld_weight(i) * ld_dOut(fromD + i); }
  let mean = sum(products, tid) / f32($d);
  var r = 0.0;
  if (inside) { r = ld_inverseRms(block); }
  let factor = r * r * r * mean;
  for (var i = lane; i < end; i += ${lanes}u) {
    let value = r * ld_weight(i) * ld_dOut(fromD + i) - ld_x(base + i) * factor;
    st_dx(into + i, ${accumulate.dx ? 'ld_dx(into + i) + ' : ''}value);
  }`,
      }),
      { dx, dOut, x, weight, inverseRms },
      {
        count,
        blocks,
        d,
        dxStride: dx.rowStride,
        dOutStride: dOut.rowStride,
        xStride: x.rowStride,
      },
      Math.ceil(count / (THREADS / lanes)),
    );
  }
  if (dWeight && d > 0) {
    // Parts of the rows side by side, then their sums in order.
    const parts = Math.max(1, Math.min(64, Math.ceil(count / 16)));
    const part = Math.ceil(count / parts);
    context.withScratch(parts * d, (sums) => {
      context.runner.run(
        'rmsNorm weight parts',
        () => ({
          operands: ['sums', 'dOut', 'x', 'inverseRms'],
          parameters: {
            count: 'u32',
            blocks: 'u32',
            d: 'u32',
            part: 'u32',
            items: 'u32',
            dOutStride: 'u32',
            xStride: 'u32',
          },
          threads: THREADS,
          body: `  let item = group * ${THREADS}u + tid;
  if (item >= $items) { return; }
  let i = item % $d;
  let first = item / $d * $part;
  var total = 0.0;
  for (var block = first; block < min($count, first + $part); block++) {
    let row = block / $blocks;
    let at = block % $blocks * $d + i;
    total += ld_dOut(row * $dOutStride + at) * ld_x(row * $xStride + at) * ld_inverseRms(block);
  }
  st_sums(item, total);`,
        }),
        { sums, dOut, x, inverseRms },
        {
          count,
          blocks: Math.max(1, blocks),
          d,
          part,
          items: parts * d,
          dOutStride: dOut.rowStride,
          xStride: x.rowStride,
        },
        Math.ceil((parts * d) / THREADS),
      );
      addParts(context, dWeight, sums, d, parts, accumulate.dWeight);
    });
  }
}

/** out[i] = Σ parts[p, i] (or +=), in the order of p. */
export function addParts(
  context: Context,
  out: GpuTensor,
  parts: GpuTensor,
  size: number,
  count: number,
  accumulate: boolean,
): void {
  if (size === 0) return;
  context.runner.run(
    `sum of parts ${accumulate}`,
    () => ({
      operands: ['out', 'parts'],
      parameters: { size: 'u32', count: 'u32' },
      threads: THREADS,
      body: `  let i = group * ${THREADS}u + tid;
  if (i >= $size) { return; }
  var total = 0.0;
  for (var p = 0u; p < $count; p++) { total += ld_parts(p * $size + i); }
  st_out(i, ${accumulate ? 'ld_out(i) + ' : ''}total);`,
    }),
    { out, parts },
    { size, count },
    Math.ceil(size / THREADS),
  );
}

const PARTS = 256;
/** Numbers that one group adds up alone. */
const ALONE = 16384;

/**
 * out[0] = Σ x² (or +=): each thread a stride of the numbers, then a tree; and one more group over
 * the groups where there are several.
 */
export function sumSquares(
  context: Context,
  { out, x }: On<'sumSquares'>,
  { accumulate }: With<'sumSquares'>,
): void {
  const { plain, subgroup } = context.features;
  const lanes = plain ? Math.max(1, subgroup) : THREADS;
  const before = accumulate ? 'ld_out(0u) + ' : '';
  const declarations = reductions(lanes, lanes, subgroup);
  const squares = (out: GpuTensor, parts: number, name: string, put: string): void =>
    context.runner.run(
      name,
      () => ({
        operands: ['out', 'x'],
        parameters: { size: 'u32', step: 'u32' },
        threads: lanes,
        declarations,
        body: `  var squares = 0.0;
  for (var i = group * ${lanes}u + tid; i < $size; i += $step) { let v = ld_x(i); squares += v * v; }
  let total = sum(squares, tid);
  if (tid == 0u) { ${put} }`,
      }),
      { out, x },
      { size: x.size, step: parts * lanes },
      parts,
    );
  if (x.size <= ALONE) {
    squares(out, 1, `sum of squares ${accumulate}`, `st_out(0u, ${before}total);`);
    return;
  }
  const parts = Math.min(PARTS, Math.ceil(x.size / (plain ? ALONE / 4 : 8 * THREADS)));
  context.withScratch(PARTS, (scratch) => {
    squares(scratch, parts, 'sum of squares, parts', 'st_out(group, total);');
    context.runner.run(
      `sum of squares, groups ${accumulate}`,
      () => ({
        operands: ['out', 'scratch'],
        parameters: { parts: 'u32' },
        threads: lanes,
        declarations,
        body: `  var mine = 0.0;
  for (var i = tid; i < $parts; i += ${lanes}u) { mine += ld_scratch(i); }
  let total = sum(mine, tid);
  if (tid == 0u) { st_out(0u, ${before}total); }`,
      }),
      { out, scratch },
      { parts },
      1,
    );
  });
}

/** True for NaN by its bits: WGSL lets a compiler assume that there is none. */
const IS_NAN =
  'fn is_nan(x: f32) -> bool { return (bitcast<u32>(x) & 0x7fffffffu) > 0x7f800000u; }';

export function clipScale(
  context: Context,
  { out, sumSquares: squares }: On<'clipScale'>,
  { maxNorm }: With<'clipScale'>,
): void {
  const infinite = maxNorm === Number.POSITIVE_INFINITY;
  context.runner.run(
    `clipScale ${infinite}`,
    () => ({
      operands: ['out', 'x'],
      parameters: { size: 'u32', most: 'f32' },
      threads: 1,
      declarations: IS_NAN,
      body: `  var total = 0.0;
  var bad = false;
  for (var i = 0u; i < $size; i++) { let v = ld_x(i); bad = bad || is_nan(v); total += v; }
  if (bad || is_nan(total)) { put_out(0u, 0x7fc00000u); }
  else { st_out(0u, ${infinite ? '1.0' : 'min(1.0, $most / (sqrt(total) + 1e-6))'}); }`,
    }),
    { out, x: squares },
    { size: squares.size, most: infinite ? 0 : maxNorm },
    1,
  );
}

export function inverseNorm(
  context: Context,
  { out, sumSquares: squares }: On<'inverseNorm'>,
  { epsilon }: With<'inverseNorm'>,
): void {
  context.runner.run(
    'inverseNorm',
    () => ({
      operands: ['out', 'x'],
      parameters: { epsilon: 'f32' },
      threads: 1,
      body: '  st_out(0u, 1.0 / (sqrt(ld_x(0u)) + $epsilon));',
    }),
    { out, x: squares },
    { epsilon },
    1,
  );
}
