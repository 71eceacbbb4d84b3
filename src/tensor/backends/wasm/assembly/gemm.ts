/**
 * @file Matrix products with 128-bit SIMD.
 *
 * The scheme is that of Goto and van de Geijn ("Anatomy of High-Performance Matrix Multiplication",
 * ACM TOMS 2008): a register micro-kernel of 6×8 accumulators (12 of the 16 vector registers that a
 * JavaScript engine has on x86-64; two hold B, one a broadcast element of A) under loops that keep
 * a panel of B in the second-level cache. Differences:
 * - The micro-kernel takes A with any two strides, so that A is packed only when it is transposed
 *   and long.
 * - The micro-kernel only stores its sums, to a tile in scratch; scaling them and adding to C is
 *   another function. With both in one, Node 20's register allocator keeps the scale through the
 *   loop and spills sums inside it: 27 instead of 56 GFLOP/s (Zen 4).
 * - With few rows and B transposed (decoding: a small batch against weights stored [out, in]),
 *   packing B would cost more than the product. A second micro-kernel then takes 3×4 dot products
 *   along the inner dimension and packs nothing.
 *
 * Several threads run this code over one memory: there is no static data, and scratch is the
 * caller's own.
 */

import { madd } from './math';

/**
 * Inner block: a panel of B (8 columns) and the rows of A against it stay in the first-level cache.
 */
const KC: i32 = 320;
/** Columns of B packed at once: KC·NC floats, in the second-level cache. */
const NC: i32 = 512;
/** Scratch: B's panels, then A's panel, then a 6×8 tile of C. */
const PACKED_A: usize = (<usize>KC * NC) << 2;
const TILE: usize = PACKED_A + ((<usize>KC * 8) << 2);
/** With B transposed, up to this many rows go through the dot-product kernel. */
const DOT_ROWS: i32 = 4;
/** With B as stored, up to this many rows read B in place. */
const DIRECT_ROWS: i32 = 12;

// ── the broadcast micro-kernel ───────────────────────────────────────────────────────────────────

/**
 * tile[mr, 8] = Σ_p A[:, p] B[p, 0…8]: A's element (i, p) is at a + i·aRow + p·aInner, B's row p at
 * b + p·bInner (all in bytes).
 * `mr` is a constant of the caller, and what it does not need is compiled away.
 */
// @ts-ignore: decorator
@inline
function micro(mr: i32, k: i32, a: usize, aRow: usize, aInner: usize, b: usize, bInner: usize, tile: usize): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c10 = f32x4.splat(0), c11 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c30 = f32x4.splat(0), c31 = f32x4.splat(0);
  let c40 = f32x4.splat(0), c41 = f32x4.splat(0), c50 = f32x4.splat(0), c51 = f32x4.splat(0);
  let a1 = a + aRow, a2 = a1 + aRow, a3 = a2 + aRow, a4 = a3 + aRow, a5 = a4 + aRow;
  for (let p = k; p != 0; p--) {
    const b0 = v128.load(b);
    const b1 = v128.load(b, 16);
    let x = v128.load_splat<f32>(a);
    c00 = madd(x, b0, c00);
    c01 = madd(x, b1, c01);
    if (mr > 1) {
      x = v128.load_splat<f32>(a1);
      c10 = madd(x, b0, c10);
      c11 = madd(x, b1, c11);
      a1 += aInner;
    }
    if (mr > 2) {
      x = v128.load_splat<f32>(a2);
      c20 = madd(x, b0, c20);
      c21 = madd(x, b1, c21);
      a2 += aInner;
    }
    if (mr > 3) {
      x = v128.load_splat<f32>(a3);
      c30 = madd(x, b0, c30);
      c31 = madd(x, b1, c31);
      a3 += aInner;
    }
    if (mr > 4) {
      x = v128.load_splat<f32>(a4);
      c40 = madd(x, b0, c40);
      c41 = madd(x, b1, c41);
      a4 += aInner;
    }
    if (mr > 5) {
      x = v128.load_splat<f32>(a5);
      c50 = madd(x, b0, c50);
      c51 = madd(x, b1, c51);
      a5 += aInner;
    }
    a += aInner;
    b += bInner;
  }
  v128.store(tile, c00);
  v128.store(tile, c01, 16);
  if (mr > 1) {
    v128.store(tile, c10, 32);
    v128.store(tile, c11, 48);
  }
  if (mr > 2) {
    v128.store(tile, c20, 64);
    v128.store(tile, c21, 80);
  }
  if (mr > 3) {
    v128.store(tile, c30, 96);
    v128.store(tile, c31, 112);
  }
  if (mr > 4) {
    v128.store(tile, c40, 128);
    v128.store(tile, c41, 144);
  }
  if (mr > 5) {
    v128.store(tile, c50, 160);
    v128.store(tile, c51, 176);
  }
}

