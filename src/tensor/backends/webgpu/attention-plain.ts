/**
 * @file Attention without barriers, for software adapters: see `Features.plain`.
 *
 * A thread owns a row of one head, keeps it in its registers, and walks along the rows of the other
 * side with a running softmax (Milakov and Gimelshein 2018). Neighbouring threads own neighbouring
 * rows, and the rows that any of four sees are walked by all four, so that they read the same
 * numbers at the same time; what a thread does not see counts nothing. The rows of a prefix are
 * walked first.
 */
import {
  BOUNDS,
  DIMENSIONS,
  dimensions,
  FLOOR,
  segmentBounds,
  shapeOf,
} from './attention-shape.js';
import type { Context, On, With } from './context.js';

const THREADS = 64;
const STEP = 16;

/** Numbers that a register array has for d of them. */
const room = (d: number): number => STEP * Math.ceil(d / STEP);

/** `row[c]` = the operand's numbers at `at`. */
const keep = (row: string, operand: string, at: string, dim: string): string =>
  `  for (var c = 0u; c < ${dim}; c++) { ${row}[c] = ld_${operand}(${at} + c); }`;

const dot = (sum: string, row: string, operand: string, at: string, dim: string): string =>
  `    var ${sum} = 0.0;
    for (var c = 0u; c < ${dim}; c++) { ${sum} += ${row}[c] * ld_${operand}(${at} + c); }`;

const add = (row: string, factor: string, operand: string, at: string, dim: string): string =>
  `    for (var c = 0u; c < ${dim}; c++) { ${row}[c] += ${factor} * ld_${operand}(${at} + c); }`;

const store = (row: string, operand: string, at: string, dim: string, old: string): string =>
  `  for (var c = 0u; c < ${dim}; c++) {
    let at = ${at} + c;
    st_${operand}(at, select(0.0, ld_${operand}(at), ${old} != 0u) + ${row}[c]);
  }`;

/** Row n of the queries of a head, and the keys that it and its neighbours see. */
const QUERY = `  let n = wid.x * ${THREADS}u + tid;
  let head = wid.y;
  let kv = head * $kvHeads / $heads;
  if (n >= $rows) { return; }
  let begin = u32(ldi_bounds(n));
  let first = u32(ldi_bounds(n & ~3u));
  let last = min($rows, (n | 3u) + 1u);`;

/** `step` for each key j that row n or its neighbours see; `seen` is whether row n does. */
const walkKeys = (step: string): string => `  let pastEnd = u32(ldi_bounds(3u * $rows + n));
  for (var j = u32(ldi_bounds(2u * $rows + n)); j < pastEnd; j++) {
    let seen = true;
${step}
  }
  for (var j = first; j < last; j++) {
    let seen = j >= begin && j <= n;
${step}
  }`;

export function attention(
  context: Context,
  { out, logSumExp, q, k, v, ...sequences }: On<'attention'>,
  numbers: With<'attention'>,
): void {
  const shape = shapeOf(q, v, numbers);
  const { rows, heads, dk, dv } = shape;
  if (rows === 0) return;
  context.withScratch(BOUNDS * rows, (bounds) => {
    segmentBounds(context, bounds, sequences, rows);
    context.runner.run(
      `attention plain ${room(dk)} ${room(dv)}`,
      () => ({
        operands: ['out', 'logSumExp', 'q', 'k', 'v', 'bounds'],
        parameters: {
          ...DIMENSIONS,
          strideQ: 'u32',
          strideK: 'u32',
          strideV: 'u32',
          strideOut: 'u32',
        },
        threads: THREADS,
        body: `${QUERY}
  var query: array<f32, ${room(dk)}>;
  var sums: array<f32, ${room(dv)}>;
${keep('query', 'q', 'n * $strideQ + head * $dk', '$dk')}
  var most = ${FLOOR};
  var total = 0.0;
${walkKeys(`${dot('s', 'query', 'k', 'j * $strideK + kv * $dk', '$dk')}
    let score = select(${FLOOR}, $scale * s, seen);
    let now = max(most, score);
    let p = select(0.0, exp(score - now), seen);
    let shrink = select(0.0, exp(most - now), most > ${FLOOR});
    total = total * shrink + p;
    most = now;
    let at = j * $strideV + kv * $dv;
    for (var c = 0u; c < $dv; c++) { sums[c] = sums[c] * shrink + p * ld_v(at + c); }`)}
  let inverse = 1.0 / total;
  st_logSumExp(n * $heads + head, most + log(total));
  for (var c = 0u; c < $dv; c++) { st_out(n * $strideOut + head * $dv + c, inverse * sums[c]); }`,
      }),
      { out, logSumExp, q, k, v, bounds },
      {
        ...dimensions(shape),
        strideQ: q.rowStride,
        strideK: k.rowStride,
        strideV: v.rowStride,
        strideOut: out.rowStride,
      },
      [Math.ceil(rows / THREADS), heads, 1],
    );
  });
}

