/**
 * @file The value of a formula: an exact fraction where it has one, else forty digits of a complex
 * number at chosen points.
 *
 * Two formulas are the same function when they agree at points that no one chose for them (Schwartz
 * 1980, Zippel 1979): here irrational-looking numbers drawn from the names of the variables, all
 * positive at first, then of both signs. Of forty digits thirty-four must agree, so that near misses
 * (`e^{\pi\sqrt{163}}` and the integer beside it, which share thirty) are told apart. Work is counted, not timed: a
 * formula that would take too long has no value, on every machine alike.
 */
import { Decimal as Base } from 'decimal.js';
import { hashString } from '../../base/random.js';
import { memo, pay } from './budget.js';
import {
  equal,
  exactRoot,
  isInteger,
  over,
  plus,
  power,
  type Rational,
  rational,
  times,
  toNumber,
} from './rational.js';
import type { Node } from './tree.js';

const Decimal = Base.clone({ precision: 40, defaults: true, maxE: 20_000, minE: -20_000 });
type Real = InstanceType<typeof Decimal>;
type Complex = readonly [re: Real, im: Real];

/** Why a formula has no value here. */
export class NoValue extends Error {}

const nothing = (): never => {
  throw new NoValue();
};

const ZERO = new Decimal(0);
const ONE = new Decimal(1);
const PI = Decimal.acos(-1);
const E = Decimal.exp(1);
const real = (x: Real): Complex => [x, ZERO];

/** Names that stand for numbers. */
const CONSTANTS = new Set(['\\pi', 'e', 'i', '\\mathrm i']);

/** Names of the variables of a formula. */
export function variablesOf(node: Node, into = new Set<string>()): Set<string> {
  if (node.k === 'sym') {
    if (!CONSTANTS.has(node.name)) into.add(node.name);
  } else if (node.k !== 'num' && node.k !== 'inf') {
    if (node.k === 'fn' && node.name === 'log' && node.a.length === 1) into.add('log');
    for (const part of node.a) variablesOf(part, into);
  }
  return into;
}

/** The exact value, or null. */
export const exactValue: (node: Node) => Rational | null = memo(computeExactly);

function computeExactly(node: Node): Rational | null {
  switch (node.k) {
    case 'num':
      return node.value;
    case 'add':
    case 'mul': {
      let value: Rational | null = null;
      for (const part of node.a) {
        const next = exactValue(part);
        if (next === null) return null;
        value = value === null ? next : node.k === 'add' ? plus(value, next) : times(value, next);
        if (value === null) return null;
      }
      return value;
    }
    case 'neg': {
      const value = exactValue(node.a[0]);
      return value && times(value, rational(-1n) as Rational);
    }
    case 'div': {
      const [a, b] = node.a.map(exactValue);
      return a && b && over(a, b);
    }
    case 'pow': {
      const [a, b] = node.a.map(exactValue);
      if (!a || !b || (a.numerator === 0n && b.numerator <= 0n)) return null;
      if (isInteger(b)) return power(a, b.numerator);
      if (b.denominator > 60n) return null;
      const root = exactRoot(a, Number(b.denominator));
      return root && power(root, b.numerator);
    }
    case 'fn': {
      const args = node.a.map(exactValue);
      if (args.some((arg) => arg === null)) return null;
      return exactFunction(node.name, args as Rational[]);
    }
    default:
      return null;
  }
}

function exactFunction(name: string, [a, b, ...rest]: readonly Rational[]): Rational | null {
  const floor = (x: Rational): bigint =>
    x.numerator / x.denominator - (x.numerator < 0n && !isInteger(x) ? 1n : 0n);
  switch (name) {
    case 'root':
      return isInteger(b) && b.numerator > 0n && b.numerator < 60n
        ? exactRoot(a, Number(b.numerator))
        : null;
    case 'abs':
      return a.numerator < 0n ? times(a, rational(-1n) as Rational) : a;
    case 'floor':
      return rational(floor(a));
    case 'ceil':
      return rational(isInteger(a) ? a.numerator : floor(a) + 1n);
    case 'factorial': {
      if (!isInteger(a) || a.numerator < 0n || a.numerator > 1000n) return null;
      pay(Number(a.numerator) / 8);
      let value = 1n;
      for (let i = 2n; i <= a.numerator; i++) value *= i;
      return rational(value);
    }
    case 'binom': {
      if (!isInteger(a) || !isInteger(b) || b.numerator < 0n || b.numerator > 1000n) return null;
      if (a.numerator < 0n || a.numerator > 100_000n) return null;
      pay(Number(b.numerator));
      let value = 1n;
      for (let i = 0n; i < b.numerator; i++) value = (value * (a.numerator - i)) / (i + 1n);
      return rational(value);
    }
    case 'gcd':
    case 'lcm':
    case 'max':
    case 'min': {
      const all = b === undefined ? [a] : [a, b, ...rest];
      if (name === 'max' || name === 'min') {
        const less = (x: Rational, y: Rational): boolean =>
          x.numerator * y.denominator < y.numerator * x.denominator;
        return all.reduce((best, x) => (less(x, best) === (name === 'min') ? x : best));
      }
      if (!all.every(isInteger)) return null;
      const gcd = (x: bigint, y: bigint): bigint => (y === 0n ? (x < 0n ? -x : x) : gcd(y, x % y));
      const values = all.map(({ numerator }) => numerator);
      return rational(
        values.reduce((x, y) => (name === 'gcd' ? gcd(x, y) : (x * y) / (gcd(x, y) || 1n))),
      );
    }
    default:
      return null;
  }
}