function micro6(k: i32, a: usize, aRow: usize, aInner: usize, b: usize, bInner: usize, tile: usize): void {
  micro(6, k, a, aRow, aInner, b, bInner, tile);
}

function micro5(k: i32, a: usize, aRow: usize, aInner: usize, b: usize, bInner: usize, tile: usize): void {
  micro(5, k, a, aRow, aInner, b, bInner, tile);
}

function micro4(k: i32, a: usize, aRow: usize, aInner: usize, b: usize, bInner: usize, tile: usize): void {
  micro(4, k, a, aRow, aInner, b, bInner, tile);
}

function micro3(k: i32, a: usize, aRow: usize, aInner: usize, b: usize, bInner: usize, tile: usize): void {
  micro(3, k, a, aRow, aInner, b, bInner, tile);
}

function micro2(k: i32, a: usize, aRow: usize, aInner: usize, b: usize, bInner: usize, tile: usize): void {
  micro(2, k, a, aRow, aInner, b, bInner, tile);
}

function micro1(k: i32, a: usize, aRow: usize, aInner: usize, b: usize, bInner: usize, tile: usize): void {
  micro(1, k, a, aRow, aInner, b, bInner, tile);
}

/**
 * C[mr, width] = alpha · A·B (+ C) for 1 to 6 rows and up to 8 columns, by way of a tile of 6×8
 * numbers; B has 8 columns.
 */
export function multiplyBlock(
  mr: i32, width: i32, k: i32, a: usize, aRow: usize, aInner: usize, b: usize, bInner: usize, c: usize, cRow: usize,
  alpha: f32, add: bool, tile: usize,
): void {
  if (mr == 6) micro6(k, a, aRow, aInner, b, bInner, tile);
  else if (mr == 4) micro4(k, a, aRow, aInner, b, bInner, tile);
  else if (mr == 3) micro3(k, a, aRow, aInner, b, bInner, tile);
  else if (mr == 2) micro2(k, a, aRow, aInner, b, bInner, tile);
  else if (mr == 5) micro5(k, a, aRow, aInner, b, bInner, tile);
  else micro1(k, a, aRow, aInner, b, bInner, tile);
  if (width >= 8) storeTile(mr, tile, c, cRow, alpha, add);
  else storePart(mr, width, tile, c, cRow, alpha, add);
}

/** C[mr, 8] from a tile. */
function storeTile(mr: i32, tile: usize, c: usize, cRow: usize, alpha: f32, add: bool): void {
  const scale = f32x4.splat(alpha);
  for (let i = mr; i != 0; i--) {
    let low = f32x4.mul(v128.load(tile), scale);
    let high = f32x4.mul(v128.load(tile, 16), scale);
    if (add) {
      low = f32x4.add(low, v128.load(c));
      high = f32x4.add(high, v128.load(c, 16));
    }
    v128.store(c, low);
    v128.store(c, high, 16);
    tile += 32;
    c += cRow;
  }
}

/** C[mr, width] from a tile, when C has fewer than 8 columns. */
function storePart(mr: i32, width: i32, tile: usize, c: usize, cRow: usize, alpha: f32, add: bool): void {
  for (let i = 0; i < mr; i++) {
    for (let j: usize = 0; j < <usize>width; j++) {
      const x = alpha * load<f32>(tile + (j << 2));
      store<f32>(c + (j << 2), add ? x + load<f32>(c + (j << 2)) : x);
    }
    tile += 32;
    c += cRow;
  }
}

/**
 * Rows of the next block when `left` remain: 6, but a remainder of 7 or 8 as 4 + 3 or 4 + 4, which
 * 6 + 1 or 2 is slower than.
 */
// @ts-ignore: decorator
@inline
export function nextRows(left: i32): i32 {
  return left == 7 || left == 8 ? 4 : min(left, 6);
}

// ── packing ──────────────────────────────────────────────────────────────────────────────────────

/** A panel of B, k × 8, from rows b + p·bInner; columns from `width` on become zeros. */
export function packRows(k: i32, width: i32, b: usize, bInner: usize, panel: usize): void {
  if (width == 8) {
    for (let p = k; p != 0; p--) {
      v128.store(panel, v128.load(b));
      v128.store(panel, v128.load(b, 16), 16);
      b += bInner;
      panel += 32;
    }
    return;
  }
  for (let p = k; p != 0; p--) {
    for (let j = 0; j < 8; j++) store<f32>(panel + (<usize>j << 2), j < width ? load<f32>(b + (<usize>j << 2)) : 0);
    b += bInner;
    panel += 32;
  }
}

