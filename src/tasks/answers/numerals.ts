/**
 * @file Numbers as answers write them: thousands by commas, points, blanks or marks, decimals that
 * repeat, powers of ten, and other bases.
 */
import { decimal, plus, power, type Rational, rational, times } from './rational.js';
import { fail, type Piece } from './tokens.js';

/** Thousands separators, each the same throughout a number. */
const GROUPED = [',\\\\!', '\\{,\\}', ',', '\\\\,', '\\\\ ', '~', ' ', "'", '_'].map(
  (separator) => ({
    separator,
    pattern: new RegExp(
      `(\\d{1,3}(?:${separator}\\d{3})+)(?!\\d)(\\.\\d+)?(?!${separator}\\d)${
        separator === ' ' || separator === '\\\\ ' ? '(?!\\s*/)' : ''
      }`,
      'y',
    ),
  }),
);
/** Groups by points, as in Germany or Brazil: only where there is no other reading. */
const POINTED = /(\d{1,3}(?:\.\d{3})+),(\d{1,2})(?![\d,])|(\d{1,3}(?:\.\d{3}){2,})(?![\d.])/y;
/** A comma for the decimal point, beside a euro sign. */
const CENTS = /\d+,\d{2}(?![\d,])/y;
/** Groups as in India; also a list of three numbers. */
const INDIAN = /(\d{1,2}(?:,\d{2})+,\d{3})(?![\d,])/y;
const PLAIN = /(\d+(?:\.\d+|\.(?![\d.]))?|\.\d+)/y;
const REPEATING =
  /\\(?:overline|bar|dot)\s*(?:\{\s*(\d+)\s*\}|(\d))(?:\s*(\d*)\\dot\s*\{?(\d)\}?)?|\((\d+)\)/y;
const SCIENTIFIC = /[eE]([-+]?\d{1,4})(?![\w.])/y;
const RADIX = /0([xXbBoO])([\da-fA-F]+)(?![\w.])/y;

const match = (text: string, pattern: RegExp, at: number): RegExpExecArray | null => {
  pattern.lastIndex = at;
  return pattern.exec(text);
};

/** A number that was read, and the index behind it. */
interface ReadNumber {
  readonly token: Piece;
  readonly end: number;
}

/**
 * The number at `at`, where a digit or a point before one stands.
 * @param depth open brackets around it: commas inside of them part coordinates
 * @param euros `3,50` is three and a half
 */
export function readNumber(text: string, at: number, depth: number, euros: boolean): ReadNumber {
  const done = (
    end: number,
    digits: string,
    groups: readonly string[] | null,
    value?: Rational | null,
  ): ReadNumber => {
    const places = digits.includes('.') ? digits.length - digits.indexOf('.') - 1 : 0;
    const read = value ?? decimal(digits) ?? fail();
    return { token: { t: 'num', value: read, places, digits, groups }, end };
  };
  const radix = match(text, RADIX, at);
  if (radix) {
    const base = { x: 16, b: 2, o: 8 }[radix[1].toLowerCase()] as number;
    const value = fromDigits(radix[2], base);
    if (value !== null) return done(at + radix[0].length, radix[0], null, value);
  }
  const pointed = depth === 0 ? match(text, POINTED, at) : null;
  if (pointed) {
    const whole = (pointed[1] ?? pointed[3]).replaceAll('.', '');
    return done(at + pointed[0].length, pointed[2] ? `${whole}.${pointed[2]}` : whole, null);
  }
  const cents = euros && depth === 0 ? match(text, CENTS, at) : null;
  if (cents) return done(at + cents[0].length, cents[0].replace(',', '.'), null);
  for (const { separator, pattern } of GROUPED) {
    const found = match(text, pattern, at);
    if (!found) continue;
    const groups = found[1].match(/\d+/g) as string[];
    const whole = groups.join('') + (found[2] ?? '');
    const list =
      separator === ',' && found[2] === undefined && groups.every((group) => !/^0\d/.test(group));
    // A pair of coordinates, not a thousand.
    if (list && depth > 0) break;
    const twofold = list && groups[0].length === 3;
    return done(at + found[0].length, whole, twofold ? groups : null);
  }
  const indian = depth === 0 ? match(text, INDIAN, at) : null;
  if (indian) {
    const groups = indian[1].split(',');
    const list = groups.every((group) => !/^0\d/.test(group));
    return done(at + indian[0].length, groups.join(''), list ? groups : null);
  }
  const [plain] = match(text, PLAIN, at) as RegExpExecArray;
  let end = at + plain.length;
  if (plain.includes('.') || text[end] === '\\') {
    const repeating = match(text, REPEATING, end);
    const bare = repeating?.[5];
    if (repeating && plain.includes('.') && (bare === undefined || plain.endsWith('.'))) {
      const period =
        bare ?? `${repeating[1] ?? repeating[2]}${repeating[3] ?? ''}${repeating[4] ?? ''}`;
      end += repeating[0].length;
      const places = plain.length - plain.indexOf('.') - 1;
      const head = decimal(plain.replace(/\.$/, '')) ?? fail();
      const tail =
        rational(BigInt(period), (10n ** BigInt(period.length) - 1n) * 10n ** BigInt(places)) ??
        fail();
      return done(end, plain, null, plus(head, tail));
    }
  }
  const scientific = match(text, SCIENTIFIC, end);
  if (scientific) {
    const exponent = BigInt(scientific[1].replace('+', ''));
    const scale = power(rational(10n) as Rational, exponent);
    if (scale !== null)
      return done(end + scientific[0].length, plain, null, times(decimal(plain) ?? fail(), scale));
  }
  const digits = plain.endsWith('.') ? plain.slice(0, -1) : plain;
  return done(end, digits, null);
}

/** The value of digits in a base from 2 to 36; null where one of them is none. */
export function fromDigits(digits: string, base: number): Rational | null {
  let value = 0n;
  for (const digit of digits.toLowerCase()) {
    const d = Number.parseInt(digit, 36);
    if (Number.isNaN(d) || d >= base) return null;
    value = value * BigInt(base) + BigInt(d);
  }
  return digits === '' ? null : rational(value);
}