/** Numbers of points: at the first two all variables are positive. */
const POINTS = [0, 1, 2, 3];
const FIRST_MIXED = 2;

/** An irrational-looking number between 0.4 and 2.9 for a name, negative at some mixed points. */
function sample(name: string, point: number): Real {
  const hash = hashString(`${point}:${name}`);
  const digits = `${hash}${hashString(`${name}/${point}`)}${hashString(`${name}+${point}`)}`;
  const size = new Decimal(`0.${digits}7`).times(2.5).plus(0.4);
  const negative = point >= 2 && (hashString(`sign:${name}`) + point) % 2 === 0;
  return negative ? size.neg() : size;
}

/** Steps of forty digits. */
const COST = { plain: 6, power: 24, exponential: 150, sine: 250, logarithm: 300, inverse: 1600 };

/** @throws NoValue where it has none */
export function evaluate(
  node: Node,
  point: number,
): { readonly value: Complex; readonly leftReals: boolean } {
  let leftReals = false;
  const check = (z: Complex): Complex =>
    z[0].isFinite() && z[1].isFinite() && z[0].e < 9000 ? z : nothing();

  const mul = ([a, b]: Complex, [c, d]: Complex): Complex =>
    b.isZero() && d.isZero()
      ? real(a.times(c))
      : [a.times(c).minus(b.times(d)), a.times(d).plus(b.times(c))];
  const div = ([a, b]: Complex, [c, d]: Complex): Complex => {
    const size = c.times(c).plus(d.times(d));
    if (size.isZero()) return nothing();
    if (b.isZero() && d.isZero()) return real(a.div(c));
    return [a.times(c).plus(b.times(d)).div(size), b.times(c).minus(a.times(d)).div(size)];
  };
  const sub = (x: Complex, y: Complex): Complex => [x[0].minus(y[0]), x[1].minus(y[1])];
  const add = (x: Complex, y: Complex): Complex => [x[0].plus(y[0]), x[1].plus(y[1])];
  const abs = ([a, b]: Complex): Real =>
    b.isZero() ? a.abs() : a.times(a).plus(b.times(b)).sqrt();
  const exp = ([a, b]: Complex): Complex => {
    pay(COST.exponential);
    if (a.abs().gt(10_000)) return nothing();
    const size = a.exp();
    return b.isZero() ? real(size) : [size.times(b.cos()), size.times(b.sin())];
  };
  const ln = (z: Complex): Complex => {
    pay(COST.logarithm);
    const size = abs(z);
    if (size.isZero()) return nothing();
    if (z[1].isZero() && z[0].isPos()) return real(size.ln());
    leftReals ||= z[1].isZero();
    return [size.ln(), Decimal.atan2(z[1], z[0])];
  };
  const I: Complex = [ZERO, ONE];
  const half = (z: Complex): Complex => [z[0].div(2), z[1].div(2)];
  const sin = (z: Complex): Complex => {
    if (z[1].isZero()) {
      pay(COST.sine);
      if (z[0].abs().gt(1e6)) return nothing();
      return real(z[0].sin());
    }
    const [p, q] = [exp(mul(I, z)), exp(mul([ZERO, ONE.neg()], z))];
    return div(sub(p, q), [ZERO, new Decimal(2)]);
  };
  const cos = (z: Complex): Complex => {
    if (z[1].isZero()) {
      pay(COST.sine);
      if (z[0].abs().gt(1e6)) return nothing();
      return real(z[0].cos());
    }
    return half(add(exp(mul(I, z)), exp(mul([ZERO, ONE.neg()], z))));
  };
  const realOnly = (z: Complex): Real => (z[1].isZero() ? z[0] : nothing());
  const inUnit = (z: Complex): Real => {
    pay(COST.inverse);
    const x = realOnly(z);
    return x.abs().gt(1) ? nothing() : x;
  };

  const pow = (base: Complex, exponent: Node): Complex => {
    const exact = exactValue(exponent);
    if (exact !== null) {
      const { numerator: n, denominator: d } = exact;
      if (d === 1n && (n < 0n ? -n : n) <= 400n) {
        let result: Complex = real(ONE);
        let square = base;
        for (let k = n < 0n ? -n : n; k > 0n; k /= 2n) {
          pay(COST.power);
          if (k % 2n === 1n) result = mul(result, square);
          square = mul(square, square);
        }
        return n < 0n ? div(real(ONE), result) : result;
      }
      if (base[1].isZero() && base[0].isNeg() && d % 2n === 1n && d < 60n) {
        // The real root of a negative number, as at school.
        const size = pow(real(base[0].abs()), exponent);
        return n % 2n === 0n ? size : [size[0].neg(), ZERO];
      }
      if (d === 2n && base[1].isZero() && n === 1n) {
        pay(COST.power);
        if (base[0].isNeg() && !base[0].isZero()) {
          leftReals = true;
          return [ZERO, base[0].abs().sqrt()];
        }
        return real(base[0].sqrt());
      }
    }
    if (base[0].isZero() && base[1].isZero()) {
      return exact !== null && exact.numerator > 0n ? real(ZERO) : nothing();
    }
    return exp(mul(ln(base), of(exponent)));
  };

  const functions: Record<string, (args: readonly Node[]) => Complex> = {
    root: ([a, n]) =>
      pow(of(a), { k: 'div', a: [{ k: 'num', value: rational(1n) as Rational, places: 0 }, n] }),
    abs: ([a]) => real(abs(of(a))),
    exp: ([a]) => exp(of(a)),
    ln: ([a]) => ln(of(a)),
    lg: ([a]) => div(ln(of(a)), ln(real(new Decimal(10)))),
    // A logarithm without a base is one to some base: which, the question knows.
    log: ([a, base]) =>
      base === undefined
        ? mul(ln(of(a)), real(sample('log', point % 2)))
        : div(ln(of(a)), ln(of(base))),
    sin: ([a]) => sin(of(a)),
    cos: ([a]) => cos(of(a)),
    tan: ([a]) => quotient(a, sin, cos),
    cot: ([a]) => quotient(a, cos, sin),
    sec: ([a]) => quotient(a, () => real(ONE), cos),
    csc: ([a]) => quotient(a, () => real(ONE), sin),
    arcsin: ([a]) => real(inUnit(of(a)).asin()),
    arccos: ([a]) => real(inUnit(of(a)).acos()),
    arctan: ([a]) => {
      pay(COST.inverse);
      return real(realOnly(of(a)).atan());
    },
    arccot: ([a]) => {
      pay(COST.inverse);
      return real(PI.div(2).minus(realOnly(of(a)).atan()));
    },
    arcsec: ([a]) => real(inUnit(div(real(ONE), of(a))).acos()),
    arccsc: ([a]) => real(inUnit(div(real(ONE), of(a))).asin()),
    sinh: ([a]) => half(sub(exp(of(a)), exp(minus(of(a))))),
    cosh: ([a]) => half(add(exp(of(a)), exp(minus(of(a))))),
    tanh: ([a]) => {
      const [p, q] = [exp(of(a)), exp(minus(of(a)))];
      return div(sub(p, q), add(p, q));
    },
    coth: ([a]) => {
      const [p, q] = [exp(of(a)), exp(minus(of(a)))];
      return div(add(p, q), sub(p, q));
    },
    Re: ([a]) => real(of(a)[0]),
    Im: ([a]) => real(of(a)[1]),
    floor: ([a]) => real(realOnly(of(a)).floor()),
    ceil: ([a]) => real(realOnly(of(a)).ceil()),
  };
  for (const name of ['sin', 'cos', 'tan']) functions[`a${name}`] = functions[`arc${name}`];
  const minus = (z: Complex): Complex => [z[0].neg(), z[1].neg()];
  const quotient = (
    a: Node,
    top: (z: Complex) => Complex,
    bottom: (z: Complex) => Complex,
  ): Complex => {
    const z = of(a);
    const under = bottom(z);
    // A pole: forty digits of π are not π.
    if (abs(under).lt('1e-34')) return nothing();
    return div(top(z), under);
  };

  function of(n: Node): Complex {
    pay(COST.plain);
    switch (n.k) {
      case 'num':
        return real(new Decimal(n.value.numerator.toString()).div(n.value.denominator.toString()));
      case 'sym':
        if (n.name === '\\pi') return real(PI);
        if (n.name === 'e') return real(E);
        if (n.name === 'i') return I;
        return real(sample(n.name, point));
      case 'add':
        return n.a.map(of).reduce(add);
      case 'mul':
        return n.a.map(of).reduce(mul);
      case 'div':
        return div(of(n.a[0]), of(n.a[1]));
      case 'neg':
        return minus(of(n.a[0]));
      case 'deg':
        return mul(of(n.a[0]), real(PI.div(180)));
      case 'pow':
        return check(pow(of(n.a[0]), n.a[1]));
      case 'fn': {
        const exact = exactValue(n);
        if (exact !== null)
          return real(new Decimal(exact.numerator.toString()).div(exact.denominator.toString()));
        if (n.name.startsWith('?')) return unknownFunction(n.name, n.a.map(of));
        return Object.hasOwn(functions, n.name) ? check(functions[n.name](n.a)) : nothing();
      }
      default:
        return nothing();
    }
  }
  /** `f(x)`: some function of its arguments, the same wherever its name stands. */
  function unknownFunction(name: string, args: readonly Complex[]): Complex {
    return args
      .map((z, i) => {
        const scale = real(sample(`${name}#${i}`, 0));
        return add(mul(mul(z, z), scale), div(z, add(real(scale[0].plus(7)), mul(z, z))));
      })
      .reduce((a, b) => add(mul(a, a), b), real(sample(name, 1)));
  }
  return { value: check(of(node)), leftReals };
}

