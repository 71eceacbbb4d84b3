/**
 * @file What the reference kernels stand on.
 *
 * Every operation's file holds its reference kernels: plain float64 loops over the definition, with
 * no blocking, no vectorisation and no cleverness. They are the judge of every other backend, so
 * being evidently right is their only virtue.
 *
 * Strided matrices come as a `Matrix`; contiguous tensors and index lists come as typed arrays.
 */

/** Element (i, j) is `data[offset + i · stride + j]`. */
export interface Matrix {
  readonly data: Float64Array;
  readonly offset: number;
  readonly rows: number;
  readonly columns: number;
  readonly stride: number;
}

export const at = (m: Matrix, i: number, j: number): number => m.data[m.offset + i * m.stride + j];

/** Overwrites element (i, j), or adds to it. */
export function put(m: Matrix, i: number, j: number, value: number, accumulate = false): void {
  const index = m.offset + i * m.stride + j;
  m.data[index] = accumulate ? m.data[index] + value : value;
}

/** Zeros, unless the caller wants to add to what is there. */
export function clearUnless(accumulate: boolean, m: Matrix): void {
  if (accumulate) return;
  for (let i = 0; i < m.rows; i++) for (let j = 0; j < m.columns; j++) put(m, i, j, 0);
}

/**
 * How a kernel takes a difference of two terms. Normally `subtract`. The parity tests need to know
 * how large the terms of a result were before they cancelled, because that, and not the result, is
 * what float32 rounding is relative to; for that they run the same kernels on absolute inputs with
 * `magnitude`. Differences inside an exponent are always true ones.
 */
export type Minus = (a: number, b: number) => number;

export const subtract: Minus = (a, b) => a - b;
export const magnitude: Minus = (a, b) => Math.abs(a) + Math.abs(b);

/** Σ a[i, fromA + d] · b[j, fromB + d] for d < length. */
export function dot(
  a: Matrix,
  i: number,
  fromA: number,
  b: Matrix,
  j: number,
  fromB: number,
  length: number,
): number {
  let sum = 0;
  for (let d = 0; d < length; d++) sum += at(a, i, fromA + d) * at(b, j, fromB + d);
  return sum;
}

/** log Σ exp(x), without overflow. −∞ for an empty list. */
export function logSumExp(x: ArrayLike<number>, length = x.length): number {
  let largest = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < length; i++) largest = Math.max(largest, x[i]);
  if (length === 0) return largest;
  let sum = 0;
  for (let i = 0; i < length; i++) sum += Math.exp(x[i] - largest);
  return largest + Math.log(sum);
}

/**
 * Ends with a clear message a call that could only compute nonsense. The fault is the calling
 * code's, not a user's.
 */
export function demand(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(message);
}
