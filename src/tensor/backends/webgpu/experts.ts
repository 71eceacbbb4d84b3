/**
 * @file Latent attention's heads, the gate, the experts' order, and FP8. Everything is a sort and
 * segments: no number is added to by two threads, so no order depends on the moment.
 */
import { UserError } from '../../../base/errors.js';
import { type Context, lanesFor, type On, pointwise, THREADS, type With } from './context.js';
import { reductions } from './kernel.js';
import type { GpuTensor } from './tensor.js';

export function joinHeads(
  context: Context,
  { k, v, up, shared }: On<'joinHeads'>,
  { heads }: With<'joinHeads'>,
): void {
  const dr = shared.columns;
  const dn = k.columns / heads - dr;
  const dv = v.columns / heads;
  const values = {
    count: up.rows * heads * (dn + dr + dv),
    heads,
    dn,
    dr,
    dv,
    stride: shared.rowStride,
  };
  if (values.count === 0) return;
  context.runner.run(
    'joinHeads',
    () => ({
      operands: ['k', 'v', 'up', 'shared_'],
      parameters: { count: 'u32', heads: 'u32', dn: 'u32', dr: 'u32', dv: 'u32', stride: 'u32' },
      threads: THREADS,
      body: `  let item = group * ${THREADS}u + tid;
  if (item >= $count) { return; }
  let width = $dn + $dr + $dv;
  let i = item % width;
  let head = item / width;
  let base = head * ($dn + $dv);
  let key = head * ($dn + $dr);
  if (i < $dn) { st_k(key + i, ld_up(base + i)); }
  else if (i < $dn + $dr) { st_k(key + i, ld_shared_(head / $heads * $stride + i - $dn)); }
  else { st_v(head * $dv + i - $dn - $dr, ld_up(base + i - $dr)); }`,
    }),
    { k, v, up, shared_: shared },
    values,
    Math.ceil(values.count / THREADS),
  );
}

export function joinHeadsBackward(
  context: Context,
  { dUp, dShared, dk, dValue: dv }: On<'joinHeadsBackward'>,
  { heads, accumulate }: With<'joinHeadsBackward'>,
): void {
  const dr = dShared.columns;
  const keyDim = dk.columns / heads - dr;
  const valueDim = dv.columns / heads;
  pointwise(context, {
    name: `joinHeadsBackward ${accumulate.dUp}`,
    rows: dUp.rows * heads,
    columns: keyDim + valueDim,
    matrices: {},
    others: { dUp, dk, dv },
    parameters: {
      dn: { type: 'u32', value: keyDim },
      dr: { type: 'u32', value: dr },
      dv: { type: 'u32', value: valueDim },
    },
    body: () => `  var x = 0.0;
  if (column < $dn) { x = ld_dk(row * ($dn + $dr) + column); } else { x = ld_dv(row * $dv + column - $dn); }
  st_dUp(item, ${accumulate.dUp ? 'ld_dUp(item) + ' : ''}x);`,
  });
  pointwise(context, {
    name: `joinHeadsBackward, shared ${accumulate.dShared}`,
    rows: dShared.rows,
    columns: dr,
    matrices: { dShared },
    others: { dk },
    parameters: { heads: { type: 'u32', value: heads }, dn: { type: 'u32', value: keyDim } },
    body: () => `  var total = ${accumulate.dShared ? 'ld_dShared(at_dShared)' : '0.0'};
  for (var h = 0u; h < $heads; h++) { total += ld_dk((row * $heads + h) * ($dn + $width) + $dn + column); }
  st_dShared(at_dShared, total);`,
  });
}

const MOST_GROUPS = 32;

/**
 * One thread a token. What was taken is told by the order of taking: the next expert is the largest
 * behind the last one.
 */
/** A row's shares of e^logit. */
const SOFTMAX = `  var most = -3.0e38;
  for (var e = 0u; e < $width; e++) { most = max(most, ld_logits(base + e)); }
  var all = 0.0;
  for (var e = 0u; e < $width; e++) { all += exp(ld_logits(base + e) - most); }
  for (var e = 0u; e < $width; e++) { st_scores(base + e, exp(ld_logits(base + e) - most) / all); }`;