/** Digits that must agree. */
const AGREE = new Decimal('1e-34');

function close([a, b]: Complex, [c, d]: Complex): boolean {
  const size = Decimal.max(a.abs(), b.abs(), c.abs(), d.abs());
  const off = Decimal.max(a.minus(c).abs(), b.minus(d).abs());
  // What cancels to nothing leaves a last digit: \sin\pi.
  const zero = (a.isZero() && b.isZero()) || (c.isZero() && d.isZero());
  return off.isZero() || off.lte(zero ? AGREE : size.times(AGREE));
}

/** Whether two formulas are the same function of their variables; false where that is not known. */
export function sameFunction(a: Node, b: Node): boolean {
  const exact = [exactValue(a), exactValue(b)];
  if (exact[0] !== null && exact[1] !== null) return equal(exact[0], exact[1]);
  const constant = variablesOf(a).size + variablesOf(b).size === 0;
  let compared = 0;
  for (const point of constant ? [0] : POINTS) {
    const [x, y] = [a, b].map((node) => valueAt(node, point));
    if (point >= FIRST_MIXED) {
      // Outside of the reals a root has several values, and which is meant is not known.
      if (x === null || y === null || x.leftReals || y.leftReals) continue;
    } else if (x === null || y === null) {
      if (x === null && y === null) continue;
      return false;
    }
    if (!close(x.value, y.value)) return false;
    compared++;
  }
  return compared > 0;
}

