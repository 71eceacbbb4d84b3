/**
 * @file Attention over packed sequences and over caches.
 *
 * Scores and probabilities exist for a block of queries at a time, of one head: 6 in the forward
 * pass, 48 in the backward pass (which recomputes them from the kept log-sum-exp; Dao et al. 2022).
 * What lies above the diagonal is computed up to the edge of a register tile and then masked. All
 * products run on the micro-kernels of gemm.ts, in place: only keys and values that must be
 * transposed are packed, once a head.
 *
 * The keys that a row sees lie in two runs, those of its sequence's prefix and its own: in a row of
 * scores the prefix's come first, and each product is made once for each run. The derivatives of a
 * prefix's keys and values are added to by the sequences that go on from it, in their order.
 *
 * Head h reads key head h / (heads / kvHeads); derivatives of a key head add up over its query
 * heads in their order.
 */
import { dotProduct, multiplyBlock, nextRows, packColumns, packRows } from './gemm';
import { expRow, log1, madd, sumLanes } from './math';

/** The segment that segment s goes on from, or -1; `prefixes` may be 0: none has one. */
export function prefixOf(prefixes: usize, s: i32): i32 {
  const prefix = prefixes == 0 ? -1 : load<i32>(prefixes + (<usize>s << 2));
  return prefix < s ? prefix : -1;
}

/** Queries of a block in the backward pass; a multiple of the tile's 6. */
const BLOCK: i32 = 48;
/** A tile of 6×8 numbers at the start of scratch. */
const TILE_BYTES: usize = 256;

// @ts-ignore: decorator
@inline
function roundUp8(n: i32): i32 {
  return (n + 7) & ~7;
}

/**
 * C[mr, n] = alpha·A·B (+ C) for at most 6 rows, B in place with rows bInner apart; A's strides as
 * in `multiplyBlock`. Only a last panel of fewer than 8 columns is packed, to `panel` (k·32 bytes).
 */
function multiply(
  mr: i32, n: i32, k: i32, a: usize, aRow: usize, aInner: usize, b: usize, bInner: usize, c: usize, cRow: usize,
  alpha: f32, add: bool, tile: usize, panel: usize,
): void {
  let left = n;
  for (; left >= 8; left -= 8) {
    multiplyBlock(mr, 8, k, a, aRow, aInner, b, bInner, c, cRow, alpha, add, tile);
    b += 32;
    c += 32;
  }
  if (left > 0) {
    packRows(k, left, b, bInner, panel);
    multiplyBlock(mr, left, k, a, aRow, aInner, panel, 32, c, cRow, alpha, add, tile);
  }
}

/** Rows of `b`, transposed to panels of 8 columns. */
function packTransposed(rows: i32, width: i32, b: usize, bRow: usize, panels: usize): void {
  for (let j = 0; j < rows; j += 8) packColumns(width, min(8, rows - j), b + <usize>j * bRow, bRow, panels + (<usize>(j * width) << 2));
}

/** C[mr, columns] = alpha·A·(packed panels); columns is a multiple of 8. */
// @ts-ignore: decorator
@inline
function multiplyPanels(
  mr: i32, columns: i32, k: i32, a: usize, aRow: usize, panels: usize, c: usize, cRow: usize, alpha: f32, tile: usize,
): void {
  const panelBytes = <usize>k << 5;
  for (let j = 0; j < columns; j += 8) {
    multiplyBlock(mr, 8, k, a, aRow, 4, panels, 32, c, cRow, alpha, false, tile);
    panels += panelBytes;
    c += 32;
  }
}

/** All bits set in the lanes below `n`. */
// @ts-ignore: decorator
@inline
function lanesBelow(n: i32): v128 {
  return i32x4.gt_s(i32x4.splat(n), i32x4(0, 1, 2, 3));
}

/** Sets numbers [from, to) of a row; both multiples of 4. */
// @ts-ignore: decorator
@inline
function fill4(row: usize, from: i32, to: i32, value: f32): void {
  const value4 = f32x4.splat(value);
  const end = row + (<usize>to << 2);
  for (let x = row + (<usize>from << 2); x < end; x += 16) v128.store(x, value4);
}

/**
 * Softmax of rows of scores, in place: row r sees its first `seen` + r scores, the rest of its
 * `width` (a multiple of 4) become zeros. Writes the log-sum-exp of each row, `lseStep` bytes
 * apart.
 *
 * All exps of the block are taken in one long loop, which hides their latency; what each row does
 * before and after works on whole vectors, since a vector load waits for scalar stores to the same
 * place.
 */