/** Transposes a 4×4 block: the rows at r0 to r3 become columns at out, 32 bytes apart. */
// @ts-ignore: decorator
@inline
function transpose4(p0: usize, p1: usize, p2: usize, p3: usize, out: usize): void {
  const r0 = v128.load(p0);
  const r1 = v128.load(p1);
  const r2 = v128.load(p2);
  const r3 = v128.load(p3);
  const l0 = v128.shuffle<f32>(r0, r1, 0, 4, 1, 5);
  const h0 = v128.shuffle<f32>(r0, r1, 2, 6, 3, 7);
  const l1 = v128.shuffle<f32>(r2, r3, 0, 4, 1, 5);
  const h1 = v128.shuffle<f32>(r2, r3, 2, 6, 3, 7);
  v128.store(out, v128.shuffle<f64>(l0, l1, 0, 2));
  v128.store(out, v128.shuffle<f64>(l0, l1, 1, 3), 32);
  v128.store(out, v128.shuffle<f64>(h0, h1, 0, 2), 64);
  v128.store(out, v128.shuffle<f64>(h0, h1, 1, 3), 96);
}

/**
 * A panel of Bᵀ, k × 8: column j comes from the row at b + j·bColumn; columns from `width` on
 * repeat the last one.
 */
export function packColumns(k: i32, width: i32, b: usize, bColumn: usize, panel: usize): void {
  const b1 = width > 1 ? b + bColumn : b;
  const b2 = width > 2 ? b1 + bColumn : b1;
  const b3 = width > 3 ? b2 + bColumn : b2;
  const b4 = width > 4 ? b3 + bColumn : b3;
  const b5 = width > 5 ? b4 + bColumn : b4;
  const b6 = width > 6 ? b5 + bColumn : b5;
  const b7 = width > 7 ? b6 + bColumn : b6;
  const end = <usize>k << 2;
  let p: usize = 0;
  for (; p + 16 <= end; p += 16) {
    transpose4(b + p, b1 + p, b2 + p, b3 + p, panel);
    transpose4(b4 + p, b5 + p, b6 + p, b7 + p, panel + 16);
    panel += 128;
  }
  for (; p < end; p += 4) {
    store<f32>(panel, load<f32>(b + p));
    store<f32>(panel, load<f32>(b1 + p), 4);
    store<f32>(panel, load<f32>(b2 + p), 8);
    store<f32>(panel, load<f32>(b3 + p), 12);
    store<f32>(panel, load<f32>(b4 + p), 16);
    store<f32>(panel, load<f32>(b5 + p), 20);
    store<f32>(panel, load<f32>(b6 + p), 24);
    store<f32>(panel, load<f32>(b7 + p), 28);
    panel += 32;
  }
}

/** A panel of Aᵀ, k × 6, from rows of six at a + p·aInner; 24 bytes a row. */
function packSix(k: i32, a: usize, aInner: usize, panel: usize): void {
  for (let p = k; p != 0; p--) {
    v128.store(panel, v128.load(a));
    store<u64>(panel + 16, load<u64>(a + 16));
    a += aInner;
    panel += 24;
  }
}

// ── the dot-product kernel ───────────────────────────────────────────────────────────────────────

