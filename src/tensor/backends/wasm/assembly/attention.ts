/**
 * @file Attention over packed sequences and over caches.
 *
 * Scores and probabilities exist for a block of queries at a time, of one head: 6 in the forward pass, 48 in the backward
 * pass (which recomputes them from the kept log-sum-exp; Dao et al. 2022). What lies above the diagonal is computed up to the
 * edge of a register tile and then masked. All products run on the micro-kernels of gemm.ts, in place: only keys and values
 * that must be transposed are packed, once a head.
 *
 * Head h reads key head h / (heads / kvHeads); derivatives of a key head add up over its query heads in their order.
 */
import { dotProduct, microRows, nextRows, packColumns, packRows, storeTile } from './gemm';
import { expRow, largest, log1, madd } from './math';

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
 * C[mr, n] = alpha·A·B (+ C) for at most 6 rows, B in place with rows bInner apart; A's strides as in `microRows`. Only a last
 * panel of fewer than 8 columns is packed, to `panel` (k·32 bytes).
 */
function multiply(
  mr: i32, n: i32, k: i32, a: usize, aRow: usize, aInner: usize, b: usize, bInner: usize, c: usize, cRow: usize,
  alpha: f32, add: bool, tile: usize, panel: usize,
): void {
  let left = n;
  for (; left >= 8; left -= 8) {
    microRows(mr, k, a, aRow, aInner, b, bInner, c, cRow, alpha, add);
    b += 32;
    c += 32;
  }
  if (left > 0) {
    packRows(k, left, b, bInner, panel);
    microRows(mr, k, a, aRow, aInner, panel, 32, tile, 32, alpha, false);
    storeTile(mr, left, tile, c, cRow, add);
  }
}

/** Rows of `b`, transposed to panels of 8 columns. */
function packTransposed(rows: i32, width: i32, b: usize, bRow: usize, panels: usize): void {
  for (let j = 0; j < rows; j += 8) packColumns(width, min(8, rows - j), b + <usize>j * bRow, bRow, panels + (<usize>(j * width) << 2));
}

/** C[mr, columns] = alpha·A·(packed panels); columns is a multiple of 8. */
// @ts-ignore: decorator
@inline
function multiplyPanels(mr: i32, columns: i32, k: i32, a: usize, aRow: usize, panels: usize, c: usize, cRow: usize, alpha: f32): void {
  const panelBytes = <usize>k << 5;
  for (let j = 0; j < columns; j += 8) {
    microRows(mr, k, a, aRow, 4, panels, 32, c, cRow, alpha, false);
    panels += panelBytes;
    c += 32;
  }
}

// @ts-ignore: decorator
@inline
function sumRow(x: usize, n: i32): f32 {
  let sum = f32x4.splat(0);
  for (const end = x + (<usize>n << 2); x < end; x += 16) sum = f32x4.add(sum, v128.load(x));
  sum = f32x4.add(sum, v128.shuffle<f32>(sum, sum, 2, 3, 0, 1));
  return f32x4.extract_lane(sum, 0) + f32x4.extract_lane(sum, 1);
}

// @ts-ignore: decorator
@inline
function scaleRow(x: usize, n: i32, factor: f32): void {
  const factor4 = f32x4.splat(factor);
  for (const end = x + (<usize>n << 2); x < end; x += 16) v128.store(x, f32x4.mul(v128.load(x), factor4));
}

/** Fills numbers [from, to) of a row. */
// @ts-ignore: decorator
@inline
function fillRow(row: usize, from: i32, to: i32, value: f32): void {
  const end = row + (<usize>to << 2);
  for (let x = row + (<usize>from << 2); x < end; x += 4) store<f32>(x, value);
}

/** Softmax of the first `seen` scores of a row, in place; zeros from there to `width`. Returns the log-sum-exp. */
function softmaxRow(x: usize, seen: i32, width: i32): f32 {
  const seen4 = (seen + 3) & ~3;
  fillRow(x, seen, seen4, -Infinity);
  fillRow(x, seen4, width, 0);
  const most = largest(x, seen4);
  expRow(x, x, seen4, 1, most, 1);
  const total = sumRow(x, seen4);
  scaleRow(x, seen4, 1 / total);
  return most + <f32>log1(total);
}

/**
 * Scores x become probabilities, and their derivatives dx become those of the scores before scaling:
 * x ∘ (dx − delta)·scale. Both are zeros from `seen` to `width`.
 */