function softmaxRows(rows: i32, x: usize, row: usize, width: i32, seen: i32, lse: usize, lseStep: usize): void {
  let p = x;
  let to = lse;
  for (let r = 0; r < rows; r++) {
    const end = p + (<usize>((seen + r) & ~3) << 2);
    const mask = lanesBelow((seen + r) & 3);
    let most4 = f32x4.splat(-Infinity);
    for (let at = p; at < end; at += 16) most4 = f32x4.pmax(most4, v128.load(at));
    const rest = (seen + r) & 3;
    let last = f32x4.splat(-Infinity);
    if (rest != 0) {
      last = v128.bitselect(v128.load(end), last, mask);
      most4 = f32x4.pmax(most4, last);
    }
    most4 = f32x4.pmax(most4, v128.shuffle<f32>(most4, most4, 2, 3, 0, 1));
    most4 = f32x4.pmax(most4, v128.shuffle<f32>(most4, most4, 1, 0, 3, 2));
    for (let at = p; at < end; at += 16) v128.store(at, f32x4.sub(v128.load(at), most4));
    if (rest != 0) v128.store(end, f32x4.sub(last, most4));
    fill4(p, (seen + r + 3) & ~3, width, -Infinity);
    store<f32>(to, f32x4.extract_lane(most4, 0));
    to += lseStep;
    p += row;
  }
  // Rows follow one another without a gap when they are as long as their stride.
  if (row == <usize>width << 2) expRow(x, x, rows * width, 1, 0, 1);
  else for (let r = 0; r < rows; r++) expRow(x + <usize>r * row, x + <usize>r * row, width, 1, 0, 1);
  p = x;
  to = lse;
  for (let r = 0; r < rows; r++) {
    const end = p + (<usize>((seen + r + 3) & ~3) << 2);
    let sum = f32x4.splat(0);
    for (let at = p; at < end; at += 16) sum = f32x4.add(sum, v128.load(at));
    const total = sumLanes(sum);
    const factor = f32x4.splat(1 / total);
    for (let at = p; at < end; at += 16) v128.store(at, f32x4.mul(v128.load(at), factor));
    store<f32>(to, load<f32>(to) + <f32>log1(total));
    to += lseStep;
    p += row;
  }
}

/**
 * Scores x become probabilities, and their derivatives dx become those of the scores before
 * scaling: x ∘ (dx − delta)·scale, delta = dOut·out of the row. Rows as in `softmaxRows`; both are
 * zeros beyond what a row sees.
 */
function softmaxBackwardRows(
  rows: i32, x: usize, dx: usize, row: usize, width: i32, seen: i32, lse: usize, lseStep: usize,
  dOut: usize, dOutRow: usize, out: usize, outRow: usize, valueDim: i32, scale: f32,
): void {
  let p = x;
  for (let r = 0; r < rows; r++) {
    const end = p + (<usize>((seen + r) & ~3) << 2);
    const lse4 = v128.load_splat<f32>(lse);
    for (let at = p; at < end; at += 16) v128.store(at, f32x4.sub(v128.load(at), lse4));
    const rest = (seen + r) & 3;
    if (rest != 0) v128.store(end, v128.bitselect(f32x4.sub(v128.load(end), lse4), f32x4.splat(-Infinity), lanesBelow(rest)));
    const seen4 = (seen + r + 3) & ~3;
    expRow(p, p, seen4, 1, 0, 1);
    fill4(p, seen4, width, 0);
    lse += lseStep;
    p += row;
  }
  const scale4 = f32x4.splat(scale);
  for (let r = 0; r < rows; r++) {
    const delta4 = f32x4.splat(dotRow(dOut, out, valueDim));
    const end = dx + (<usize>((seen + r) & ~3) << 2);
    p = x;
    let at = dx;
    for (; at < end; at += 16) {
      v128.store(at, f32x4.mul(f32x4.mul(v128.load(p), f32x4.sub(v128.load(at), delta4)), scale4));
      p += 16;
    }
    const rest = (seen + r) & 3;
    if (rest != 0) {
      const ds = f32x4.mul(f32x4.mul(v128.load(p), f32x4.sub(v128.load(at), delta4)), scale4);
      v128.store(at, v128.and(ds, lanesBelow(rest)));
      at += 16;
    }
    for (const last = dx + (<usize>width << 2); at < last; at += 16) v128.store(at, f32x4.splat(0));
    x += row;
    dx += row;
    dOut += dOutRow;
    out += outRow;
  }
}