/** The sums of four vectors' lanes, as one vector. */
// @ts-ignore: decorator
@inline
function sumFour(c0: v128, c1: v128, c2: v128, c3: v128): v128 {
  const low = f32x4.add(v128.shuffle<f32>(c0, c1, 0, 4, 1, 5), v128.shuffle<f32>(c0, c1, 2, 6, 3, 7));
  const high = f32x4.add(v128.shuffle<f32>(c2, c3, 0, 4, 1, 5), v128.shuffle<f32>(c2, c3, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<f64>(low, high, 0, 2), v128.shuffle<f64>(low, high, 1, 3));
}

/** The last 0 to 3 products of a dot product are added one by one. */
// @ts-ignore: decorator
@inline
function dotTail(sum: v128, k: i32, a: usize, b0: usize, b1: usize, b2: usize, b3: usize): v128 {
  for (let p = k & ~3; p < k; p++) {
    const x = v128.load_splat<f32>(a);
    let y = v128.load32_zero(b0);
    y = v128.load_lane<f32>(b1, y, 1);
    y = v128.load_lane<f32>(b2, y, 2);
    y = v128.load_lane<f32>(b3, y, 3);
    sum = madd(x, y, sum);
    a += 4;
    b0 += 4;
    b1 += 4;
    b2 += 4;
    b3 += 4;
  }
  return sum;
}

// @ts-ignore: decorator
@inline
function storeDots(c: usize, sum: v128, width: i32, alpha: f32, add: bool): void {
  sum = f32x4.mul(sum, f32x4.splat(alpha));
  if (width == 4) {
    v128.store(c, add ? f32x4.add(sum, v128.load(c)) : sum);
    return;
  }
  let x = f32x4.extract_lane(sum, 0);
  store<f32>(c, add ? x + load<f32>(c) : x);
  if (width > 1) {
    x = f32x4.extract_lane(sum, 1);
    store<f32>(c + 4, add ? x + load<f32>(c + 4) : x);
  }
  if (width > 2) {
    x = f32x4.extract_lane(sum, 2);
    store<f32>(c + 8, add ? x + load<f32>(c + 8) : x);
  }
}

/**
 * C[mr, width] = alpha · A·Bᵀ (+ C) with mr ≤ 3 (a constant of the caller) and width ≤ 4; rows
 * contiguous along k.
 */
// @ts-ignore: decorator
@inline
function dots(mr: i32, width: i32, k: i32, a: usize, aRow: usize, b: usize, bRow: usize, c: usize, cRow: usize, alpha: f32, add: bool): void {
  let c00 = f32x4.splat(0), c01 = f32x4.splat(0), c02 = f32x4.splat(0), c03 = f32x4.splat(0);
  let c10 = f32x4.splat(0), c11 = f32x4.splat(0), c12 = f32x4.splat(0), c13 = f32x4.splat(0);
  let c20 = f32x4.splat(0), c21 = f32x4.splat(0), c22 = f32x4.splat(0), c23 = f32x4.splat(0);
  let a1 = a + aRow, a2 = a1 + aRow;
  // Columns that do not exist read the last one that does; they are not stored.
  let b0 = b;
  let b1 = width > 1 ? b + bRow : b;
  let b2 = width > 2 ? b1 + bRow : b1;
  let b3 = width > 3 ? b2 + bRow : b2;
  for (let p = k >> 2; p != 0; p--) {
    const x0 = v128.load(a);
    let x1 = x0, x2 = x0;
    if (mr > 1) x1 = v128.load(a1);
    if (mr > 2) x2 = v128.load(a2);
    let y = v128.load(b0);
    c00 = madd(x0, y, c00);
    if (mr > 1) c10 = madd(x1, y, c10);
    if (mr > 2) c20 = madd(x2, y, c20);
    y = v128.load(b1);
    c01 = madd(x0, y, c01);
    if (mr > 1) c11 = madd(x1, y, c11);
    if (mr > 2) c21 = madd(x2, y, c21);
    y = v128.load(b2);
    c02 = madd(x0, y, c02);
    if (mr > 1) c12 = madd(x1, y, c12);
    if (mr > 2) c22 = madd(x2, y, c22);
    y = v128.load(b3);
    c03 = madd(x0, y, c03);
    if (mr > 1) c13 = madd(x1, y, c13);
    if (mr > 2) c23 = madd(x2, y, c23);
    a += 16;
    a1 += 16;
    a2 += 16;
    b0 += 16;
    b1 += 16;
    b2 += 16;
    b3 += 16;
  }
  storeDots(c, dotTail(sumFour(c00, c01, c02, c03), k, a, b0, b1, b2, b3), width, alpha, add);
  if (mr > 1) storeDots(c + cRow, dotTail(sumFour(c10, c11, c12, c13), k, a1, b0, b1, b2, b3), width, alpha, add);
  if (mr > 2) storeDots(c + 2 * cRow, dotTail(sumFour(c20, c21, c22, c23), k, a2, b0, b1, b2, b3), width, alpha, add);
}

function dots3(width: i32, k: i32, a: usize, aRow: usize, b: usize, bRow: usize, c: usize, cRow: usize, alpha: f32, add: bool): void {
  dots(3, width, k, a, aRow, b, bRow, c, cRow, alpha, add);
}

function dots2(width: i32, k: i32, a: usize, aRow: usize, b: usize, bRow: usize, c: usize, cRow: usize, alpha: f32, add: bool): void {
  dots(2, width, k, a, aRow, b, bRow, c, cRow, alpha, add);
}

function dots1(width: i32, k: i32, a: usize, aRow: usize, b: usize, bRow: usize, c: usize, cRow: usize, alpha: f32, add: bool): void {
  dots(1, width, k, a, aRow, b, bRow, c, cRow, alpha, add);
}

/** C = alpha·A·Bᵀ (+ C), nothing packed: for few rows. */
export function dotProduct(m: i32, n: i32, k: i32, alpha: f32, a: usize, aRow: usize, b: usize, bRow: usize, add: bool, c: usize, cRow: usize): void {
  for (let j = 0; j < n; j += 4) {
    const width = min(4, n - j);
    let pa = a;
    let pc = c;
    let left = m;
    for (; left >= 3; left -= 3) {
      dots3(width, k, pa, aRow, b, bRow, pc, cRow, alpha, add);
      pa += 3 * aRow;
      pc += 3 * cRow;
    }
    if (left == 2) dots2(width, k, pa, aRow, b, bRow, pc, cRow, alpha, add);
    else if (left == 1) dots1(width, k, pa, aRow, b, bRow, pc, cRow, alpha, add);
    b += 4 * bRow;
    c += 16;
  }
}

// ── the product ──────────────────────────────────────────────────────────────────────────────────

/**
 * C[m,n] = alpha·op(A)·op(B) + beta·C, row-major; beta is 0 or 1; see gemm.ts. `scratch` is this
 * thread's own.
 */
export function sgemm(
  transposeA: bool, transposeB: bool, m: i32, n: i32, k: i32, alpha: f32, a: usize, lda: i32, b: usize, ldb: i32,
  beta: f32, c: usize, ldc: i32, scratch: usize,
): void {
  if (m <= 0 || n <= 0) return;
  const cRow = <usize>ldc << 2;
  if (k <= 0) {
    if (beta == 0) for (let i = 0; i < m; i++) memory.fill(c + <usize>i * cRow, 0, <usize>n << 2);
    return;
  }
  const aStride = <usize>lda << 2;
  const bStride = <usize>ldb << 2;
  if (transposeB && !transposeA && m <= DOT_ROWS) {
    dotProduct(m, n, k, alpha, a, aStride, b, bStride, beta != 0, c, cRow);
    return;
  }
  const aRow: usize = transposeA ? 4 : aStride;
  const aInner: usize = transposeA ? aStride : 4;
  const packA = transposeA && n > 16;
  const direct = !transposeB && m <= DIRECT_ROWS;
  const panelA = scratch + PACKED_A;
  const tile = scratch + TILE;
  const blocks = (k + KC - 1) / KC;
  // Blocks of equal length, so that the last is not a sliver.
  const kStep = ((k + blocks - 1) / blocks + 3) & ~3;
  for (let p0 = 0; p0 < k; p0 += kStep) {
    const kc = min(kStep, k - p0);
    const add = beta != 0 || p0 > 0;
    for (let j0 = 0; j0 < n; j0 += NC) {
      const nc = min(NC, n - j0);
      // With B read in place only a last, narrow panel is packed.
      for (let j = direct ? nc & ~7 : 0; j < nc; j += 8) {
        const panel = scratch + (<usize>(j * kc) << 2);
        if (transposeB) packColumns(kc, min(8, nc - j), b + <usize>(j0 + j) * bStride + (<usize>p0 << 2), bStride, panel);
        else packRows(kc, min(8, nc - j), b + <usize>p0 * bStride + (<usize>(j0 + j) << 2), bStride, panel);
      }
      const bBlock = b + <usize>p0 * bStride + (<usize>j0 << 2);
      for (let i = 0; i < m; ) {
        const mr = nextRows(m - i);
        let pa = a + <usize>i * aRow + <usize>p0 * aInner;
        let row = aRow;
        let inner = aInner;
        if (packA && mr == 6) {
          packSix(kc, pa, aInner, panelA);
          pa = panelA;
          row = 4;
          inner = 24;
        }
        const pc = c + <usize>i * cRow + (<usize>j0 << 2);
        for (let j = 0; j < nc; j += 8) {
          const width = nc - j;
          const inPlace = direct && width >= 8;
          const block = inPlace ? bBlock + (<usize>j << 2) : scratch + (<usize>(j * kc) << 2);
          multiplyBlock(mr, width, kc, pa, row, inner, block, inPlace ? bStride : 32, pc + (<usize>j << 2), cRow, alpha, add, tile);
        }
        i += mr;
      }
    }
  }
}

/**
 * For the benchmark: the 6×8 micro-kernel alone, `repeats` times on panels in the first-level
 * cache.
 */
export function sgemmLimit(repeats: i32, k: i32, scratch: usize): void {
  for (let i = 0; i < repeats; i++) micro6(k, scratch + PACKED_A, 4, 24, scratch, 32, scratch + TILE);
}