function softmaxBackwardRow(x: usize, dx: usize, seen: i32, width: i32, lse: f32, delta: f32, scale: f32): void {
  const seen4 = (seen + 3) & ~3;
  fillRow(x, seen, seen4, -Infinity);
  fillRow(x, seen4, width, 0);
  fillRow(dx, seen, width, 0);
  expRow(x, x, seen4, 1, lse, 1);
  const delta4 = f32x4.splat(delta);
  const scale4 = f32x4.splat(scale);
  for (const end = dx + (<usize>seen4 << 2); dx < end; dx += 16) {
    v128.store(dx, f32x4.mul(f32x4.mul(v128.load(x), f32x4.sub(v128.load(dx), delta4)), scale4));
    x += 16;
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
  sum4 = f32x4.add(sum4, v128.shuffle<f32>(sum4, sum4, 2, 3, 0, 1));
  let sum = f32x4.extract_lane(sum4, 0) + f32x4.extract_lane(sum4, 1);
  for (; a < end; a += 4) {
    sum += load<f32>(a) * load<f32>(b);
    b += 4;
  }
  return sum;
}

/**
 * Causal attention of sequences [from, to) of `segments`; see `attentionForward` in attention.ts. Strides in elements. The
 * longest sequence T needs TILE + 4·(T + 8)·(keyDim + 14) bytes of scratch.
 */
export function attentionForward(
  out: usize, outStride: i32, logSumExp: usize,
  q: usize, qStride: i32, k: usize, kStride: i32, v: usize, vStride: i32,
  segments: usize, from: i32, to: i32,
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
    const padded = roundUp8(length);
    const scoreRow = <usize>padded << 2;
    const scores = scratch + TILE_BYTES;
    const panel = scores + 6 * scoreRow;
    const panels = panel + (<usize>length << 5);
    for (let h = 0; h < heads; h++) {
      const g = h / group;
      const vHead = v + <usize>first * vRow + (<usize>(g * valueDim) << 2);
      if (h == g * group) packTransposed(length, keyDim, k + <usize>first * kRow + (<usize>(g * keyDim) << 2), kRow, panels);
      for (let i = 0; i < length; ) {
        const mr = nextRows(length - i);
        const row = <usize>(first + i);
        const columns = roundUp8(i + mr);
        multiplyPanels(mr, columns, keyDim, q + row * qRow + (<usize>(h * keyDim) << 2), qRow, panels, scores, scoreRow, scale);
        for (let r = 0; r < mr; r++) {
          const lse = softmaxRow(scores + <usize>r * scoreRow, i + r + 1, columns);
          store<f32>(logSumExp + (((row + r) * heads + h) << 2), lse);
        }
        multiply(mr, valueDim, i + mr, scores, scoreRow, 4, vHead, vRow, out + row * outRow + (<usize>(h * valueDim) << 2), outRow, 1, false, scratch, panel);
        i += mr;
      }
    }
  }
}

/**
 * Derivatives for sequences [from, to). `add*`: add to what the output holds. The longest sequence T needs
 * TILE + 4·(T + 16)·(2·BLOCK + keyDim + valueDim + 8) bytes of scratch.
 */