function dotRow(a: usize, b: usize, n: i32): f32 {
  let sum4 = f32x4.splat(0);
  const end = a + (<usize>n << 2);
  const end4 = a + (<usize>(n & ~3) << 2);
  for (; a < end4; a += 16) {
    sum4 = f32x4.add(sum4, f32x4.mul(v128.load(a), v128.load(b)));
    b += 16;
  }
  let sum = sumLanes(sum4);
  for (; a < end; a += 4) {
    sum += load<f32>(a) * load<f32>(b);
    b += 4;
  }
  return sum;
}

/**
 * Causal attention of sequences [from, to) of `segments`; see `attentionForward` in attention.ts.
 * Strides in elements. A sequence of T rows needs TILE + 4·(T + 8)·(keyDim + 14) bytes of scratch;
 * after P rows of a prefix, T + P + 16 takes the place of T + 8.
 */
export function attentionForward(
  out: usize, outStride: i32, logSumExp: usize,
  q: usize, qStride: i32, k: usize, kStride: i32, v: usize, vStride: i32,
  segments: usize, prefixes: usize, from: i32, to: i32,
  heads: i32, kvHeads: i32, keyDim: i32, valueDim: i32, scale: f32, scratch: usize,
): void {
  const qRow = <usize>qStride << 2;
  const kRow = <usize>kStride << 2;
  const vRow = <usize>vStride << 2;
  const outRow = <usize>outStride << 2;
  const group = heads / kvHeads;
  for (let s = from; s < to; s++) {
    const first = load<i32>(segments + (<usize>s << 2));
    const length = load<i32>(segments + (<usize>(s + 1) << 2)) - first;
    if (length <= 0) continue;
    // Rows pastFirst … pastFirst + past are the prefix's.
    const prefix = prefixOf(prefixes, s);
    const pastFirst = prefix < 0 ? first : load<i32>(segments + (<usize>prefix << 2));
    const past = prefix < 0 ? 0 : load<i32>(segments + (<usize>(prefix + 1) << 2)) - pastFirst;
    const scores = scratch + TILE_BYTES;
    const panel = scores + 6 * (<usize>roundUp8(past + roundUp8(length)) << 2);
    const panels = panel + (<usize>max(past, length) << 5);
    const pastPanels = panels + (<usize>(roundUp8(length) * keyDim) << 2);
    for (let h = 0; h < heads; h++) {
      const g = h / group;
      const kHead = k + (<usize>(g * keyDim) << 2);
      const vHead = v + (<usize>(g * valueDim) << 2);
      const vOwn = vHead + <usize>first * vRow;
      const vPast = vHead + <usize>pastFirst * vRow;
      if (h == g * group) {
        packTransposed(length, keyDim, kHead + <usize>first * kRow, kRow, panels);
        packTransposed(past, keyDim, kHead + <usize>pastFirst * kRow, kRow, pastPanels);
      }
      for (let i = 0; i < length; ) {
        const mr = nextRows(length - i);
        const row = <usize>(first + i);
        const columns = roundUp8(past + roundUp8(i + mr));
        const scoreRow = <usize>columns << 2;
        const own = scores + (<usize>past << 2);
        const query = q + row * qRow + (<usize>(h * keyDim) << 2);
        const sum = out + row * outRow + (<usize>(h * valueDim) << 2);
        // The prefix's last panel reaches into the own columns, which come after it.
        multiplyPanels(mr, roundUp8(past), keyDim, query, qRow, pastPanels, scores, scoreRow, scale, scratch);
        multiplyPanels(mr, roundUp8(i + mr), keyDim, query, qRow, panels, own, scoreRow, scale, scratch);
        softmaxRows(mr, scores, scoreRow, columns, past + i + 1, logSumExp + ((row * heads + h) << 2), <usize>heads << 2);
        if (past > 0) multiply(mr, valueDim, past, scores, scoreRow, 4, vPast, vRow, sum, outRow, 1, false, scratch, panel);
        multiply(mr, valueDim, i + mr, own, scoreRow, 4, vOwn, vRow, sum, outRow, 1, past > 0, scratch, panel);
        i += mr;
      }
    }
  }
}

/**
 * Derivatives for sequences [from, to). `add*`: add to what the output holds. A sequence of T rows
 * needs TILE + 4·(T + 16)·(2·BLOCK + keyDim + valueDim + 8) bytes of scratch; after P rows of a
 * prefix, T + P + 32 takes the place of T + 16.
 */
