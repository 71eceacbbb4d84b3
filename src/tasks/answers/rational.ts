/**
 * @file Exact fractions of big integers: the numbers of answers (`0.1`, `2/3`, integers beyond
 * 2^53).
 */

import { pay } from './budget.js';

export interface Rational {
  readonly numerator: bigint;
  /** Above zero. */
  readonly denominator: bigint;
}

/** Bits of a numerator or denominator beyond which no exact value is computed. */
const MAX_BITS = 4096;

const bitsOf = (n: bigint): number => 4 * n.toString(16).length;

/** In lowest terms; null for a zero denominator or a number too large to compute with. */
export function rational(numerator: bigint, denominator = 1n): Rational | null {
  const bits = Math.max(bitsOf(numerator), bitsOf(denominator));
  if (denominator === 0n || bits > MAX_BITS) return null;
  if (denominator === 1n) return { numerator, denominator };
  // Euclid's algorithm takes a division a bit or two, each as long as the number.
  pay(1 + (bits / 100) ** 2);
  let a = numerator < 0n ? -numerator : numerator;
  let b = denominator < 0n ? -denominator : denominator;
  while (b !== 0n) [a, b] = [b, a % b];
  const divisor = denominator < 0n ? -a : a;
  return { numerator: numerator / divisor, denominator: denominator / divisor };
}

export const plus = (a: Rational, b: Rational): Rational | null =>
  rational(
    a.numerator * b.denominator + b.numerator * a.denominator,
    a.denominator * b.denominator,
  );

export const times = (a: Rational, b: Rational): Rational | null =>
  rational(a.numerator * b.numerator, a.denominator * b.denominator);

export const over = (a: Rational, b: Rational): Rational | null =>
  rational(a.numerator * b.denominator, a.denominator * b.numerator);

export const equal = (a: Rational, b: Rational): boolean =>
  a.numerator === b.numerator && a.denominator === b.denominator;

export const isInteger = ({ denominator }: Rational): boolean => denominator === 1n;

/** `base` to an integer power; null beyond `MAX_BITS`. */
export function power(base: Rational, exponent: bigint): Rational | null {
  const n = exponent < 0n ? -exponent : exponent;
  const { numerator, denominator } = base;
  const bits = Math.max(bitsOf(numerator), bitsOf(denominator));
  const trivial = denominator === 1n && (numerator === 0n || numerator === 1n || numerator === -1n);
  if (!trivial && (n > BigInt(MAX_BITS) || bits * Number(n) > 2 * MAX_BITS)) return null;
  const e = trivial ? n % 2n || (n === 0n ? 0n : 2n) : n;
  const [a, b] = [numerator ** e, denominator ** e];
  return exponent < 0n ? rational(b, a) : rational(a, b);
}

export function toNumber({ numerator, denominator }: Rational): number {
  // Both may be beyond a double's range although their ratio is not.
  const shift = BigInt(Math.max(0, Math.min(bitsOf(numerator), bitsOf(denominator)) - 1000));
  return Number(numerator >> shift) / Number(denominator >> shift);
}

/** The value of plain decimal digits, `0012.50`; null beyond `MAX_BITS`. */
export function decimal(text: string): Rational | null {
  const [whole, fraction = ''] = text.split('.');
  return rational(BigInt(`${whole}${fraction}` || '0'), 10n ** BigInt(fraction.length));
}

/** The exact `n`-th root, where there is one. */
export function exactRoot(value: Rational, n: number): Rational | null {
  const root = (x: bigint): bigint | null => {
    if (x < 0n) return null;
    if (x < 2n) return x;
    pay(2 + (bitsOf(x) / 60) ** 2);
    // Newton's method from above, on integers.
    const k = BigInt(n);
    let guess = 1n << BigInt(Math.ceil(x.toString(2).length / n));
    for (;;) {
      const next = ((k - 1n) * guess + x / guess ** (k - 1n)) / k;
      if (next >= guess) break;
      guess = next;
    }
    return guess ** k === x ? guess : null;
  };
  const negative = value.numerator < 0n;
  if (negative && n % 2 === 0) return null;
  const a = root(negative ? -value.numerator : value.numerator);
  const b = root(value.denominator);
  return a === null || b === null ? null : rational(negative ? -a : a, b);
}
