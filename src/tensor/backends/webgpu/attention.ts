/**
 * @file Attention in tiles of 32 × 32 scores (Dao et al. 2022, "FlashAttention").
 *
 * A group owns 32 rows of one head and walks over the others 32 at a time. Scores are made from
 * slices of 32 columns of both sides in workgroup memory: thread t makes four of column t mod 32.
 * Sums over a tile's scores belong to rows: thread t adds up row t div 8, every eighth column. The
 * derivative recomputes the probabilities: one kernel owns queries (dq), one owns keys (dk and dv),
 * so nothing is added to by two groups and the order never changes.
 */
import {
  BOUNDS,
  DIMENSIONS,
  dimensions,
  FLOOR,
  type Shape,
  segmentBounds,
  shapeOf,
} from './attention-shape.js';
import { type Context, type On, THREADS, type With } from './context.js';
import { reductions } from './kernel.js';

const TILE = 32;
const STRIDE = TILE + 1;
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

const SHARED = `var<workgroup> one: array<f32, ${TILE * STRIDE}>;
var<workgroup> two: array<f32, ${TILE * STRIDE}>;
var<workgroup> scores: array<f32, ${TILE * STRIDE}>;
var<workgroup> bounds: array<u32, 2>;`;

/** Of each query of a tile: the first row of its segment, and the bounds of its prefix. */
const QUERY_BOUNDS = `
var<workgroup> starts: array<u32, ${TILE}>;
var<workgroup> pasts: array<vec2<u32>, ${TILE}>;
var<workgroup> reach: array<u32, 2>;`;

/**
 * Reads them from where `segmentBounds` wrote. Some query sees keys from `first` on; keys between
 * `pastEnd` and `own` are other sequences' alone.
 */
const queryBounds = (source: string): string => `  if (tid < ${TILE}u) {
    let n = min(i0 + tid, $rows - 1u);
    starts[tid] = u32(ldi_${source}(n));
    pasts[tid] = vec2<u32>(u32(ldi_${source}(2u * $rows + n)), u32(ldi_${source}(3u * $rows + n)));
  }
  workgroupBarrier();
  if (tid == 0u) {
    var least = starts[0];
    var end = 0u;
    for (var r = 0u; r < ${TILE}u; r++) {
      if (pasts[r].x < pasts[r].y) {
        least = min(least, pasts[r].x);
        end = max(end, pasts[r].y);
      }
    }
    reach[0] = least;
    reach[1] = end;
  }
  let first = workgroupUniformLoad(&reach[0]);
  let pastEnd = workgroupUniformLoad(&reach[1]);
  let own = workgroupUniformLoad(&starts[0]);`;

/** Whether query i of the tile's row `row` sees key j. */
const sees = (row: string): string =>
  `((j <= i && j >= starts[${row}]) || (j >= pasts[${row}].x && j < pasts[${row}].y))`;

/** Rows `from` … of an operand's 32 columns from `d0` on, into workgroup memory; zeros outside. */
const load = (
  into: string,
  operand: string,
  from: string,
  limit: string,
  base: string,
  stride: string,
  dim: string,
): string =>
  `      for (var e = tid; e < ${TILE * TILE}u; e += ${THREADS}u) {
        let r = e / ${TILE}u;
        let c = e % ${TILE}u;
        var x = 0.0;
        if (${from} + r < ${limit} && d0 + c < ${dim}) { x = ld_${operand}((${from} + r) * ${stride} + ${base} + d0 + c); }
        ${into}[r * ${STRIDE}u + c] = x;
      }`;

interface Side {
  operand: string;
  from: string;
  limit: string;
  base: string;
  stride: string;
}

/**
 * `<sum>0` … `<sum>3` of thread t: rows 4·(t div 32) + 0 … 3 of `own` times row t mod 32 of
 * `other`.
 */
