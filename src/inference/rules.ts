/**
 * @file Builds the rules of a grammar: literals, repetitions, choices among words, whole numbers
 * between bounds. Counts what it builds, so that no schema becomes a grammar without measure.
 */
import { UserError } from '../base/errors.js';
import type { Element, Rule } from './grammar.js';

/** Some 5 MB at most; a schema as large as one may be has room to name its own letters. */
const MOST_RULES = 20_000;
const MOST_ELEMENTS = 150_000;

type Ranges = readonly (readonly [number, number])[];

const characters = new Map<string, Element>();

/** One character. The element is shared: a schema may be a megabyte of letters. */
export function one(character: string): Element {
  const point = character.codePointAt(0) as number;
  const known = characters.get(character);
  if (known !== undefined) return known;
  const element = { ranges: [[point, point]] as const };
  if (point < 0x500) characters.set(character, element);
  return element;
}
export const literal = (text: string): Element[] => Array.from(text, one);
export const oneOf = (ranges: Ranges): Element => ({ ranges });
const digitsFrom = (low: number, high: number): Element => oneOf([[48 + low, 48 + high]]);
export const DIGIT = digitsFrom(0, 9);

/** @throws UserError (usage) that names the keyword and where it stands */
export function refuse(path: string, problem: string): never {
  throw new UserError(
    'usage',
    `JSON schema${path === '' ? '' : ` at ${path}`}: ${problem}`,
    'response_format',
  );
}

export class RuleBuilder {
  readonly rules: Rule[] = [];
  private readonly named = new Map<string, number>();
  private elements = 0;

  add(rule: Rule): number {
    this.rules.push([]);
    return this.set(this.rules.length - 1, rule);
  }

  /** A rule's alternatives, where they had to wait for the rule's own number. */
  set(own: number, rule: Rule): number {
    for (const alternative of rule) this.elements += 1 + alternative.length;
    if (this.rules.length > MOST_RULES || this.elements > MOST_ELEMENTS)
      refuse(
        '',
        `the schema is too large: more than ${MOST_RULES} rules of ${MOST_ELEMENTS} parts`,
      );
    this.rules[own] = rule;
    return own;
  }

  /** A rule that is made once. */
  once(name: string, make: (own: number) => Rule): Element {
    const known = this.named.get(name);
    if (known !== undefined) return { rule: known };
    const own = this.add([]);
    this.named.set(name, own);
    return { rule: this.set(own, make(own)) };
  }

  /** One of several sequences. */
  choice(...alternatives: Element[][]): Element {
    return { rule: this.add(alternatives) };
  }

  /** From `low` to `high` times (null: without end): the first one `first`, those after it `next`. */
  repeat(first: Element[], next: Element[], low: number, high: number | null): Element {
    if (high !== null && high < low) return this.choice();
    let rest: number;
    let done: number;
    if (high === null) {
      rest = this.add([]);
      this.set(rest, [[], [...next, { rule: rest }]]);
      done = Math.max(low, 1);
    } else {
      rest = this.add([[]]);
      done = high;
    }
    // rest: what may follow when `done` have come.
    for (let i = done; i > 0; i--) {
      const alternatives: Rule = [[...(i === 1 ? first : next), { rule: rest }]];
      if (i - 1 >= low) alternatives.unshift([]);
      rest = this.add(alternatives);
    }
    return { rule: rest };
  }

  times(element: Element, low: number, high: number | null): Element {
    return this.repeat([element], [element], low, high);
  }

