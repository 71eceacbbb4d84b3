/**
 * @file Units of a claim's numbers, so that dollars are never added to dollars an hour.
 *
 * A unit is a product of words over a product of words: `USD`, `GPU-h`, `USD/GPU-h`,
 * `USD/kW-month`, `token/s/node`. A hyphen multiplies, a slash divides by the next product. Words
 * of time, power, work and tokens have a scale (a month is a twelfth of a year of 365 days, as
 * analysts count: 8,760 h); any other word (GPU, node, person) is a dimension of its own.
 */
import { Decimal } from '../money.js';

export interface Unit {
  /** How many base units (second, watt, FLOP, token, USD, …) one of this is. */
  scale: Decimal;
  /** Powers by base unit, none of them 0. */
  dimensions: Readonly<Record<string, number>>;
}

const SECOND = ['second', 1] as const;
const scaled = (base: string, scale: number | string): readonly [string, number | string] => [
  base,
  scale,
];

const WORDS: Readonly<Record<string, readonly [base: string, scale: number | string]>> = {
  s: SECOND,
  min: scaled('second', 60),
  h: scaled('second', 3600),
  day: scaled('second', 86_400),
  days: scaled('second', 86_400),
  month: scaled('second', 2_628_000),
  months: scaled('second', 2_628_000),
  year: scaled('second', 31_536_000),
  years: scaled('second', 31_536_000),
  W: scaled('watt', 1),
  kW: scaled('watt', 1e3),
  MW: scaled('watt', 1e6),
  FLOP: scaled('FLOP', 1),
  TFLOP: scaled('FLOP', 1e12),
  PFLOP: scaled('FLOP', 1e15),
  token: scaled('token', 1),
  tokens: scaled('token', 1),
  Mtok: scaled('token', 1e6),
  Ttok: scaled('token', 1e12),
  people: scaled('person', 1),
  chip: scaled('GPU', 1),
};

/** Energy: power for an hour. */
const ENERGY: Readonly<Record<string, number>> = { Wh: 1, kWh: 1e3, MWh: 1e6, GWh: 1e9 };

/** Pure numbers, by the names that people give them. */
const PURE = new Set(['', '1', 'ratio', 'fraction', 'x']);

export const DIMENSIONLESS: Unit = { scale: new Decimal(1), dimensions: {} };
export const USD: Unit = { scale: new Decimal(1), dimensions: { USD: 1 } };

/** @throws Error that says which part cannot be read */
export function parseUnit(text: string): Unit {
  if (PURE.has(text)) return DIMENSIONLESS;
  let unit = DIMENSIONLESS;
  text.split('/').forEach((product, i) => {
    for (const word of product === '1' && i === 0 ? [] : product.split('-')) {
      unit = combine(unit, wordUnit(word, text), i === 0 ? 1 : -1);
    }
  });
  return unit;
}

function wordUnit(word: string, text: string): Unit {
  if (!/^[A-Za-z][A-Za-z0-9]*$/.test(word)) {
    throw new Error(
      `cannot read the unit ${JSON.stringify(text)}; write it like USD/GPU-h or token/s`,
    );
  }
  if (Object.hasOwn(ENERGY, word)) {
    return { scale: new Decimal(ENERGY[word]).times(3600), dimensions: { watt: 1, second: 1 } };
  }
  const [base, scale] = Object.hasOwn(WORDS, word) ? WORDS[word] : [word, 1];
  return { scale: new Decimal(scale), dimensions: { [base]: 1 } };
}

/** a × b, or a ÷ b with `sign` −1. */
export function combine(a: Unit, b: Unit, sign: 1 | -1): Unit {
  const dimensions: Record<string, number> = { ...a.dimensions };
  for (const [base, power] of Object.entries(b.dimensions)) {
    dimensions[base] = (dimensions[base] ?? 0) + sign * power;
    if (dimensions[base] === 0) delete dimensions[base];
  }
  return { scale: sign === 1 ? a.scale.times(b.scale) : a.scale.div(b.scale), dimensions };
}

export function sameDimensions(a: Unit, b: Unit): boolean {
  const bases = new Set([...Object.keys(a.dimensions), ...Object.keys(b.dimensions)]);
  return [...bases].every((base) => a.dimensions[base] === b.dimensions[base]);
}

/** `USD/GPU-second`, for messages. */
export function describeUnit({ dimensions }: Unit): string {
  const word = ([base, power]: [string, number]): string =>
    Math.abs(power) === 1 ? base : `${base}^${Math.abs(power)}`;
  const entries = Object.entries(dimensions);
  const above = entries.filter(([, power]) => power > 0).map(word);
  const below = entries.filter(([, power]) => power < 0).map(word);
  if (entries.length === 0) return 'a pure number';
  return `${above.join('-') || '1'}${below.length > 0 ? `/${below.join('/')}` : ''}`;
}