const dots = (sum: string, own: Side, other: Side, dim: string): string =>
  `${range(4)
    .map((r) => `    var ${sum}${r} = 0.0;`)
    .join('\n')}
    for (var d0 = 0u; d0 < ${dim}; d0 += ${TILE}u) {
      workgroupBarrier();
${load('one', own.operand, own.from, own.limit, own.base, own.stride, dim)}
${load('two', other.operand, other.from, other.limit, other.base, other.stride, dim)}
      workgroupBarrier();
      for (var d = 0u; d < ${TILE}u; d++) {
        let y = two[scoreColumn * ${STRIDE}u + d];
${range(4)
  .map((r) => `        ${sum}${r} += one[(scoreRow + ${r}u) * ${STRIDE}u + d] * y;`)
  .join('\n')}
      }
    }`;

/** `<sum>_c` of thread t += Σ over the tile: scores[t div 8, j] · other[j, t mod 8 + 8·c]. */
const apply = (sum: string, other: Side, dim: string, slices: number): string =>
  range(slices)
    .map(
      (chunk) => `    {
      let d0 = ${chunk * TILE}u;
      workgroupBarrier();
${load('two', other.operand, other.from, other.limit, other.base, other.stride, dim)}
      workgroupBarrier();
      for (var j = 0u; j < ${TILE}u; j++) {
        let p = scores[row * ${STRIDE}u + j];
${range(4)
  .map((q) => `        ${sum}_${4 * chunk + q} += p * two[j * ${STRIDE}u + lane + ${8 * q}u];`)
  .join('\n')}
      }
    }`,
    )
    .join('\n');

const sums = (name: string, slices: number): string =>
  range(4 * slices)
    .map((c) => `  var ${name}_${c} = 0.0;`)
    .join('\n');

/** Writes a thread's sums to its row of `operand`. */
const store = (
  name: string,
  operand: string,
  at: string,
  dim: string,
  slices: number,
  factor: string,
  add: string,
): string =>
  range(4 * slices)
    .map((c) => {
      const column = `lane + ${8 * c}u`;
      const old = add ? `select(0.0, ld_${operand}(${at} + ${column}), ${add} != 0u) + ` : '';
      return `    if (${column} < ${dim}) { st_${operand}(${at} + ${column}, ${old}${factor}${name}_${c}); }`;
    })
    .join('\n');

const PLACE = `  let scoreColumn = tid % ${TILE}u;
  let scoreRow = 4u * (tid / ${TILE}u);
  let row = tid / 8u;
  let lane = tid % 8u;`;

/**
 * A kernel is made for so many slices of 32 columns of keys and of values; everything else is a
 * parameter.
 */
const slicesOf = ({ dk, dv }: Shape): { dk: number; dv: number } => ({
  dk: Math.ceil(dk / TILE),
  dv: Math.ceil(dv / TILE),
});

const key = (name: string, shape: Shape): string =>
  `${name} ${slicesOf(shape).dk} ${slicesOf(shape).dv}`;