export function route(
  context: Context,
  { experts, weights, scores, logits, bias }: On<'route'>,
  { groups, topGroups, normalize, scale, softmax }: With<'route'>,
): void {
  const [tokens, width, topK] = [logits.rows, bias.size, experts.columns];
  if (groups > MOST_GROUPS)
    throw new UserError(
      'usage',
      `n_group is ${groups}; the WebGPU backend takes at most ${MOST_GROUPS}.`,
    );
  if (tokens === 0) return;
  context.runner.run(
    `route ${normalize} ${softmax}`,
    () => ({
      operands: ['experts', 'weights', 'scores', 'logits', 'bias'],
      parameters: {
        tokens: 'u32',
        width: 'u32',
        size: 'u32',
        groups: 'u32',
        topGroups: 'u32',
        topK: 'u32',
        scale: 'f32',
      },
      threads: 64,
      body: `  let n = group * 64u + tid;
  if (n >= $tokens) { return; }
  let base = n * $width;
${softmax ? SOFTMAX : '  for (var e = 0u; e < $width; e++) { st_scores(base + e, 1.0 / (1.0 + exp(-ld_logits(base + e)))); }'}
  var open = 0u;
  for (var t = 0u; t < $topGroups; t++) {
    var best = 0u;
    var bestScore = -3.0e38;
    for (var g = 0u; g < $groups; g++) {
      if ((open & (1u << g)) != 0u) { continue; }
      var one = -3.0e38;
      var two = -3.0e38;
      for (var e = g * $size; e < (g + 1u) * $size; e++) {
        let x = ld_scores(base + e) + ld_bias(e);
        if (x > one) { two = one; one = x; } else if (x > two) { two = x; }
      }
      let score = select(one, one + two, $size > 1u);
      if (score > bestScore) { best = g; bestScore = score; }
    }
    open |= 1u << best;
  }
  var last = 3.0e38;
  var lastIndex = 0u;
  var total = 0.0;
  for (var k = 0u; k < $topK; k++) {
    var best = 0u;
    var bestScore = -3.0e38;
    for (var e = 0u; e < $width; e++) {
      if ((open & (1u << (e / $size))) == 0u) { continue; }
      let x = ld_scores(base + e) + ld_bias(e);
      if (x > bestScore && (x < last || (x == last && e > lastIndex))) { best = e; bestScore = x; }
    }
    last = bestScore;
    lastIndex = best;
    sti_experts(n * $topK + k, i32(best));
    total += ld_scores(base + best);
  }
  let factor = ${normalize ? '$scale / (total + 1e-20)' : '$scale'};
  for (var k = 0u; k < $topK; k++) {
    let i = n * $topK + k;
    st_weights(i, factor * ld_scores(base + u32(ldi_experts(i))));
  }`,
    }),
    { experts, weights, scores, logits, bias },
    { tokens, width, size: width / groups, groups, topGroups, topK, scale },
    Math.ceil(tokens / 64),
  );
}

export function routeBackward(
  context: Context,
  { dLogits, dWeights, experts, scores }: On<'routeBackward'>,
  { normalize, scale, softmax, accumulate }: With<'routeBackward'>,
): void {
  const [tokens, width, topK] = [scores.rows, scores.columns, experts.columns];
  if (tokens === 0) return;
  context.runner.run(
    `routeBackward ${normalize} ${softmax} ${accumulate}`,
    () => ({
      operands: ['dLogits', 'dWeights', 'experts', 'scores'],
      parameters: { tokens: 'u32', width: 'u32', topK: 'u32', scale: 'f32' },
      threads: 64,
      body: `  let n = group * 64u + tid;
  if (n >= $tokens) { return; }
  let base = n * $width;
${accumulate ? '' : '  for (var e = 0u; e < $width; e++) { st_dLogits(base + e, 0.0); }'}
  var total = ${normalize ? '1e-20' : '0.0'};
  var weighted = 0.0;
  var mean = 0.0;
  for (var k = n * $topK; k < (n + 1u) * $topK; k++) {
    let s = ld_scores(base + u32(ldi_experts(k)));
    total += s;
    weighted += ld_dWeights(k) * s;
  }
  for (var k = n * $topK; k < (n + 1u) * $topK; k++) {
    let e = base + u32(ldi_experts(k));
    let s = ld_scores(e);
    let ds = ${normalize ? '$scale * (ld_dWeights(k) - weighted / total) / total' : '$scale * ld_dWeights(k)'};
    mean += ds * s;
    st_dLogits(e, ld_dLogits(e) + ds * s${softmax ? '' : ' * (1.0 - s)'});
  }
${softmax ? '  for (var e = base; e < base + $width; e++) { st_dLogits(e, ld_dLogits(e) - mean * ld_scores(e)); }' : ''}`,
    }),
    { dLogits, dWeights, experts, scores },
    { tokens, width, topK, scale },
    Math.ceil(tokens / 64),
  );
}

