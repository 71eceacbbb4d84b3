/**
 * @file Whether two answers to a question of mathematics are the same, however they are written.
 *
 * `1,234.50`, `$1234.5`, `\boxed{\frac{2469}{2}}` and `1234 1/2` are one number; `50%` is 1/2; `(1,
 * 2)` is not `(2, 1)` and `{1, 2}` is `{2, 1}`. Numbers are exact fractions of big integers. The
 * text is read by a small parser and never evaluated: what it does not know is compared as text,
 * with spaces and case aside. Everything is linear in the length of the text, which is limited.
 *
 * What a grader cannot know it decides for the reader who asked: words behind a number are taken
 * for a unit, and count only when both answers have one; `50%` answers both 0.5 and 50, since
 * questions ask for percent in both ways.
 */
import { sameUnit } from './quantity.js';

/** Longer answers are compared as text. */
const MAX_LENGTH = 500;
/** Largest power of ten. */
const MAX_EXPONENT = 300;

export interface Rational {
  readonly numerator: bigint;
  /** Above zero. */
  readonly denominator: bigint;
}

export type Answer =
  | {
      readonly kind: 'number';
      readonly value: Rational;
      readonly percent: boolean;
      readonly unit: string;
    }
  | { readonly kind: 'list'; readonly items: readonly Answer[]; readonly ordered: boolean }
  | { readonly kind: 'text'; readonly text: string };

function rational(numerator: bigint, denominator: bigint): Rational {
  let [a, b] = [
    numerator < 0n ? -numerator : numerator,
    denominator < 0n ? -denominator : denominator,
  ];
  while (b !== 0n) [a, b] = [b, a % b];
  const divisor = denominator < 0n ? -a : a;
  return { numerator: numerator / divisor, denominator: denominator / divisor };
}

const equal = (a: Rational, b: Rational): boolean =>
  a.numerator === b.numerator && a.denominator === b.denominator;
const times = (a: Rational, b: Rational): Rational =>
  rational(a.numerator * b.numerator, a.denominator * b.denominator);
const plus = (a: Rational, b: Rational): Rational =>
  rational(
    a.numerator * b.denominator + b.numerator * a.denominator,
    a.denominator * b.denominator,
  );
const powerOfTen = (n: number): Rational =>
  n < 0 ? rational(1n, 10n ** BigInt(-n)) : rational(10n ** BigInt(n), 1n);
export const toNumber = ({ numerator, denominator }: Rational): number => {
  // Both may be beyond a double's range although their ratio is not.
  const shift = Math.max(
    0,
    Math.min(numerator.toString(2).length, denominator.toString(2).length) - 1000,
  );
  return Number(numerator >> BigInt(shift)) / Number(denominator >> BigInt(shift));
};

/** The inside of the last `\boxed{…}`, braces balanced; the text itself where there is none. */
export function unbox(text: string): string {
  const at = text.lastIndexOf('\\boxed{');
  if (at < 0) return text;
  let depth = 0;
  for (let i = at + 6; i < text.length; i++) {
    if (text[i] === '{') depth++;
    else if (text[i] === '}' && --depth === 0) return text.slice(at + 7, i);
  }
  return text;
}