export function attentionBackward(
  context: Context,
  { dOut, out, logSumExp, q, k, v, segments, prefixes, ...d }: On<'attentionBackward'>,
  numbers: With<'attentionBackward'>,
): void {
  const shape = shapeOf(q, v, numbers);
  const { rows, heads, kvHeads, dk, dv } = shape;
  if (rows === 0) return;
  const strides = {
    strideQ: q.rowStride,
    strideK: k.rowStride,
    strideV: v.rowStride,
    strideOut: out.rowStride,
    strideD: dOut.rowStride,
    strideDq: d.dq.rowStride,
    strideDk: d.dk.rowStride,
    strideDv: d.dv.rowStride,
  };
  const parameters = {
    ...DIMENSIONS,
    ...(Object.fromEntries(Object.keys(strides).map((name) => [name, 'u32'])) as Record<
      keyof typeof strides,
      'u32'
    >),
    addQ: 'u32',
    addK: 'u32',
    addV: 'u32',
  } as const;
  const values = {
    ...dimensions(shape),
    ...strides,
    addQ: Number(numbers.accumulate.dq),
    addK: Number(numbers.accumulate.dk),
    addV: Number(numbers.accumulate.dv),
  };
  const groups = Math.ceil(rows / THREADS);
  // Of each query and head the product of its output and the output's gradient, which the keys want
  // as well.
  context.withScratch(rows * heads, (products) =>
    context.withScratch(BOUNDS * rows, (bounds) => {
      segmentBounds(context, bounds, { segments, prefixes }, rows);
      context.runner.run(
        `attention dq plain ${room(dk)} ${room(dv)}`,
        () => ({
          operands: ['dq', 'products', 'dOut', 'out', 'logSumExp', 'q', 'k', 'v', 'bounds'],
          parameters,
          threads: THREADS,
          body: `${QUERY}
  var query: array<f32, ${room(dk)}>;
  var sums: array<f32, ${room(dk)}>;
  var gradient: array<f32, ${room(dv)}>;
${keep('query', 'q', 'n * $strideQ + head * $dk', '$dk')}
${keep('gradient', 'dOut', 'n * $strideD + head * $dv', '$dv')}
${dot('product', 'gradient', 'out', 'n * $strideOut + head * $dv', '$dv')}
  let item = n * $heads + head;
  st_products(item, product);
  let normal = ld_logSumExp(item);
${walkKeys(`    let key = j * $strideK + kv * $dk;
${dot('s', 'query', 'k', 'key', '$dk')}
${dot('t', 'gradient', 'v', 'j * $strideV + kv * $dv', '$dv')}
    let p = select(0.0, exp($scale * s - normal), seen);
    let ds = $scale * p * (t - product);
${add('sums', 'ds', 'k', 'key', '$dk')}`)}
${store('sums', 'dq', 'n * $strideDq + head * $dk', '$dk', '$addQ')}`,
        }),
        { dq: d.dq, products, dOut, out, logSumExp, q, k, v, bounds },
        values,
        [groups, heads, 1],
      );
      context.runner.run(
        `attention dk dv plain ${room(dk)} ${room(dv)}`,
        () => ({
          operands: ['dk', 'dv', 'products', 'dOut', 'logSumExp', 'q', 'k', 'v', 'bounds'],
          parameters,
          threads: THREADS,
          body: `  let j = wid.x * ${THREADS}u + tid;
  let kv = wid.y;
  if (j >= $rows) { return; }
  let first = j & ~3u;
  var last = 0u;
  for (var near = first; near < min(first + 4u, $rows); near++) { last = max(last, u32(ldi_bounds($rows + near))); }
  var key: array<f32, ${room(dk)}>;
  var sumsK: array<f32, ${room(dk)}>;
  var value: array<f32, ${room(dv)}>;
  var sumsV: array<f32, ${room(dv)}>;
${keep('key', 'k', 'j * $strideK + kv * $dk', '$dk')}
${keep('value', 'v', 'j * $strideV + kv * $dv', '$dv')}
  for (var member = 0u; member < ($heads / $kvHeads); member++) {
  let head = kv * ($heads / $kvHeads) + member;
  for (var i = first; i < last; i++) {
    let query = i * $strideQ + head * $dk;
    let gradient = i * $strideD + head * $dv;
    let item = i * $heads + head;
${dot('s', 'key', 'q', 'query', '$dk')}
${dot('t', 'value', 'dOut', 'gradient', '$dv')}
    let after = j >= u32(ldi_bounds(2u * $rows + i)) && j < u32(ldi_bounds(3u * $rows + i));
    let seen = after || (i >= j && j >= u32(ldi_bounds(i)));
    let p = select(0.0, exp($scale * s - ld_logSumExp(item)), seen);
    let ds = $scale * p * (t - ld_products(item));
${add('sumsV', 'p', 'dOut', 'gradient', '$dv')}
${add('sumsK', 'ds', 'q', 'query', '$dk')}
  }
  }
${store('sumsK', 'dk', 'j * $strideDk + kv * $dk', '$dk', '$addK')}
${store('sumsV', 'dv', 'j * $strideDv + kv * $dv', '$dv', '$addV')}`,
        }),
        { dk: d.dk, dv: d.dv, products, dOut, logSumExp, q, k, v, bounds },
        values,
        [groups, kvHeads, 1],
      );
    }),
  );
}

