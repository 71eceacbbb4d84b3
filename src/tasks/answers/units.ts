/**
 * @file Units behind a number: of measurement (`quantity.ts`), of money, and words (`apples`).
 */
import { parseUnit } from '../quantity.js';
import { type Rational, rational } from './rational.js';
import type { Unit } from './tree.js';

/** Names of currencies, and how much of the main unit one is. */
const MONEY: Record<string, readonly [code: string, factor: number]> = {
  $: ['USD', 1],
  usd: ['USD', 1],
  us$: ['USD', 1],
  dollar: ['USD', 1],
  'us dollar': ['USD', 1],
  buck: ['USD', 1],
  cent: ['USD', 0.01],
  '¢': ['USD', 0.01],
  '€': ['EUR', 1],
  eur: ['EUR', 1],
  euro: ['EUR', 1],
  '£': ['GBP', 1],
  gbp: ['GBP', 1],
  pence: ['GBP', 0.01],
  '¥': ['JPY', 1],
  jpy: ['JPY', 1],
  yen: ['JPY', 1],
  cny: ['CNY', 1],
  rmb: ['CNY', 1],
  yuan: ['CNY', 1],
  '₹': ['INR', 1],
  inr: ['INR', 1],
  rupee: ['INR', 1],
};

/** Words that are numbers: what they follow is multiplied. */
const MULTIPLIERS: Record<string, bigint> = {
  dozen: 12n,
  hundred: 100n,
  thousand: 1000n,
  million: 1_000_000n,
  billion: 1_000_000_000n,
  trillion: 1_000_000_000_000n,
};

/** Words that say something about the value, and so are no unit. */
const NOT_UNITS = new Set(
  `or and more less least most than not no minus plus times over under if when except point half
   double triple quarter squared cubed remainder factorial root negative base mod modulo power at
   between to from through is are was equals equal divided by above below up down but only unless
   without with either neither each? first second? third nor nth th st nd rd some any none zero one
   two three four five six seven eight nine ten eleven twelve twenty hundredth tenth other error
   wrong maybe impossible undefined unknown nan infinity false true yes plus-minus`.split(/\s+/),
);

const MAX_WORDS = 6;

const singular = (word: string): string =>
  word.length > 3 && /[^s]s$/.test(word) ? word.slice(0, -1) : word;

/** `square metres` and `sq. ft` as powers. */
const powers = (text: string): string =>
  text.replace(
    /\b(square|sq|cubic|cu)\.?\s+([a-z]+)/gi,
    (_, which: string, unit: string) => `${unit}^${/^s/i.test(which) ? 2 : 3}`,
  );

/** The unit that a text names, words included; null for what says more than a unit. */
export function readUnit(source: string): Unit | null {
  const text = powers(
    source
      .trim()
      .replace(/\s+/g, ' ')
      .replace(/ ?\^ ?/g, '^')
      .replace(/\.$/, ''),
  );
  if (text === '') return null;
  const lower = text.toLowerCase();
  const money = Object.hasOwn(MONEY, lower) ? MONEY[lower] : MONEY[singular(lower)];
  if (money !== undefined)
    return { text: money[0], factor: money[1], kind: `currency ${money[0]}` };
  if (/^deg(?:ree)?s?[ ]?(?:c|celsius)$/.test(lower))
    return { text: '°C', factor: 1, kind: 'celsius' };
  if (/^deg(?:ree)?s?[ ]?(?:f|fahrenheit)$/.test(lower))
    return { text: '°F', factor: 1, kind: 'fahrenheit' };
  const measured = parseUnit(text);
  if (measured !== null)
    return { text: lower, factor: measured.factor, kind: `si ${measured.dimensions.join(' ')}` };
  const words = lower.split(/[\s/]+|\bper\b/).filter((word) => word !== '');
  if (words.length === 0 || words.length > MAX_WORDS) return null;
  if (!/^(?:per\b|\/)?[\p{L}^23 /.'-]+$/u.test(lower)) return null;
  if (words.some((word) => NOT_UNITS.has(word) || Object.hasOwn(MULTIPLIERS, singular(word))))
    return null;
  const text2 = words.map(singular).join(' ');
  return { text: text2, factor: 1, kind: 'word' };
}

export interface Suffix {
  readonly unit: Unit | null;
  readonly percent: boolean;
  /** Of `3 million`. */
  readonly multiplier: Rational | null;
}

/**
 * What stands around a number, all of it; null where some of it is no unit.
 * @param around a currency before the number, and a degree sign between
 */
export function unitOfTokens(
  source: string,
  around: { currency: string; degrees: boolean },
): Suffix | null {
  let text = source.trim().replace(/\s+/g, ' ');
  let multiplier: Rational | null = null;
  const percent = /^(?:percent|per cent|pct)\b\.?/i.exec(text);
  if (percent) text = text.slice(percent[0].length).trim();
  const word = /^[a-z]+/i.exec(text)?.[0].toLowerCase() ?? '';
  const name = singular(word);
  if (Object.hasOwn(MULTIPLIERS, name)) {
    multiplier = rational(MULTIPLIERS[name]);
    text = text.slice(word.length).trim();
  }
  const money = around.currency === '' ? null : readUnit(around.currency);
  const found = (unit: Unit | null): Suffix => ({ unit, percent: percent !== null, multiplier });
  if (around.degrees) {
    if (text === '') return found({ text: 'degree', factor: Math.PI / 180, kind: 'angle' });
    if (/^(?:c|celsius)$/i.test(text)) return found(readUnit('degrees celsius'));
    if (/^(?:f|fahrenheit)$/i.test(text)) return found(readUnit('degrees fahrenheit'));
    return null;
  }
  if (text === '') return found(money);
  const unit = readUnit(text);
  if (unit === null) return null;
  if (/^degrees?$/i.test(text))
    return found({ text: 'degree', factor: Math.PI / 180, kind: 'angle' });
  if (money === null) return found(unit);
  // `$5 per hour`, `$5 dollars`.
  if (unit.kind === money.kind) return found(money);
  return unit.kind === 'word' || unit.kind.startsWith('si')
    ? found({ text: `${money.text} ${unit.text}`, factor: money.factor, kind: money.kind })
    : null;
}