export function attentionBackward(
  dq: usize, dqStride: i32, addQ: bool, dk: usize, dkStride: i32, addK: bool, dv: usize, dvStride: i32, addV: bool,
  dOut: usize, dOutStride: i32, out: usize, outStride: i32, logSumExp: usize,
  q: usize, qStride: i32, k: usize, kStride: i32, v: usize, vStride: i32,
  segments: usize, prefixes: usize, from: i32, to: i32,
  heads: i32, kvHeads: i32, keyDim: i32, valueDim: i32, scale: f32, scratch: usize,
): void {
  const qRow = <usize>qStride << 2;
  const kRow = <usize>kStride << 2;
  const vRow = <usize>vStride << 2;
  const outRow = <usize>outStride << 2;
  const dOutRow = <usize>dOutStride << 2;
  const dqRow = <usize>dqStride << 2;
  const dkRow = <usize>dkStride << 2;
  const dvRow = <usize>dvStride << 2;
  const group = heads / kvHeads;
  for (let s = from; s < to; s++) {
    const first = load<i32>(segments + (<usize>s << 2));
    const length = load<i32>(segments + (<usize>(s + 1) << 2)) - first;
    if (length <= 0) continue;
    const prefix = prefixOf(prefixes, s);
    const pastFirst = prefix < 0 ? first : load<i32>(segments + (<usize>prefix << 2));
    const past = prefix < 0 ? 0 : load<i32>(segments + (<usize>(prefix + 1) << 2)) - pastFirst;
    // Tiles of the transposed products read up to 5 columns past a row's last tile.
    const row = <usize>(roundUp8(past + roundUp8(length)) + 8) << 2;
    const p = scratch + TILE_BYTES;
    const ds = p + <usize>BLOCK * row;
    const panel = ds + <usize>BLOCK * row;
    const keyPanels = panel + (<usize>max(past, length) << 5);
    const valuePanels = keyPanels + (<usize>(roundUp8(length) * keyDim) << 2);
    const pastKeyPanels = valuePanels + (<usize>(roundUp8(length) * valueDim) << 2);
    const pastValuePanels = pastKeyPanels + (<usize>(roundUp8(past) * keyDim) << 2);
    const ownAt = <usize>past << 2;
    for (let h = 0; h < heads; h++) {
      const g = h / group;
      const keyColumn = <usize>(g * keyDim) << 2;
      const valueColumn = <usize>(g * valueDim) << 2;
      const kHead = k + <usize>first * kRow + keyColumn;
      const vHead = v + <usize>first * vRow + valueColumn;
      const kPast = k + <usize>pastFirst * kRow + keyColumn;
      const vPast = v + <usize>pastFirst * vRow + valueColumn;
      const firstOfGroup = h == g * group;
      if (firstOfGroup) {
        packTransposed(length, keyDim, kHead, kRow, keyPanels);
        packTransposed(length, valueDim, vHead, vRow, valuePanels);
        packTransposed(past, keyDim, kPast, kRow, pastKeyPanels);
        packTransposed(past, valueDim, vPast, vRow, pastValuePanels);
      }
      const qHead = q + <usize>first * qRow + (<usize>(h * keyDim) << 2);
      const dqHead = dq + <usize>first * dqRow + (<usize>(h * keyDim) << 2);
      const dkHead = dk + <usize>first * dkRow + keyColumn;
      const dvHead = dv + <usize>first * dvRow + valueColumn;
      const dkPast = dk + <usize>pastFirst * dkRow + keyColumn;
      const dvPast = dv + <usize>pastFirst * dvRow + valueColumn;
      const outHead = out + <usize>first * outRow + (<usize>(h * valueDim) << 2);
      const dOutHead = dOut + <usize>first * dOutRow + (<usize>(h * valueDim) << 2);
      for (let block = 0; block < length; block += BLOCK) {
        const blockEnd = min(block + BLOCK, length);
        for (let i = block; i < blockEnd; ) {
          const mr = nextRows(blockEnd - i);
          const t = <usize>i;
          const columns = roundUp8(past + roundUp8(i + mr));
          const pRows = p + <usize>(i - block) * row;
          const dsRows = ds + <usize>(i - block) * row;
          const query = qHead + t * qRow;
          const gradient = dOutHead + t * dOutRow;
          multiplyPanels(mr, roundUp8(past), keyDim, query, qRow, pastKeyPanels, pRows, row, scale, scratch);
          multiplyPanels(mr, roundUp8(i + mr), keyDim, query, qRow, keyPanels, pRows + ownAt, row, scale, scratch);
          multiplyPanels(mr, roundUp8(past), valueDim, gradient, dOutRow, pastValuePanels, dsRows, row, 1, scratch);
          multiplyPanels(mr, roundUp8(i + mr), valueDim, gradient, dOutRow, valuePanels, dsRows + ownAt, row, 1, scratch);
          softmaxBackwardRows(
            mr, pRows, dsRows, row, columns + 8, past + i + 1, logSumExp + (((<usize>first + t) * heads + h) << 2), <usize>heads << 2,
            gradient, dOutRow, outHead + t * outRow, outRow, valueDim, scale,
          );
          const dQuery = dqHead + t * dqRow;
          if (past > 0) multiply(mr, keyDim, past, dsRows, row, 4, kPast, kRow, dQuery, dqRow, 1, addQ, scratch, panel);
          multiply(mr, keyDim, i + mr, dsRows + ownAt, row, 4, kHead, kRow, dQuery, dqRow, 1, addQ || past > 0, scratch, panel);
          i += mr;
        }
        // Every query of the block has seen the whole prefix, whose derivatives are begun already.
        const rows = blockEnd - block;
        const queries = qHead + <usize>block * qRow;
        const gradients = dOutHead + <usize>block * dOutRow;
        for (let j = 0; j < past; j += 6) {
          const mr = min(6, past - j);
          const at = <usize>j << 2;
          multiply(mr, valueDim, rows, p + at, 4, row, gradients, dOutRow, dvPast + <usize>j * dvRow, dvRow, 1, true, scratch, panel);
          multiply(mr, keyDim, rows, ds + at, 4, row, queries, qRow, dkPast + <usize>j * dkRow, dkRow, 1, true, scratch, panel);
        }
        for (let j = 0; j < blockEnd; j += 6) {
          const mr = min(6, blockEnd - j);
          // Queries before key j have not seen it.
          const start = max(j, block);
          const at = <usize>(start - block) * row + ownAt + (<usize>j << 2);
          const fresh = firstOfGroup && j >= block;
          multiply(mr, valueDim, blockEnd - start, p + at, 4, row, dOutHead + <usize>start * dOutRow, dOutRow, dvHead + <usize>j * dvRow, dvRow, 1, addV || !fresh, scratch, panel);
          multiply(mr, keyDim, blockEnd - start, ds + at, 4, row, qHead + <usize>start * qRow, qRow, dkHead + <usize>j * dkRow, dkRow, 1, addK || !fresh, scratch, panel);
        }
      }
    }
  }
}

