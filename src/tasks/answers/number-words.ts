/**
 * @file Numbers in English words: `twenty-one`, `one hundred and five`, `three quarters`,
 * `two and a half`.
 */
import { plus, type Rational, rational, times } from './rational.js';

const UNITS = `zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen
  fifteen sixteen seventeen eighteen nineteen`.split(/\s+/);
const TENS = 'twenty thirty forty fifty sixty seventy eighty ninety'.split(' ');
const SCALES: Record<string, bigint> = {
  thousand: 1000n,
  million: 1_000_000n,
  billion: 1_000_000_000n,
  trillion: 1_000_000_000_000n,
};
const PARTS: Record<string, bigint> = {
  half: 2n,
  halve: 2n,
  third: 3n,
  quarter: 4n,
  fourth: 4n,
  fifth: 5n,
  sixth: 6n,
  seventh: 7n,
  eighth: 8n,
  ninth: 9n,
  tenth: 10n,
};
const MAX_WORDS = 20;

/** `a hundred and five` as a whole number; null where a word is out of its place. */
function whole(words: readonly string[]): bigint | null {
  let total = 0n;
  let below = 0n;
  let scale: bigint | null = null;
  /** What the next word must be smaller than. */
  let room = 1000n;
  for (const [i, word] of words.entries()) {
    const one = BigInt(UNITS.indexOf(word));
    const ten = BigInt(TENS.indexOf(word));
    if (one >= 0n) {
      if (one >= room || (one === 0n && words.length > 1)) return null;
      below += one;
      room = 0n;
    } else if (ten >= 0n) {
      if (room < 100n) return null;
      below += (ten + 2n) * 10n;
      room = 10n;
    } else if (word === 'hundred') {
      if (below === 0n && i === 0) below = 1n;
      if (below < 1n || below > 99n) return null;
      below *= 100n;
      room = 100n;
    } else if (word === 'and') {
      if (room !== 100n && !(below === 0n && i > 0)) return null;
      if (i === words.length - 1) return null;
    } else if (Object.hasOwn(SCALES, word)) {
      if (below === 0n && i === 0) below = 1n;
      if (below === 0n || (scale !== null && SCALES[word] >= scale)) return null;
      scale = SCALES[word];
      total += below * scale;
      below = 0n;
      room = 1000n;
    } else return null;
  }
  return words.length === 0 ? null : total + below;
}

/** The number that words name, all of them; null where they name none. */
export function numberInWords(text: string): Rational | null {
  const words = text
    .toLowerCase()
    .split(/[\s-]+/)
    .filter((word) => word !== '');
  if (words.length === 0 || words.length > MAX_WORDS) return null;
  if (words[0] === 'minus' || words[0] === 'negative') {
    const rest = words[1] === 'minus' || words[1] === 'negative' ? null : words.slice(1).join(' ');
    const value = rest === null ? null : numberInWords(rest);
    return value && times(value, rational(-1n) as Rational);
  }
  const last = words[words.length - 1];
  const part = PARTS[last.replace(/s$/, '')];
  if (part === undefined) {
    const value = whole(words[0] === 'a' ? words.slice(1) : words);
    return value === null ? null : rational(value);
  }
  // `two thirds`, `a half`, `half`, `two and a half`, `three and one third`.
  const before = words.slice(0, -1);
  const and = before.lastIndexOf('and');
  const count = before.slice(and + 1).join(' ');
  const several = whole(before.slice(and + 1));
  const share =
    count === 'a' || (count === '' && last === 'half')
      ? rational(1n, part)
      : several !== null && several > 0n
        ? rational(several, part)
        : null;
  if (share === null || and < 0) return share;
  const integer = whole(before.slice(0, and));
  return integer === null ? null : plus(rational(integer) as Rational, share);
}