type Found = ReturnType<typeof evaluate> | null;
const valuesOf = memo((_node: Node): Map<number, Found> => new Map());

function valueAt(node: Node, point: number): Found {
  const known = valuesOf(node);
  let found = known.get(point);
  if (found === undefined) {
    found = computeAt(node, point);
    known.set(point, found);
  }
  return found;
}

function computeAt(node: Node, point: number): Found {
  try {
    return evaluate(node, point);
  } catch (error) {
    if (error instanceof NoValue || /\[DecimalError\]/.test(String(error))) return null;
    throw error;
  }
}

/** The value of a formula without variables as a double, where it is real; else NaN. */
export function approximate(node: Node): number {
  const exact = exactValue(node);
  if (exact !== null) return toNumber(exact);
  if (node.k === 'inf') return Number.POSITIVE_INFINITY;
  if (node.k === 'neg' && node.a[0].k === 'inf') return Number.NEGATIVE_INFINITY;
  if (node.k === 'add' && node.a.length === 1) return approximate(node.a[0]);
  if (variablesOf(node).size > 0) return Number.NaN;
  const found = valueAt(node, 0);
  if (found === null || found.value[1].abs().gt('1e-34')) return Number.NaN;
  return found.value[0].toNumber();
}

/** A text that formulas with one value share, up to thirty digits; null where it has none. */
export function signatureOf(node: Node): string | null {
  const exact = exactValue(node);
  if (exact !== null) return `${exact.numerator}/${exact.denominator}`;
  const found = valueAt(node, 0);
  if (found === null) return null;
  return found.value
    .map((part) => (part.abs().lt('1e-34') ? '0' : part.toSignificantDigits(30).toString()))
    .join('i');
}

/** The quotient of two formulas where it is one real number everywhere; else null. */
export function constantRatio(a: Node, b: Node): number | null {
  let first: Complex | null = null;
  for (const point of POINTS) {
    const [x, y] = [a, b].map((node) => valueAt(node, point)?.value);
    if (!x || !y || !x[1].isZero() || !y[1].isZero()) return null;
    if (y[0].isZero() || x[0].isZero()) return null;
    const ratio = real(x[0].div(y[0]));
    if (first !== null && !close(first, ratio)) return null;
    first = ratio;
  }
  return first === null ? null : first[0].toNumber();
}