/** LaTeX and typography reduced to plain characters. */
function plain(raw: string): string {
  let text = unbox(raw)
    .normalize('NFKC')
    .replace(/[−–—]/g, '-')
    .replace(/[×·⋅]/g, '*')
    .replace(/[\u00a0\u2009\u202f]/g, ' ')
    .replace(/⁄/g, '/')
    .replace(/\\(?:left|right|displaystyle|,|!|;|:|quad)/g, '')
    .replace(/\\[()[\]]/g, '')
    .replace(/\\(?:text|mathrm|mbox|textbf|mathbf)\s*\{([^{}]*)\}/g, ' $1')
    .replace(/\\[dt]frac/g, '\\frac')
    .replace(/\\frac\s*(\d)\s*(\d)/g, '\\frac{$1}{$2}')
    .replace(/\\(?:cdot|times)/g, '*')
    .replace(/\^\s*(?:\\circ|\{\\circ\})|°/g, ' degrees')
    .replace(/\\([{}%$#& ])/g, '$1')
    .replace(/\$\s*([^$]*)\$/g, '$1')
    .trim();
  // `\frac{a}{b}` of plain numbers; a whole number before it makes a mixed one.
  text = text.replace(/\\frac\s*\{\s*(-?[\d.,]+)\s*\}\s*\{\s*(-?[\d.,]+)\s*\}/g, ' $1/$2');
  text = text.replace(/^(?:(?:the\s+)?(?:final\s+)?answer(?:\s+is)?\s*:?|therefore,?)\s*/i, '');
  // `x = 5`, and nothing on the left but a name.
  text = text.replace(/^[a-z](?:_\w)?\s*(?:=|\\in)\s*(?=\S)/i, '');
  return text.replace(/(?<=\S)\.$/, '').trim();
}

/** `12`, `1,234`, `0.5`, `.5`: digits at the start of `text`, and what follows. */
function digits(text: string): { value: Rational; rest: string } | null {
  const match =
    /^(?:\d{1,3}(?:,\d{3})+(?![\d,])|\d{1,3}(?: \d{3})+(?![\d ])|\d+)?(?:\.\d+|\.(?!\d))?/.exec(
      text,
    );
  if (!match || !/\d/.test(match[0])) return null;
  const [whole, fraction = ''] = match[0].replace(/[, ]/g, '').split('.');
  const value = rational(BigInt(`${whole}${fraction}` || '0'), 10n ** BigInt(fraction.length));
  return { value, rest: text.slice(match[0].length) };
}

/**
 * A number with its sign, currency, fraction, power of ten, percent and unit; null where the text
 * is none.
 */
function parseNumber(text: string): Extract<Answer, { kind: 'number' }> | null {
  let rest = text.replace(/^\+\s*/, '');
  let sign = 1n;
  let currency = '';
  for (let i = 0; i < 2; i++) {
    const lead = /^(-|[$€£¥])\s*/.exec(rest);
    if (!lead) break;
    if (lead[1] === '-') {
      if (sign < 0n) return null;
      sign = -1n;
    } else {
      if (currency !== '') return null;
      currency = lead[1];
    }
    rest = rest.slice(lead[0].length);
  }
  let first = digits(rest);
  if (first === null) {
    // `10^3` alone is read below as a power.
    return null;
  }
  let value = first.value;
  rest = first.rest;
  // A mixed number: `1 1/2`.
  const mixed = /^\s+(\d+)\s*\/\s*(\d+)(?![\d.,/])/.exec(rest);
  const over = /^\s*\/\s*(-?)\s*(?=[\d.])/.exec(rest);
  if (mixed && value.denominator === 1n && BigInt(mixed[2]) !== 0n) {
    value = plus(value, rational(BigInt(mixed[1]), BigInt(mixed[2])));
    rest = rest.slice(mixed[0].length);
  } else if (over) {
    first = digits(rest.slice(over[0].length));
    if (first === null || first.value.numerator === 0n) return null;
    value = rational(
      value.numerator * first.value.denominator,
      value.denominator * first.value.numerator,
    );
    if (over[1] === '-') value = times(value, { numerator: -1n, denominator: 1n });
    rest = first.rest;
  }
  const exponent =
    /^(?:[eE]([-+]?\d{1,4})(?![\w.])|\s*(?:\*|x)\s*10\s*(?:\^|\*\*)\s*(?:\{\s*([-+]?\d{1,4})\s*\}|\(\s*([-+]?\d{1,4})\s*\)|([-+]?\d{1,4})))/.exec(
      rest,
    );
  const power = /^\s*\^\s*(?:\{\s*(-?\d{1,4})\s*\}|(-?\d{1,4}))(?!\S)/.exec(rest);
  if (exponent) {
    const n = Number(exponent[1] ?? exponent[2] ?? exponent[3] ?? exponent[4]);
    if (Math.abs(n) > MAX_EXPONENT) return null;
    value = times(value, powerOfTen(n));
    rest = rest.slice(exponent[0].length);
  } else if (power && equal(value, rational(10n, 1n))) {
    const n = Number(power[1] ?? power[2]);
    if (Math.abs(n) > MAX_EXPONENT) return null;
    value = powerOfTen(n);
    rest = rest.slice(power[0].length);
  }
  rest = rest.trim();
  const percent = /^(?:%|percent\b|per cent\b)/i.exec(rest);
  if (percent) rest = rest.slice(percent[0].length).trim();
  // What is left is a unit: words, and nothing that could be more of a formula.
  if (
    rest !== '' &&
    !/^[\p{L}$€£¥µΩ][\p{L} '²³$€£¥µΩ]*(?:\s*[/*^]\s*-?\(?[\p{L}\d²³ */^-]+\)?)*\.?$/u.test(rest)
  )
    return null;
  if (sign < 0n) value = times(value, { numerator: -1n, denominator: 1n });
  return { kind: 'number', value, percent: percent !== null, unit: rest };
}

/** Cuts at commas and semicolons outside brackets. */
function split(text: string): string[] | null {
  const items: string[] = [];
  let depth = 0;
  let start = 0;
  for (let i = 0; i < text.length; i++) {
    if ('([{'.includes(text[i])) depth++;
    else if (')]}'.includes(text[i])) {
      if (--depth < 0) return null;
    } else if ((text[i] === ',' || text[i] === ';') && depth === 0) {
      items.push(text.slice(start, i).trim());
      start = i + 1;
    }
  }
  if (depth !== 0) return null;
  items.push(text.slice(start).trim());
  return items.some((item) => item === '') ? null : items;
}

const asText = (text: string): Answer => ({
  kind: 'text',
  text: text
    .toLowerCase()
    .replace(/\s+/g, '')
    .replace(/[{}]/g, (c) => (text.includes('\\') ? '' : c)),
});

/** What an answer says. Never throws. */
export function parseAnswer(raw: string): Answer {
  if (raw.length > MAX_LENGTH) return { kind: 'text', text: raw };
  return parsePlain(plain(raw), 0);
}

function parsePlain(text: string, depth: number): Answer {
  const number = parseNumber(text);
  if (number) return number;
  if (depth < 8) {
    const open = text[0];
    const close = text[text.length - 1];
    const pair = open + close;
    if (text.length > 1 && (pair === '()' || pair === '[]' || pair === '{}')) {
      const items = split(text.slice(1, -1));
      if (items !== null && items.length === 1 && pair === '()')
        return parsePlain(items[0], depth + 1);
      if (items !== null) {
        return {
          kind: 'list',
          items: items.map((item) => parsePlain(item, depth + 1)),
          ordered: pair !== '{}',
        };
      }
    } else {
      const items = split(text.replace(/\s+and\s+/g, ', '));
      // A list without brackets is one of solutions: their order is nobody's.
      if (items !== null && items.length > 1) {
        const parsed = items.map((item) => parsePlain(item, depth + 1));
        if (parsed.every(({ kind }) => kind !== 'text'))
          return { kind: 'list', items: parsed, ordered: false };
      }
    }
  }
  return asText(text);
}

function sameNumber(
  truth: Extract<Answer, { kind: 'number' }>,
  given: Extract<Answer, { kind: 'number' }>,
  tolerance: number,
) {
  const close = (a: Rational, b: Rational): boolean => {
    if (equal(a, b)) return true;
    if (tolerance === 0) return false;
    const [x, y] = [toNumber(a), toNumber(b)];
    return Math.abs(x - y) <= tolerance * Math.abs(x);
  };
  if (truth.unit !== '' && given.unit !== '' && truth.unit !== given.unit) {
    const factor = sameUnit(truth.unit, given.unit);
    if (factor === null) return false;
    const [x, y] = [toNumber(truth.value), toNumber(given.value) * factor];
    return Math.abs(x - y) <= Math.max(tolerance, 1e-12) * Math.abs(x);
  }
  if (truth.percent === given.percent) return close(truth.value, given.value);
  const hundredth = rational(1n, 100n);
  const [percent, other] = truth.percent ? [truth.value, given.value] : [given.value, truth.value];
  if (close(times(percent, hundredth), other)) return true;
  // `50%` for 50: but half a percent is never one half.
  return close(percent, other) && Math.abs(toNumber(other)) >= 1;
}

/** Whether `given` says the same as `truth`. @param tolerance relative, for numbers; 0 is exact */
export function sameParsed(truth: Answer, given: Answer, tolerance = 0): boolean {
  if (truth.kind === 'number' && given.kind === 'number')
    return sameNumber(truth, given, tolerance);
  if (truth.kind === 'text' && given.kind === 'text')
    return truth.text !== '' && truth.text === given.text;
  if (truth.kind === 'list' && given.kind === 'list') {
    if (truth.items.length !== given.items.length || truth.items.length > 100) return false;
    if (truth.ordered && given.ordered)
      return truth.items.every((item, i) => sameParsed(item, given.items[i], tolerance));
    if (truth.ordered !== given.ordered) return false;
    const left = [...given.items];
    return truth.items.every((item) => {
      const at = left.findIndex((other) => sameParsed(item, other, tolerance));
      if (at >= 0) left.splice(at, 1);
      return at >= 0;
    });
  }
  return false;
}

/** Whether two texts are the same answer. */
export const sameAnswer = (truth: string, given: string, tolerance = 0): boolean =>
  sameParsed(parseAnswer(truth), parseAnswer(given), tolerance);

/**
 * One text for answers that say the same (`1/2`, `0.5`, `\frac{1}{2} m`); units aside, since not
 * every answer has one.
 */
export function canonicalAnswer(raw: string): string {
  const write = (answer: Answer): string => {
    if (answer.kind === 'text') return answer.text;
    if (answer.kind === 'number') {
      const { numerator, denominator } = answer.value;
      return `${numerator}/${denominator}${answer.percent ? '%' : ''}`;
    }
    const items = answer.items.map(write);
    return answer.ordered ? `(${items.join(';')})` : `{${items.sort().join(';')}}`;
  };
  return write(parseAnswer(raw));
}