/**
 * Softmax of a block of scores whose products another library makes: row r sees first + r + 1 of
 * them, and is `width` (a multiple of 4) long. logSumExp is that of the first row; `heads` numbers
 * lie between rows.
 */
export function attentionSoftmax(scores: usize, width: i32, rows: i32, first: i32, logSumExp: usize, heads: i32): void {
  softmaxRows(rows, scores, <usize>width << 2, width, first + 1, logSumExp, <usize>heads << 2);
}

/** The same for the derivative; dOut and out are one head's, at the block's first row. */
export function attentionSoftmaxBackward(
  scores: usize, dScores: usize, width: i32, rows: i32, first: i32, logSumExp: usize, heads: i32,
  dOut: usize, dOutStride: i32, out: usize, outStride: i32, valueDim: i32, scale: f32,
): void {
  const row = <usize>width << 2;
  const dOutRow = <usize>dOutStride << 2;
  softmaxBackwardRows(rows, scores, dScores, row, width, first + 1, logSumExp, <usize>heads << 2, dOut, dOutRow, out, <usize>outStride << 2, valueDim, scale);
}

/** Zeros in `columns` columns of a strided matrix. */
export function attentionClear(x: usize, stride: i32, rows: i32, columns: i32): void {
  for (let r = 0; r < rows; r++) memory.fill(x + (<usize>r * stride << 2), 0, <usize>columns << 2);
}