  /** One of many texts, as a tree, so that a match is in one place at a time. */
  words(texts: readonly string[]): Element {
    const sorted = [...new Set(texts)].map((text) => Array.from(text)).sort(compare);
    const build = (from: number, to: number, at: number): Element[] => {
      // What all of them have in common comes first.
      let end = at;
      const [first, last] = [sorted[from], sorted[to - 1]];
      while (end < first.length && first[end] === last[end]) end++;
      const head = first.slice(at, end).map(one);
      if (to - from === 1) return head;
      const alternatives: Rule = [];
      let start = from;
      if (first.length === end) {
        alternatives.push([]);
        start++;
      }
      while (start < to) {
        let stop = start + 1;
        while (stop < to && sorted[stop][end] === sorted[start][end]) stop++;
        alternatives.push(build(start, stop, end));
        start = stop;
      }
      return [...head, { rule: this.add(alternatives) }];
    };
    return sorted.length === 0 ? this.choice() : this.choice(build(0, sorted.length, 0));
  }

  // ── whole numbers ──────────────────────────────────────────────────────────────────────────────

  /** `count` digits. */
  private digits(count: number): Element[] {
    return Array.from({ length: count }, () => DIGIT);
  }

  /** Any number of digits. */
  anyDigits(): Element {
    return this.once('digits', (own) => [[], [DIGIT, { rule: own }]]);
  }

  /** As many digits as `bound` has, not less (`side` 1) or not more (−1) than it. */
  private beside(bound: string, side: 1 | -1): Element[] {
    const free = side === 1 ? '0' : '9';
    if ([...bound].every((digit) => digit === free)) return this.digits(bound.length);
    const digit = Number(bound[0]);
    const element = this.once(`beside ${side} ${bound}`, () => {
      const alternatives: Rule = [[one(bound[0]), ...this.beside(bound.slice(1), side)]];
      const [low, high] = side === 1 ? [digit + 1, 9] : [0, digit - 1];
      if (low <= high) alternatives.push([digitsFrom(low, high), ...this.digits(bound.length - 1)]);
      return alternatives;
    });
    return [element];
  }

  /** From `low` to `high`, which have as many digits. */
  private between(low: string, high: string): Element[] {
    let same = 0;
    while (same < low.length && low[same] === high[same]) same++;
    const head = literal(low.slice(0, same));
    if (same === low.length) return head;
    const [first, last] = [Number(low[same]), Number(high[same])];
    const rest = low.length - same - 1;
    const alternatives: Rule = [
      [one(low[same]), ...this.beside(low.slice(same + 1), 1)],
      [one(high[same]), ...this.beside(high.slice(same + 1), -1)],
    ];
    if (last - first > 1)
      alternatives.push([digitsFrom(first + 1, last - 1), ...this.digits(rest)]);
    return [...head, this.choice(...alternatives)];
  }

  /** Whole numbers without a sign, from `low` (≥ 0) to `high`; null for no end. */
  private magnitudes(low: bigint, high: bigint | null): Element {
    const from = String(low);
    const alternatives: Rule = [];
    const last = high === null ? from.length : String(high).length;
    for (let length = from.length; length <= last; length++) {
      const least = length === from.length ? from : `1${'0'.repeat(length - 1)}`;
      const most = high !== null && length === last ? String(high) : '9'.repeat(length);
      alternatives.push(this.between(least, most));
    }
    if (high === null)
      alternatives.push([digitsFrom(1, 9), ...this.digits(last), this.anyDigits()]);
    return this.choice(...alternatives);
  }

  /** Whole numbers between bounds; null for none. */
  integers(low: bigint | null, high: bigint | null): Element {
    if (low !== null && high !== null && low > high) return this.choice();
    const alternatives: Rule = [];
    if (high === null || high >= 0n)
      alternatives.push([this.magnitudes(low === null || low < 0n ? 0n : low, high)]);
    if (low === null || low < 0n) {
      const least = high === null || high >= 0n ? 1n : -high;
      alternatives.push([one('-'), this.magnitudes(least, low === null ? null : -low)]);
    }
    return this.choice(...alternatives);
  }
}

function compare(a: readonly string[], b: readonly string[]): number {
  for (let i = 0; i < Math.min(a.length, b.length); i++)
    if (a[i] !== b[i]) return a[i] < b[i] ? -1 : 1;
  return a.length - b.length;
}