export function balanceLoss(
  context: Context,
  { dLogits, loss, scores, experts, segments, prefixes }: On<'balanceLoss'>,
  { coefficient }: With<'balanceLoss'>,
): void {
  const [tokens, width, topK] = [scores.rows, scores.columns, experts.columns];
  const count = segments.size - 1;
  if (tokens === 0) return;
  // Shares of the experts [S, E], and behind them each token's part of the loss.
  context.withScratch(count * width + tokens, (scratch) => {
    pointwise(context, {
      name: 'balanceLoss, shares',
      rows: count,
      columns: width,
      matrices: {},
      others: { scratch, experts, segments, prefixes: prefixes ?? segments },
      parameters: {
        topK: { type: 'u32', value: topK },
        shared: { type: 'u32', value: Number(prefixes !== null) },
        sequences: { type: 'u32', value: count },
      },
      // Of a prefix: the sum over the sequences that go on from it.
      body: () => `  let first = u32(ldi_segments(row));
  let end = u32(ldi_segments(row + 1u));
  var taken = 0u;
  for (var i = first * $topK; i < end * $topK; i++) { if (u32(ldi_experts(i)) == column) { taken++; } }
  var tokens = end - first;
  var followed = false;
  var share = 0.0;
  if ($shared != 0u) {
    for (var t = row + 1u; t < $sequences; t++) {
      if (ldi_prefixes(t) != i32(row)) { continue; }
      followed = true;
      let from_ = u32(ldi_segments(t));
      let to_ = u32(ldi_segments(t + 1u));
      var both = taken;
      for (var i = from_ * $topK; i < to_ * $topK; i++) { if (u32(ldi_experts(i)) == column) { both++; } }
      share += f32(both) * f32($width) / f32(max(1u, $topK * (tokens + to_ - from_)));
    }
    let prefix = ldi_prefixes(row);
    if (prefix >= 0 && prefix < i32(row)) {
      let from_ = u32(ldi_segments(u32(prefix)));
      let to_ = u32(ldi_segments(u32(prefix) + 1u));
      for (var i = from_ * $topK; i < to_ * $topK; i++) { if (u32(ldi_experts(i)) == column) { taken++; } }
      tokens += to_ - from_;
    }
  }
  if (!followed) { share = f32(taken) * f32($width) / f32(max(1u, $topK * tokens)); }
  st_scratch(item, share);`,
    });
    context.runner.run(
      'balanceLoss, tokens',
      () => ({
        operands: ['dLogits', 'scores', 'segments', 'scratch'],
        parameters: { tokens: 'u32', width: 'u32', count: 'u32', coefficient: 'f32' },
        threads: 64,
        body: `  let n = group * 64u + tid;
  if (n >= $tokens) { return; }
  var low = 0u;
  var high = $count;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (u32(ldi_segments(middle)) <= n) { low = middle; } else { high = middle; }
  }
  let share = low * $width;
  let base = n * $width;
  var total = 0.0;
  for (var e = 0u; e < $width; e++) { total += ld_scores(base + e); }
  var mean = 0.0;
  for (var e = 0u; e < $width; e++) { mean += ld_scratch(share + e) * ld_scores(base + e) / total; }
  for (var e = 0u; e < $width; e++) {
    let s = ld_scores(base + e);
    st_dLogits(base + e, ld_dLogits(base + e) + $coefficient * (ld_scratch(share + e) - mean) * s * (1.0 - s) / total);
  }
  st_scratch($count * $width + n, $coefficient * mean);`,
      }),
      { dLogits, scores, segments, scratch },
      { tokens, width, count, coefficient },
      Math.ceil(tokens / 64),
    );
    context.runner.run(
      'balanceLoss, sum',
      () => ({
        operands: ['loss', 'scratch'],
        parameters: { tokens: 'u32', from: 'u32' },
        threads: THREADS,
        declarations: reductions(THREADS, THREADS, context.features.subgroup),
        body: `  var mine = 0.0;
  for (var n = tid; n < $tokens; n += ${THREADS}u) { mine += ld_scratch($from + n); }
  let total = sum(mine, tid);
  if (tid == 0u) { st_loss(0u, ld_loss(0u) + total); }`,
      }),
      { loss, scratch },
      { tokens, from: count * width },
      1,
    );
  });
}