export function attentionBackward(
  dq: usize, dqStride: i32, addQ: bool, dk: usize, dkStride: i32, addK: bool, dv: usize, dvStride: i32, addV: bool,
  dOut: usize, dOutStride: i32, out: usize, outStride: i32, logSumExp: usize,
  q: usize, qStride: i32, k: usize, kStride: i32, v: usize, vStride: i32,
  segments: usize, from: i32, to: i32,
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
    // Tiles of the transposed products read up to 5 columns past a row's last tile.
    const row = <usize>(roundUp8(length) + 8) << 2;
    const p = scratch + TILE_BYTES;
    const ds = p + <usize>BLOCK * row;
    const panel = ds + <usize>BLOCK * row;
    const keyPanels = panel + (<usize>length << 5);
    const valuePanels = keyPanels + (<usize>(roundUp8(length) * keyDim) << 2);
    for (let h = 0; h < heads; h++) {
      const g = h / group;
      const kHead = k + <usize>first * kRow + (<usize>(g * keyDim) << 2);
      const vHead = v + <usize>first * vRow + (<usize>(g * valueDim) << 2);
      const firstOfGroup = h == g * group;
      if (firstOfGroup) {
        packTransposed(length, keyDim, kHead, kRow, keyPanels);
        packTransposed(length, valueDim, vHead, vRow, valuePanels);
      }
      const qHead = q + <usize>first * qRow + (<usize>(h * keyDim) << 2);
      const dqHead = dq + <usize>first * dqRow + (<usize>(h * keyDim) << 2);
      const dkHead = dk + <usize>first * dkRow + (<usize>(g * keyDim) << 2);
      const dvHead = dv + <usize>first * dvRow + (<usize>(g * valueDim) << 2);
      const outHead = out + <usize>first * outRow + (<usize>(h * valueDim) << 2);
      const dOutHead = dOut + <usize>first * dOutRow + (<usize>(h * valueDim) << 2);
      for (let block = 0; block < length; block += BLOCK) {
        const blockEnd = min(block + BLOCK, length);
        for (let i = block; i < blockEnd; ) {
          const mr = nextRows(blockEnd - i);
          const columns = roundUp8(i + mr);
          const pRows = p + <usize>(i - block) * row;
          const dsRows = ds + <usize>(i - block) * row;
          multiplyPanels(mr, columns, keyDim, qHead + <usize>i * qRow, qRow, keyPanels, pRows, row, scale);
          multiplyPanels(mr, columns, valueDim, dOutHead + <usize>i * dOutRow, dOutRow, valuePanels, dsRows, row, 1);
          for (let r = 0; r < mr; r++) {
            const t = <usize>(i + r);
            const lse = load<f32>(logSumExp + (((<usize>first + t) * heads + h) << 2));
            const delta = dotRow(dOutHead + t * dOutRow, outHead + t * outRow, valueDim);
            softmaxBackwardRow(pRows + <usize>r * row, dsRows + <usize>r * row, i + r + 1, columns + 8, lse, delta, scale);
          }
          multiply(mr, keyDim, i + mr, dsRows, row, 4, kHead, kRow, dqHead + <usize>i * dqRow, dqRow, 1, addQ, scratch, panel);
          i += mr;
        }
        for (let j = 0; j < blockEnd; j += 6) {
          const mr = min(6, blockEnd - j);
          // Queries before key j have not seen it.
          const start = max(j, block);
          const at = <usize>(start - block) * row + (<usize>j << 2);
          const fresh = firstOfGroup && j >= block;
          multiply(mr, valueDim, blockEnd - start, p + at, 4, row, dOutHead + <usize>start * dOutRow, dOutRow, dvHead + <usize>j * dvRow, dvRow, 1, addV || !fresh, scratch, panel);
          multiply(mr, keyDim, blockEnd - start, ds + at, 4, row, qHead + <usize>start * qRow, qRow, dkHead + <usize>j * dkRow, dkRow, 1, addK || !fresh, scratch, panel);
        }
      }
    }
  }
}

/**
 * Softmax of a block of scores whose products another library makes: row r sees first + r + 1 of them, and is `width` (a
 * multiple of 4) long. logSumExp is that of the first row; `heads` numbers lie between rows.
 */
export function attentionSoftmax(scores: usize, width: i32, rows: i32, first: i32, logSumExp: usize, heads: i32): void {
  for (let r = 0; r < rows; r++) {
    store<f32>(logSumExp, softmaxRow(scores, first + r + 1, width));
    scores += <usize>width << 2;
    logSumExp += <usize>heads << 2;
  }
}

/** The same for the derivative; dOut and out are one head's, at the block's first row. */
export function attentionSoftmaxBackward(
  scores: usize, dScores: usize, width: i32, rows: i32, first: i32, logSumExp: usize, heads: i32,
  dOut: usize, dOutStride: i32, out: usize, outStride: i32, valueDim: i32, scale: f32,
): void {
  for (let r = 0; r < rows; r++) {
    softmaxBackwardRow(scores, dScores, first + r + 1, width, load<f32>(logSumExp), dotRow(dOut, out, valueDim), scale);
    scores += <usize>width << 2;
    dScores += <usize>width << 2;
    logSumExp += <usize>heads << 2;
    dOut += <usize>dOutStride << 2;
    out += <usize>outStride << 2;
  }
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
 * One query a sequence against a prefix and its own rows of a cache; the heads of a group go through the keys together.
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
    const scoreRow = <usize>(total4 + 4) << 2;
    const prefixRow = <usize>load<i32>(prefixStart + at);
    const ownRow = <usize>load<i32>(ownStart + at);
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
        fillRow(x, total, total4, -Infinity);
        expRow(x, x, total4, 1, largest(x, total4), 1);
        scaleRow(x, total4, 1 / sumRow(x, total4));
        weightedSum(po, x, prefix, v + prefixRow * valueRow, valueRow, valueDim);
        weightedSum(po, x + (<usize>prefix << 2), own, v + ownRow * valueRow, valueRow, valueDim);
      }
    }
  }
}