export function attention(
  context: Context,
  { out, logSumExp, q, k, v, ...sequences }: On<'attention'>,
  numbers: With<'attention'>,
): void {
  const shape = shapeOf(q, v, numbers);
  const { rows, heads } = shape;
  const slices = slicesOf(shape);
  if (rows === 0) return;
  context.withScratch(BOUNDS * rows, (bounds) => {
    segmentBounds(context, bounds, sequences, rows);
    context.runner.run(
      key('attention', shape),
      () => {
        const queries = {
          operand: 'q',
          from: 'i0',
          limit: '$rows',
          base: 'head * $dk',
          stride: '$strideQ',
        };
        const keys = {
          operand: 'k',
          from: 'j0',
          limit: 'to',
          base: 'kv * $dk',
          stride: '$strideK',
        };
        const values = {
          operand: 'v',
          from: 'j0',
          limit: 'to',
          base: 'kv * $dv',
          stride: '$strideV',
        };
        const columns = range(4 * slices.dv);
        return {
          operands: ['out', 'logSumExp', 'q', 'k', 'v', 'bounds'],
          parameters: {
            ...DIMENSIONS,
            strideQ: 'u32',
            strideK: 'u32',
            strideV: 'u32',
            strideOut: 'u32',
          },
          threads: THREADS,
          declarations: `${SHARED}${QUERY_BOUNDS}\n${reductions(8, THREADS, context.features.subgroup)}`,
          body: `${PLACE}
  let i0 = wid.x * ${TILE}u;
  let head = wid.y;
  let kv = head * $kvHeads / $heads;
${queryBounds('bounds')}
  let to = min($rows, i0 + ${TILE}u);
  var most = ${FLOOR};
  var total = 0.0;
${sums('o', slices.dv)}
  for (var j0 = first; j0 < to; j0 += ${TILE}u) {
    if (j0 >= pastEnd && j0 + ${TILE}u <= own) { continue; }
${dots('s', queries, keys, '$dk')}
${range(4)
  .map(
    (r) => `    {
      let i = i0 + scoreRow + ${r}u;
      let j = j0 + scoreColumn;
      let seen = i < $rows && ${sees(`scoreRow + ${r}u`)};
      scores[(scoreRow + ${r}u) * ${STRIDE}u + scoreColumn] = select(${FLOOR}, $scale * s${r}, seen);
    }`,
  )
  .join('\n')}
    workgroupBarrier();
    let at = row * ${STRIDE}u + 4u * lane;
    let x0 = scores[at];
    let x1 = scores[at + 1u];
    let x2 = scores[at + 2u];
    let x3 = scores[at + 3u];
    let now = max(most, largest(max(max(x0, x1), max(x2, x3)), tid));
    let p0 = select(0.0, exp(x0 - now), x0 > ${FLOOR});
    let p1 = select(0.0, exp(x1 - now), x1 > ${FLOOR});
    let p2 = select(0.0, exp(x2 - now), x2 > ${FLOOR});
    let p3 = select(0.0, exp(x3 - now), x3 > ${FLOOR});
    scores[at] = p0;
    scores[at + 1u] = p1;
    scores[at + 2u] = p2;
    scores[at + 3u] = p3;
    let shrink = select(0.0, exp(most - now), most > ${FLOOR});
    total = total * shrink + sum(p0 + p1 + p2 + p3, tid);
    most = now;
${columns.map((c) => `    o_${c} *= shrink;`).join('\n')}
${apply('o', values, '$dv', slices.dv)}
  }
  let i = i0 + row;
  if (i < $rows) {
    let inverse = 1.0 / total;
    if (lane == 0u) { st_logSumExp(i * $heads + head, most + log(total)); }
${store('o', 'out', 'i * $strideOut + head * $dv', '$dv', slices.dv, 'inverse * ', '')}
  }`,
        };
      },
      { out, logSumExp, q, k, v, bounds },
      {
        ...dimensions(shape),
        strideQ: q.rowStride,
        strideK: k.rowStride,
        strideV: v.rowStride,
        strideOut: out.rowStride,
      },
      [Math.ceil(rows / TILE), heads, 1],
    );
  });
}