/** Choices that one thread counts. */
const BLOCK = 128;

/**
 * A stable counting sort: how often each expert is chosen in each block of choices; sums of those
 * over the blocks before, and over the experts before; and every block again, putting its choices
 * behind each other.
 */
export function sortByExpert(
  context: Context,
  { offsets, tokens, slots, load, experts }: On<'sortByExpert'>,
): void {
  const [choices, topK, width] = [experts.size, experts.columns, offsets.size - 1];
  const blocks = Math.max(1, Math.ceil(choices / BLOCK));
  const values = { choices, topK, width, blocks };
  const parameters = { choices: 'u32', topK: 'u32', width: 'u32', blocks: 'u32' } as const;
  const walk = (
    start: string,
    each: string,
    end: string,
  ): string => `  let item = group * ${THREADS}u + tid;
  if (item >= $blocks * $width) { return; }
  let e = item % $width;
  let block = item / $width;
  var next = ${start};
  for (var i = block * ${BLOCK}u; i < min($choices, (block + 1u) * ${BLOCK}u); i++) {
    if (u32(ldi_experts(i)) == e) {
${each}
      next++;
    }
  }
${end}`;
  context.withScratch(blocks * width, (counts) => {
    const groups = Math.ceil((blocks * width) / THREADS);
    context.runner.run(
      'sortByExpert, count',
      () => ({
        operands: ['counts', 'experts'],
        parameters,
        threads: THREADS,
        body: walk('0u', '', '  put_counts(item, next);'),
      }),
      { counts, experts },
      values,
      groups,
    );
    const joined: Record<string, GpuTensor> = { counts, offsets };
    if (load) joined.load = load;
    context.runner.run(
      `sortByExpert, offsets ${load !== null}`,
      () => ({
        operands: Object.keys(joined),
        parameters,
        threads: THREADS,
        body: `  for (var e = tid; e < $width; e += ${THREADS}u) {
    var total = 0u;
    for (var block = 0u; block < $blocks; block++) {
      let at = block * $width + e;
      let here = raw_counts(at);
      put_counts(at, total);
      total += here;
    }
    put_offsets(e + 1u, total);
${load ? '    st_load(e, ld_load(e) + f32(total));' : ''}
  }
  storageBarrier();
  workgroupBarrier();
  if (tid == 0u) {
    var total = 0u;
    put_offsets(0u, 0u);
    for (var e = 1u; e <= $width; e++) {
      total += raw_offsets(e);
      put_offsets(e, total);
    }
  }`,
      }),
      joined,
      values,
      1,
    );
    if (choices === 0) return;
    context.runner.run(
      'sortByExpert, place',
      () => ({
        operands: ['tokens', 'slots', 'offsets', 'counts', 'experts'],
        parameters,
        threads: THREADS,
        body: walk(
          'raw_offsets(e) + raw_counts(item)',
          `      put_tokens(next, i / $topK);
      put_slots(i, next);`,
          '',
        ),
      }),
      { tokens, slots, offsets, counts, experts },
      values,
      groups,
    );
  });
}

export function combineRows(
  context: Context,
  { out, y, slots, weights }: On<'combineRows'>,
  { accumulate }: With<'combineRows'>,
): void {
  const topK = out.rows === 0 ? 0 : slots.size / out.rows;
  pointwise(context, {
    name: `combineRows ${weights !== null} ${accumulate}`,
    rows: out.rows,
    columns: out.columns,
    matrices: { out },
    others: weights ? { y, slots, weights } : { y, slots },
    parameters: { topK: { type: 'u32', value: topK } },
    body: () => `  var total = 0.0;
  for (var i = row * $topK; i < (row + 1u) * $topK; i++) {
    total += ${weights ? 'ld_weights(i) * ' : ''}ld_y(u32(ldi_slots(i)) * $width + column);
  }
  st_out(at_out, ${accumulate ? 'ld_out(at_out) + ' : ''}total);`,
  });
}

