/**
 * @file Formulas of a claim: `v3-hours * rent`, `(capex + operation) / 4`, `6[FLOP/token] *
 * parameters`.
 *
 * Four operations, parentheses, numbers (with a unit in brackets where they have one) and names.
 * Names may hold hyphens and dots, so a minus stands between spaces. A formula is checked for units
 * once, then computed two ways: exactly, in decimals, for the figure, and in floating point,
 * thousands of times, for its interval.
 */
import { Decimal } from '../money.js';
import {
  combine,
  DIMENSIONLESS,
  describeUnit,
  parseUnit,
  sameDimensions,
  type Unit,
} from './units.js';

type Operator = '+' | '-' | '*' | '/';

export type Formula =
  | { kind: 'number'; value: Decimal; unit: Unit }
  | { kind: 'name'; name: string }
  | { kind: 'negative'; of: Formula }
  | { kind: 'operation'; operator: Operator; left: Formula; right: Formula };

const TOKEN =
  /\s*(?:(?<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)(?:\s*\[(?<unit>[^\]]*)\])?|(?<name>[A-Za-z][A-Za-z0-9]*(?:[.-][A-Za-z0-9]+)*)|(?<sign>[-+*/()]))/y;

interface Token {
  text: string;
  at: number;
  node?: Formula;
}

function tokensOf(text: string): Token[] {
  const tokens: Token[] = [];
  TOKEN.lastIndex = 0;
  while (TOKEN.lastIndex < text.trimEnd().length) {
    const at = TOKEN.lastIndex;
    const groups = TOKEN.exec(text)?.groups;
    if (groups === undefined)
      throw new Error(`cannot read ${JSON.stringify(text.slice(at).trim().slice(0, 12))}`);
    const { number, unit, name, sign } = groups;
    if (number !== undefined) {
      const node: Formula = {
        kind: 'number',
        value: new Decimal(number),
        unit: parseUnit(unit ?? ''),
      };
      tokens.push({ text: number, at, node });
    } else if (name !== undefined) tokens.push({ text: name, at, node: { kind: 'name', name } });
    else tokens.push({ text: sign, at });
  }
  return tokens;
}

/** Longer or deeper formulas are no one's, and would take the stack of whoever walks them. */
const MAX_LENGTH = 4000;
const MAX_DEPTH = 100;

/** @throws Error that tells what cannot be read */
export function parseFormula(text: string): Formula {
  if (text.length > MAX_LENGTH) throw new Error(`is longer than ${MAX_LENGTH} characters`);
  let depth = 0;
  const tokens = tokensOf(text);
  let next = 0;
  const take = (...texts: string[]): Operator | null =>
    tokens[next]?.node === undefined && texts.includes(tokens[next]?.text)
      ? (tokens[next++].text as Operator)
      : null;
  const sum = (): Formula => chain(product, '+', '-');
  const product = (): Formula => chain(factor, '*', '/');
  const chain = (part: () => Formula, ...operators: Operator[]): Formula => {
    let left = part();
    for (let operator = take(...operators); operator !== null; operator = take(...operators)) {
      left = { kind: 'operation', operator, left, right: part() };
    }
    return left;
  };
  const factor = (): Formula => {
    if (depth > MAX_DEPTH) throw new Error(`is nested deeper than ${MAX_DEPTH}`);
    depth++;
    const found = factorWithin();
    depth--;
    return found;
  };
  const factorWithin = (): Formula => {
    if (take('-') !== null) return { kind: 'negative', of: factor() };
    if (take('(') !== null) {
      const inside = sum();
      if (take(')') === null) throw new Error('a parenthesis is not closed');
      return inside;
    }
    const token = tokens[next++];
    if (token?.node === undefined) throw new Error(`a number or a name is missing ${place(token)}`);
    return token.node;
  };
  const place = (token: Token | undefined): string =>
    token === undefined ? 'at the end' : `before ${JSON.stringify(token.text)}`;
  const formula = sum();
  if (next < tokens.length) throw new Error(`an operator is missing ${place(tokens[next])}`);
  return formula;
}

/** Every name in it, once. */
export function namesIn(formula: Formula): string[] {
  const names = new Set<string>();
  const visit = (node: Formula): void => {
    if (node.kind === 'name') names.add(node.name);
    else if (node.kind === 'negative') visit(node.of);
    else if (node.kind === 'operation') {
      visit(node.left);
      visit(node.right);
    }
  };
  visit(formula);
  return [...names];
}

/** Its dimensions. @throws Error when unlike things are added */
export function unitOf(formula: Formula, of: (name: string) => Unit): Unit {
  if (formula.kind === 'number') return formula.unit;
  if (formula.kind === 'name') return of(formula.name);
  if (formula.kind === 'negative') return unitOf(formula.of, of);
  const left = unitOf(formula.left, of);
  const right = unitOf(formula.right, of);
  if (formula.operator === '*') return combine(left, right, 1);
  if (formula.operator === '/') return combine(left, right, -1);
  if (sameDimensions(left, right)) return left;
  const verb = formula.operator === '+' ? 'adds' : 'subtracts';
  throw new Error(
    `${verb} ${describeUnit(right)} and ${describeUnit(left)}, which are different things`,
  );
}

/** What numbers can do: decimals for money, floats for sampling. */
interface Arithmetic<T> {
  constant(value: Decimal): T;
  add(a: T, b: T): T;
  subtract(a: T, b: T): T;
  multiply(a: T, b: T): T;
  divide(a: T, b: T): T;
}

export const EXACT: Arithmetic<Decimal> = {
  constant: (value) => value,
  add: (a, b) => a.plus(b),
  subtract: (a, b) => a.minus(b),
  multiply: (a, b) => a.times(b),
  divide: (a, b) => {
    if (b.isZero()) throw new Error('divides by zero');
    return a.div(b);
  },
};

export const FLOAT: Arithmetic<number> = {
  constant: (value) => value.toNumber(),
  add: (a, b) => a + b,
  subtract: (a, b) => a - b,
  multiply: (a, b) => a * b,
  divide: (a, b) => a / b,
};

/**
 * Compiles a formula. Values go in and come out in base units: the caller scales them.
 * @throws Error, when called: a division by zero
 */
export function compile<T>(
  formula: Formula,
  { constant, ...operations }: Arithmetic<T>,
): (of: (name: string) => T) => T {
  if (formula.kind === 'number') {
    const value = constant(formula.value.times(formula.unit.scale));
    return () => value;
  }
  if (formula.kind === 'name') return (of) => of(formula.name);
  const arithmetic = { constant, ...operations };
  if (formula.kind === 'negative') {
    const inside = compile(formula.of, arithmetic);
    const zero = constant(new Decimal(0));
    return (of) => operations.subtract(zero, inside(of));
  }
  const left = compile(formula.left, arithmetic);
  const right = compile(formula.right, arithmetic);
  const { add, subtract, multiply, divide } = operations;
  const operation = { '+': add, '-': subtract, '*': multiply, '/': divide }[formula.operator];
  return (of) => operation(left(of), right(of));
}

export { DIMENSIONLESS };