/** out[width] += Σ_j weights[j]·rows[j], eight accumulators at a time. */
function weightedSum(out: usize, weights: usize, n: i32, rows: usize, rowBytes: usize, width: i32): void {
  let left = width;
  for (; left >= 32; left -= 32) {
    let s0 = v128.load(out), s1 = v128.load(out, 16), s2 = v128.load(out, 32), s3 = v128.load(out, 48);
    let s4 = v128.load(out, 64), s5 = v128.load(out, 80), s6 = v128.load(out, 96), s7 = v128.load(out, 112);
    let x = rows;
    for (let j: usize = 0; j < <usize>n; j++) {
      const w = v128.load_splat<f32>(weights + (j << 2));
      s0 = madd(w, v128.load(x), s0);
      s1 = madd(w, v128.load(x, 16), s1);
      s2 = madd(w, v128.load(x, 32), s2);
      s3 = madd(w, v128.load(x, 48), s3);
      s4 = madd(w, v128.load(x, 64), s4);
      s5 = madd(w, v128.load(x, 80), s5);
      s6 = madd(w, v128.load(x, 96), s6);
      s7 = madd(w, v128.load(x, 112), s7);
      x += rowBytes;
    }
    v128.store(out, s0);
    v128.store(out, s1, 16);
    v128.store(out, s2, 32);
    v128.store(out, s3, 48);
    v128.store(out, s4, 64);
    v128.store(out, s5, 80);
    v128.store(out, s6, 96);
    v128.store(out, s7, 112);
    out += 128;
    rows += 128;
  }
  for (; left >= 8; left -= 8) {
    let s0 = v128.load(out), s1 = v128.load(out, 16);
    let x = rows;
    for (let j: usize = 0; j < <usize>n; j++) {
      const w = v128.load_splat<f32>(weights + (j << 2));
      s0 = madd(w, v128.load(x), s0);
      s1 = madd(w, v128.load(x, 16), s1);
      x += rowBytes;
    }
    v128.store(out, s0);
    v128.store(out, s1, 16);
    out += 32;
    rows += 32;
  }
  for (; left > 0; left--) {
    let sum = load<f32>(out);
    let x = rows;
    for (let j: usize = 0; j < <usize>n; j++) {
      sum += load<f32>(weights + (j << 2)) * load<f32>(x);
      x += rowBytes;
    }
    store<f32>(out, sum);
    out += 4;
    rows += 4;
  }
}

/**
 * One query a sequence against a prefix and its own rows of a cache; the heads of a group go
 * through the keys together.
 * `scratch` holds heads/kvHeads rows of scores: 4·(T + 8) bytes each.
 */
export function attentionCached(
  out: usize, outStride: i32, q: usize, qStride: i32, keys: usize, keysStride: i32, values: usize, valuesStride: i32,
  prefixStart: usize, prefixLength: usize, ownStart: usize, ownLength: usize, batch: i32,
  heads: i32, kvHeads: i32, keyDim: i32, valueDim: i32, scale: f32, scratch: usize,
): void {
  const group = heads / kvHeads;
  const keyRow = <usize>keysStride << 2;
  const valueRow = <usize>valuesStride << 2;
  for (let b = 0; b < batch; b++) {
    const at = <usize>b << 2;
    const prefix = load<i32>(prefixLength + at);
    const own = load<i32>(ownLength + at);
    const total = prefix + own;
    const total4 = (total + 3) & ~3;
    const scoreRow = <usize>total4 << 2;
    const prefixRow = <usize>load<i32>(prefixStart + at);
    const ownRow = <usize>load<i32>(ownStart + at);
    // Nobody keeps the log-sum-exp here.
    const lse = scratch + <usize>group * scoreRow;
    const ownScores = scratch + (<usize>prefix << 2);
    for (let g = 0; g < kvHeads; g++) {
      const k = keys + (<usize>(g * keyDim) << 2);
      const v = values + (<usize>(g * valueDim) << 2);
      const queries = q + ((<usize>b * qStride + <usize>(g * group * keyDim)) << 2);
      const queryBytes = <usize>keyDim << 2;
      dotProduct(group, prefix, keyDim, scale, queries, queryBytes, k + prefixRow * keyRow, keyRow, false, scratch, scoreRow);
      dotProduct(group, own, keyDim, scale, queries, queryBytes, k + ownRow * keyRow, keyRow, false, ownScores, scoreRow);
      for (let r = 0; r < group; r++) {
        const x = scratch + <usize>r * scoreRow;
        const po = out + ((<usize>b * outStride + <usize>((g * group + r) * valueDim)) << 2);
        memory.fill(po, 0, <usize>valueDim << 2);
        if (total > 0) softmaxRows(1, x, scoreRow, total4, total, lse, 0);
        weightedSum(po, x, prefix, v + prefixRow * valueRow, valueRow, valueDim);
        weightedSum(po, x + (<usize>prefix << 2), own, v + ownRow * valueRow, valueRow, valueDim);
      }
    }
  }
}