export function attentionBackward(
  context: Context,
  { dOut, out, logSumExp, q, k, v, segments, prefixes, ...d }: On<'attentionBackward'>,
  numbers: With<'attentionBackward'>,
): void {
  const shape = shapeOf(q, v, numbers);
  const { rows, heads, kvHeads } = shape;
  const slices = slicesOf(shape);
  if (rows === 0) return;
  const { runner } = context;
  const tiles = Math.ceil(rows / TILE);
  // Bounds and, behind them, the products of outputs and their gradients [N, heads].
  context.withScratch(BOUNDS * rows + rows * heads, (scratch) => {
    segmentBounds(context, scratch, { segments, prefixes }, rows);
    runner.run(
      'attention, gradient times output',
      () => ({
        operands: ['scratch', 'dOut', 'out'],
        parameters: { ...DIMENSIONS, strideD: 'u32', strideOut: 'u32' },
        threads: THREADS,
        body: `  let item = group * ${THREADS}u + tid;
  if (item >= $rows * $heads) { return; }
  let n = item / $heads;
  let base = item % $heads * $dv;
  var total = 0.0;
  for (var c = base; c < base + $dv; c++) { total += ld_dOut(n * $strideD + c) * ld_out(n * $strideOut + c); }
  st_scratch(${BOUNDS}u * $rows + item, total);`,
      }),
      { scratch, dOut, out },
      { ...dimensions(shape), strideD: dOut.rowStride, strideOut: out.rowStride },
      Math.ceil((rows * heads) / THREADS),
    );
    const strides = {
      strideQ: q.rowStride,
      strideK: k.rowStride,
      strideV: v.rowStride,
      strideD: dOut.rowStride,
    };
    const types = {
      ...DIMENSIONS,
      strideQ: 'u32',
      strideK: 'u32',
      strideV: 'u32',
      strideD: 'u32',
    } as const;
    runner.run(
      key('attention dq', shape),
      () => {
        const queries = {
          operand: 'q',
          from: 'i0',
          limit: '$rows',
          base: 'head * $dk',
          stride: '$strideQ',
        };
        const gradients = {
          operand: 'dOut',
          from: 'i0',
          limit: '$rows',
          base: 'head * $dv',
          stride: '$strideD',
        };
        const keys = {
          operand: 'k',
          from: 'j0',
          limit: 'to',
          base: 'kv * $dk',
          stride: '$strideK',
        };
        const values = {
          operand: 'v',
          from: 'j0',
          limit: 'to',
          base: 'kv * $dv',
          stride: '$strideV',
        };
        return {
          operands: ['dq', 'dOut', 'logSumExp', 'q', 'k', 'v', 'scratch'],
          parameters: { ...types, strideDq: 'u32', addQ: 'u32' },
          threads: THREADS,
          declarations: `${SHARED}${QUERY_BOUNDS}`,
          body: `${PLACE}
  let i0 = wid.x * ${TILE}u;
  let head = wid.y;
  let kv = head * $kvHeads / $heads;
${queryBounds('scratch')}
  let to = min($rows, i0 + ${TILE}u);
${sums('g', slices.dk)}
  for (var j0 = first; j0 < to; j0 += ${TILE}u) {
    if (j0 >= pastEnd && j0 + ${TILE}u <= own) { continue; }
${dots('s', queries, keys, '$dk')}
${dots('t', gradients, values, '$dv')}
${range(4)
  .map(
    (r) => `    {
      let i = i0 + scoreRow + ${r}u;
      let j = j0 + scoreColumn;
      var value = 0.0;
      if (i < $rows && ${sees(`scoreRow + ${r}u`)}) {
        let p = exp($scale * s${r} - ld_logSumExp(i * $heads + head));
        value = $scale * p * (t${r} - ld_scratch(${BOUNDS}u * $rows + i * $heads + head));
      }
      scores[(scoreRow + ${r}u) * ${STRIDE}u + scoreColumn] = value;
    }`,
  )
  .join('\n')}
${apply('g', keys, '$dk', slices.dk)}
  }
  let i = i0 + row;
  if (i < $rows) {
${store('g', 'dq', 'i * $strideDq + head * $dk', '$dk', slices.dk, '', '$addQ')}
  }`,
        };
      },
      { dq: d.dq, dOut, logSumExp, q, k, v, scratch },
      {
        ...dimensions(shape),
        ...strides,
        strideDq: d.dq.rowStride,
        addQ: Number(numbers.accumulate.dq),
      },
      [tiles, heads, 1],
    );
    runner.run(
      key('attention dk dv', shape),
      () => {
        const queries = {
          operand: 'q',
          from: 'i0',
          limit: 'to',
          base: 'head * $dk',
          stride: '$strideQ',
        };
        const gradients = {
          operand: 'dOut',
          from: 'i0',
          limit: 'to',
          base: 'head * $dv',
          stride: '$strideD',
        };
        const keys = {
          operand: 'k',
          from: 'j0',
          limit: '$rows',
          base: 'kv * $dk',
          stride: '$strideK',
        };
        const values = {
          operand: 'v',
          from: 'j0',
          limit: '$rows',
          base: 'kv * $dv',
          stride: '$strideV',
        };
        const write = (value: (r: number) => string): string =>
          range(4)
            .map((r) => `    scores[(scoreRow + ${r}u) * ${STRIDE}u + scoreColumn] = ${value(r)};`)
            .join('\n');
        return {
          operands: ['dk', 'dv', 'dOut', 'logSumExp', 'q', 'k', 'v', 'scratch'],
          parameters: { ...types, strideDk: 'u32', strideDv: 'u32', addK: 'u32', addV: 'u32' },
          threads: THREADS,
          declarations: SHARED,
          body: `${PLACE}
  let j0 = wid.x * ${TILE}u;
  let kv = wid.y;
  if (tid == 0u) {
    var until = 0u;
    for (var j = j0; j < min(j0 + ${TILE}u, $rows); j++) { until = max(until, u32(ldi_scratch($rows + j))); }
    bounds[0] = until;
  }
  let to = workgroupUniformLoad(&bounds[0]);
${sums('g', slices.dk)}
${sums('h', slices.dv)}
  for (var member = 0u; member < ($heads / $kvHeads); member++) {
  let head = kv * ($heads / $kvHeads) + member;
  for (var i0 = j0; i0 < to; i0 += ${TILE}u) {
${dots('s', keys, queries, '$dk')}
${dots('t', values, gradients, '$dv')}
    let i = i0 + scoreColumn;
    var least = $rows;
    var pastFirst = 0u;
    var pastEnd = 0u;
    var normal = 0.0;
    var product = 0.0;
    if (i < to) {
      least = u32(ldi_scratch(i));
      pastFirst = u32(ldi_scratch(2u * $rows + i));
      pastEnd = u32(ldi_scratch(3u * $rows + i));
      normal = ld_logSumExp(i * $heads + head);
      product = ld_scratch(${BOUNDS}u * $rows + i * $heads + head);
    }
${range(4)
  .map(
    (r) => `    let own${r} = j0 + scoreRow + ${r}u;
    var p${r} = 0.0;
    if ((own${r} <= i && own${r} >= least) || (own${r} >= pastFirst && own${r} < pastEnd)) {
      p${r} = exp($scale * s${r} - normal);
    }`,
  )
  .join('\n')}
${write((r) => `p${r}`)}
${apply('h', gradients, '$dv', slices.dv)}
    workgroupBarrier();
${write((r) => `$scale * p${r} * (t${r} - product)`)}
${apply('g', queries, '$dk', slices.dk)}
  }
  }
  let j = j0 + row;
  if (j < $rows) {
${store('g', 'dk', 'j * $strideDk + kv * $dk', '$dk', slices.dk, '', '$addK')}
${store('h', 'dv', 'j * $strideDv + kv * $dv', '$dv', slices.dv, '', '$addV')}
  }`,
        };
      },
      { dk: d.dk, dv: d.dv, dOut, logSumExp, q, k, v, scratch },
      {
        ...dimensions(shape),
        ...strides,
        strideDk: d.dk.rowStride,
        strideDv: d.dv.rowStride,
        addK: Number(numbers.accumulate.dk),
        addV: Number(numbers.accumulate.dv),
      },
      [tiles, kvHeads, 1],
    );
  });
}