export function combineRowsBackward(
  context: Context,
  { dY, dWeights, dOut, y, slots, weights }: On<'combineRowsBackward'>,
): void {
  const choices = slots.size;
  const topK = dOut.rows === 0 ? 0 : choices / dOut.rows;
  const width = dOut.columns;
  if (choices === 0) return;
  pointwise(context, {
    name: 'combineRowsBackward',
    rows: choices,
    columns: width,
    matrices: {},
    others: { dY, dOut, slots, weights },
    parameters: { topK: { type: 'u32', value: topK } },
    body: () =>
      '  st_dY(u32(ldi_slots(row)) * $width + column, ld_weights(row) * ld_dOut(row / $topK * $width + column));',
  });
  const lanes = lanesFor(width, context.features);
  context.runner.run(
    `combineRowsBackward, weights ${lanes}`,
    () => ({
      operands: ['dWeights', 'dOut', 'y', 'slots'],
      parameters: { choices: 'u32', width: 'u32', topK: 'u32' },
      threads: THREADS,
      declarations: reductions(lanes, THREADS, context.features.subgroup),
      body: `  let i = group * ${THREADS / lanes}u + tid / ${lanes}u;
  let lane = tid % ${lanes}u;
  let inside = i < $choices;
  var mine = 0.0;
  if (inside) {
    let base = u32(ldi_slots(i)) * $width;
    for (var c = lane; c < $width; c += ${lanes}u) { mine += ld_dOut(i / $topK * $width + c) * ld_y(base + c); }
  }
  let total = sum(mine, tid);
  if (inside && lane == 0u) { st_dWeights(i, total); }`,
    }),
    { dWeights, dOut, y, slots },
    { choices, width, topK },
    Math.ceil(choices / (THREADS / lanes)),
  );
}

/**
 * One group a block of numbers. Powers of two are made from bits, so that scaling by them is exact.
 */
export function quantizeFp8(
  context: Context,
  { out, a }: On<'quantizeFp8'>,
  { blockRows, blockColumns }: With<'quantizeFp8'>,
): void {
  if (a.size === 0) return;
  const across = Math.ceil(a.columns / blockColumns);
  const down = Math.ceil(a.rows / blockRows);
  context.runner.run(
    'quantizeFp8',
    () => ({
      operands: ['out', 'a'],
      parameters: {
        rows: 'u32',
        columns: 'u32',
        blockRows: 'u32',
        blockColumns: 'u32',
        across: 'u32',
        count: 'u32',
      },
      threads: THREADS,
      declarations: `${reductions(THREADS, THREADS, context.features.subgroup)}
fn power(e: i32) -> f32 { return bitcast<f32>(u32(e + 127) << 23u); }
fn to_e4m3(x: f32) -> f32 {
  let e = max(-6, i32((bitcast<u32>(x) >> 23u) & 255u) - 127) - 3;
  return round(x * power(-e)) * power(e);
}`,
      body: `  if (group >= $count) { return; }
  let top = group / $across * $blockRows;
  let left = group % $across * $blockColumns;
  let wide = min($blockColumns, $columns - left);
  let all = min($blockRows, $rows - top) * wide;
  var most = 0.0;
  for (var i = tid; i < all; i += ${THREADS}u) { most = max(most, abs(ld_a((top + i / wide) * $columns + left + i % wide))); }
  let scale = largest(most, tid) / 448.0;
  for (var i = tid; i < all; i += ${THREADS}u) {
    let at = (top + i / wide) * $columns + left + i % wide;
    var x = 0.0;
    if (scale > 0.0) { x = to_e4m3(clamp(ld_a(at) / scale, -448.0, 448.0)) * scale; }
    st_out(at, x);
  }`,
    }),
    { out, a },
    {
      rows: a.rows,
      columns: a.columns,
      blockRows: blockRows,
      blockColumns: blockColumns,
      across,
      count: across * down,
    },
    across * down,
  );
}