/** One thread a sequence and head. */
export function attentionCached(
  context: Context,
  { out, q, keys, values, ...tables }: On<'attentionCached'>,
  numbers: With<'attentionCached'>,
): void {
  const shape = shapeOf(q, values, numbers);
  const { rows, heads, dk, dv } = shape;
  if (rows === 0) return;
  context.runner.run(
    `attentionCached plain ${room(dk)} ${room(dv)}`,
    () => ({
      operands: [
        'out',
        'q',
        'keys',
        'values',
        'prefixStart',
        'prefixLength',
        'ownStart',
        'ownLength',
      ],
      parameters: {
        ...DIMENSIONS,
        strideQ: 'u32',
        strideK: 'u32',
        strideV: 'u32',
        strideOut: 'u32',
      },
      threads: THREADS,
      body: `  let item = group * ${THREADS}u + tid;
  if (item >= $rows * $heads) { return; }
  let b = item / $heads;
  let head = item % $heads;
  let kv = head * $kvHeads / $heads;
  var query: array<f32, ${room(dk)}>;
  var sums: array<f32, ${room(dv)}>;
${keep('query', 'q', 'b * $strideQ + head * $dk', '$dk')}
  let prefix = u32(ldi_prefixLength(b));
  let all = prefix + u32(ldi_ownLength(b));
  let prefixStart = u32(ldi_prefixStart(b));
  let ownStart = u32(ldi_ownStart(b));
  var most = ${FLOOR};
  var total = 0.0;
  for (var j = 0u; j < all; j++) {
    var place = prefixStart + j;
    if (j >= prefix) { place = ownStart + j - prefix; }
${dot('s', 'query', 'keys', 'place * $strideK + kv * $dk', '$dk')}
    let score = $scale * s;
    let now = max(most, score);
    let p = exp(score - now);
    let shrink = select(0.0, exp(most - now), j > 0u);
    total = total * shrink + p;
    most = now;
    let at = place * $strideV + kv * $dv;
    for (var c = 0u; c < $dv; c++) { sums[c] = sums[c] * shrink + p * ld_values(at + c); }
  }
  let inverse = 1.0 / total;
  for (var c = 0u; c < $dv; c++) { st_out(b * $strideOut + head * $dv + c, inverse * sums[c]); }`,
    }),
    { out, q, keys, values, ...tables },
    {
      ...dimensions(shape),
      strideQ: q.rowStride,
      strideK: keys.rowStride,
      strideV: values.rowStride,
      strideOut: out.rowStride,
    },
    Math.ceil((rows * heads) / THREADS),
  );
}