/**
 * One group a sequence and head. 256 rows of the cache at a time: a thread makes one score, the
 * group their softmax, and then a thread owns a column of the output (several, where values are
 * wider than the group; a part of the rows, where they are narrower).
 */
export function attentionCached(
  context: Context,
  { out, q, keys, values, ...tables }: On<'attentionCached'>,
  numbers: With<'attentionCached'>,
): void {
  const shape = shapeOf(q, values, numbers);
  const { rows, heads, dk, dv } = shape;
  if (rows === 0) return;
  let width = 1;
  while (width < dv && width < THREADS) width *= 2;
  const teams = THREADS / width;
  const room = 64 * Math.ceil(dk / 64);
  const owned = range(Math.ceil(dv / width));
  context.runner.run(
    `attentionCached ${width} ${Math.ceil(dv / width)} ${room}`,
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
      declarations: `${reductions(THREADS, THREADS, context.features.subgroup)}
var<workgroup> query: array<f32, ${room}>;
var<workgroup> weights: array<f32, ${THREADS}>;
var<workgroup> lies: array<u32, ${THREADS}>;
var<workgroup> lengths: array<u32, 2>;`,
      body: `  let b = wid.x;
  let head = wid.y;
  let kv = head * $kvHeads / $heads;
  if (tid == 0u) {
    lengths[0] = u32(ldi_prefixLength(b));
    lengths[1] = u32(ldi_ownLength(b));
  }
  for (var c = tid; c < $dk; c += ${THREADS}u) { query[c] = ld_q(b * $strideQ + head * $dk + c); }
  let prefix = workgroupUniformLoad(&lengths[0]);
  let all = prefix + workgroupUniformLoad(&lengths[1]);
  let team = tid / ${width}u;
  let column = tid % ${width}u;
  var most = ${FLOOR};
  var total = 0.0;
${owned.map((c) => `  var o${c} = 0.0;`).join('\n')}
  for (var first = 0u; first < all; first += ${THREADS}u) {
    let j = first + tid;
    var score = ${FLOOR};
    if (j < all) {
      var place = u32(ldi_prefixStart(b)) + j;
      if (j >= prefix) { place = u32(ldi_ownStart(b)) + j - prefix; }
      lies[tid] = place;
      let base = place * $strideK + kv * $dk;
      var dotted = 0.0;
      for (var c = 0u; c < $dk; c++) { dotted += query[c] * ld_keys(base + c); }
      score = $scale * dotted;
    }
    let now = max(most, largest(score, tid));
    let p = select(0.0, exp(score - now), j < all);
    weights[tid] = p;
    let shrink = select(0.0, exp(most - now), first > 0u);
    total = total * shrink + sum(p, tid);
    most = now;
    let count = min(${THREADS}u, all - first);
${owned.map((c) => `    o${c} *= shrink;`).join('\n')}
    for (var t = team; t < count; t += ${teams}u) {
      let at = lies[t] * $strideV + kv * $dv + column;
      let p = weights[t];
${owned.map((c) => `      if (column + ${c * width}u < $dv) { o${c} += p * ld_values(at + ${c * width}u); }`).join('\n')}
    }
    workgroupBarrier();
  }
  let inverse = 1.0 / total;
${owned
  .map(
    (c) => `  weights[tid] = o${c};
  workgroupBarrier();
  if (tid < ${width}u && column + ${c * width}u < $dv) {
    var joined = 0.0;
    for (var t = 0u; t < ${teams}u; t++) { joined += weights[t * ${width}u + column]; }
    st_out(b * $strideOut + head * $dv + column + ${c * width}u, inverse * joined);
  }
  workgroupBarrier();`,
  )
  .join('\n')}`,
    }),
    { out, q, keys, values, ...tables },
    {
      ...dimensions(shape),
      strideQ: q.rowStride,
      strideK: keys.rowStride,
      strideV: values.rowStride,
      strideOut: out.rowStride,
    },
    [rows, heads, 1],
  );
}
