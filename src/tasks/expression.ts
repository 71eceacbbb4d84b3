/**
 * @file Arithmetic expressions that a model wrote, evaluated exactly and never as code.
 *
 * A recursive-descent parser over
 *
 *     sum     = product { ("+" | "-") product }
 *     product = factor { ("*" | "/") factor }
 *     factor  = number | "(" sum ")"
 *
 * with exact rational values. The text is hostile until proven otherwise: parentheses nest to a
 * limit (the parser recurses), numbers have a limit of digits, and the caller is asked about each
 * number as it is read, so an endless expression ends at its first number too many. Spaces are
 * allowed; signs, exponents and points are not.
 */

/** An exact fraction in lowest terms, denominator positive. */
export interface Fraction {
  readonly numerator: bigint;
  readonly denominator: bigint;
}

export type Evaluation = { readonly value: Fraction } | { readonly reason: string };

/**
 * Parentheses deeper than this are refused; no honest answer over a handful of numbers comes near.
 */
export const MAX_DEPTH = 64;
/** Digits of one number; longer ones are refused unread. */
export const MAX_DIGITS = 9;

/** Why an expression has no value; caught in this file and never seen outside it. */
class Refusal {
  constructor(readonly reason: string) {}
}

function fraction(numerator: bigint, denominator: bigint): Fraction {
  let [a, b] = [
    numerator < 0n ? -numerator : numerator,
    denominator < 0n ? -denominator : denominator,
  ];
  while (b !== 0n) [a, b] = [b, a % b];
  const divisor = denominator < 0n ? -a : a;
  return { numerator: numerator / divisor, denominator: denominator / divisor };
}

const operations: Record<string, (a: Fraction, b: Fraction) => Fraction> = {
  '+': (a, b) =>
    fraction(
      a.numerator * b.denominator + b.numerator * a.denominator,
      a.denominator * b.denominator,
    ),
  '-': (a, b) =>
    fraction(
      a.numerator * b.denominator - b.numerator * a.denominator,
      a.denominator * b.denominator,
    ),
  '*': (a, b) => fraction(a.numerator * b.numerator, a.denominator * b.denominator),
  '/': (a, b) => {
    if (b.numerator === 0n) throw new Refusal('divides by zero');
    return fraction(a.numerator * b.denominator, a.denominator * b.numerator);
  },
};

/** `21`, or `21/2` when it is no integer. */
export function fractionText({ numerator, denominator }: Fraction): string {
  return denominator === 1n ? String(numerator) : `${numerator}/${denominator}`;
}

/**
 * The exact value of `text`, or why it has none. Never throws; linear in the length of `text`.
 * @param use called with each number as it is read; a string refuses the number and becomes the
 * reason.
 */
export function evaluateExpression(
  text: string,
  use: (number: number) => string | null,
): Evaluation {
  let at = 0;
  let depth = 0;

  const peek = (): string => {
    while (text[at] === ' ') at++;
    return text[at] ?? '';
  };
  const refuse = (): never => {
    throw new Refusal(
      at < text.length
        ? `not an expression at character ${at + 1}`
        : 'the expression ends too early',
    );
  };
  const factor = (): Fraction => {
    const next = peek();
    if (next === '(') {
      if (++depth > MAX_DEPTH) throw new Refusal(`more than ${MAX_DEPTH} parentheses deep`);
      at++;
      const value = sum();
      if (peek() !== ')') refuse();
      at++;
      depth--;
      return value;
    }
    const start = at;
    while (text[at] >= '0' && text[at] <= '9') {
      if (++at - start > MAX_DIGITS)
        throw new Refusal(`a number of more than ${MAX_DIGITS} digits`);
    }
    if (at === start) return refuse();
    const number = Number(text.slice(start, at));
    const refusal = use(number);
    if (refusal !== null) throw new Refusal(refusal);
    return { numerator: BigInt(number), denominator: 1n };
  };
  const chain = (operand: () => Fraction, first: string, second: string): Fraction => {
    let value = operand();
    for (let next = peek(); next === first || next === second; next = peek()) {
      at++;
      value = operations[next](value, operand());
    }
    return value;
  };
  const product = (): Fraction => chain(factor, '*', '/');
  const sum = (): Fraction => chain(product, '+', '-');

  try {
    const value = sum();
    if (peek() !== '') refuse();
    return { value };
  } catch (error) {
    if (error instanceof Refusal) return { reason: error.reason };
    throw error;
  }
}
