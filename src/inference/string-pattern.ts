/**
 * @file Regular expressions and formats of JSON Schema, as rules for what stands between the quotes
 * of a JSON string.
 *
 * The regular subset of ECMAScript's expressions: characters, classes, groups, alternatives,
 * quantifiers, and anchors at the ends. Lookaround, back references, word boundaries and Unicode
 * properties are refused by name. A character that JSON must escape is written escaped.
 */
import { z } from 'zod';
import type { Element, Rule } from './grammar.js';
import { one, oneOf, type RuleBuilder, refuse } from './rules.js';

type Range = readonly [number, number];

const LAST_POINT = 0x10ffff;
const DIGITS: Range[] = [[48, 57]];
const WORD: Range[] = [[48, 57], [65, 90], [95, 95], [97, 122]]; // biome-ignore format: pairs
// biome-ignore format: pairs
const SPACE: Range[] = [[9, 13], [32, 32], [0xa0, 0xa0], [0x1680, 0x1680], [0x2000, 0x200a],
  [0x2028, 0x2029], [0x202f, 0x202f], [0x205f, 0x205f], [0x3000, 0x3000], [0xfeff, 0xfeff]];
const LINE_ENDS: Range[] = [
  [10, 10],
  [13, 13],
  [0x2028, 0x2029],
];
/** All but quote, backslash, control characters and halves of characters. */
// biome-ignore format: pairs
export const PLAIN: Range[] = [[0x20, 0x21], [0x23, 0x5b], [0x5d, 0xd7ff], [0xe000, LAST_POINT]];
/** What JSON escapes by a letter. */
const ESCAPED: readonly (readonly [number, string])[] = [
  [0x22, '"'],
  [0x5c, '\\'],
  [0x08, 'b'],
  [0x0c, 'f'],
  [0x0a, 'n'],
  [0x0d, 'r'],
  [0x09, 't'],
];

/** Formats, each as an expression that is at least as strict as the format. */
const FORMATS: Record<string, string> = {
  date: '(\\d{4}-(0[13578]|1[02])-(0[1-9]|[12]\\d|3[01])|\\d{4}-(0[469]|11)-(0[1-9]|[12]\\d|30)|\\d{4}-02-(0[1-9]|1\\d|2[0-8]))',
  time: '([01]\\d|2[0-3]):[0-5]\\d:[0-5]\\d(\\.\\d{1,9})?',
  'date-time': '{date}T{time}Z',
  duration: 'P(\\d{1,6}W|\\d{1,6}D|(\\d{1,6}D)?T\\d{1,6}[HMS]|\\d{1,4}Y(\\d{1,2}M)?)',
  email: '[A-Za-z0-9_+-]+(\\.[A-Za-z0-9_+-]+)*@([A-Za-z0-9][A-Za-z0-9-]*\\.)+[A-Za-z]{2,}',
  uri: 'https?://{host}(:\\d{1,4})?(/[A-Za-z0-9_.~-]*)*(\\?[A-Za-z0-9_.~=&-]*)?(#[A-Za-z0-9_.~-]*)?',
  hostname: '{host}',
  host: '[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*',
  ipv4: '{octet}(\\.{octet}){3}',
  octet: '(25[0-5]|2[0-4]\\d|1\\d\\d|[1-9]?\\d)',
  ipv6: '([0-9a-fA-F]{1,4}:){7}[0-9a-fA-F]{1,4}',
  uuid: '[0-9a-f]{8}-[0-9a-f]{4}-[1-8][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}',
  cuid: '[cC][0-9a-z]{8,}',
  cuid2: '[0-9a-z]+',
  ulid: '[0-7][0-9A-HJKMNP-TV-Z]{25}',
  xid: '[0-9a-v]{20}',
  ksuid: '[A-Za-z0-9]{27}',
  nanoid: '[a-zA-Z0-9_-]{21}',
  base64: '([0-9a-zA-Z+/]{4})*([0-9a-zA-Z+/]{2}==|[0-9a-zA-Z+/]{3}=)?',
  base64url: '[A-Za-z0-9_-]*',
  e164: '\\+[1-9]\\d{6,14}',
  jwt: '[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+\\.[A-Za-z0-9_-]+',
  cidrv4: '{ipv4}/(3[0-2]|[12]?\\d)',
  cidrv6: '{ipv6}/(12[0-8]|1[01]\\d|[1-9]?\\d)',
};
const ALIASES: Record<string, string> = { url: 'uri', guid: 'uuid', iri: 'uri' };
/** Parts of other formats, and none by themselves. */
const PARTS = ['host', 'octet'];

const formatSource = (name: string): string =>
  FORMATS[name].replace(/\{([a-z][a-z0-9-]*)\}/g, (_, part) => `(${formatSource(part)})`);

/** What stands in a string of this format. @throws UserError (usage) for a format unknown here */
export function formatRule(builder: RuleBuilder, format: unknown, path: string): Element {
  const name = ALIASES[String(format)] ?? String(format);
  if (!Object.hasOwn(FORMATS, name) || PARTS.includes(name)) {
    const known = Object.keys(FORMATS).filter((one) => !PARTS.includes(one));
    refuse(path, `the format ${JSON.stringify(format)} is not supported; ${known.join(', ')} are`);
  }
  return builder.once(`format ${name}`, () => [
    [patternRule(builder, `^(${formatSource(name)})$`, path)],
  ]);
}

const zodPatterns = new Set(
  Object.values(z.regexes).map((regex) => (regex instanceof RegExp ? regex.source : null)),
);

/** Whether an expression is one that Zod writes beside a format, and says the same. */
export const isOfFormat = (pattern: unknown): boolean =>
  zodPatterns.has(String(pattern)) || /^\^\(?\??:?\(?\(?\??:?\\d\\d\[2468\]/.test(String(pattern));

/** What stands in a string by an expression. @throws UserError (usage) for what is not regular */
export function patternRule(builder: RuleBuilder, source: string, path: string): Element {
  return builder.choice(new PatternReader(builder, source, path).read());
}

/** Ranges in order, without overlaps. */
function merge(ranges: readonly Range[]): Range[] {
  const out: [number, number][] = [];
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = out.at(-1);
    if (last !== undefined && low <= last[1] + 1) last[1] = Math.max(last[1], high);
    else out.push([low, high]);
  }
  return out;
}

function complement(ranges: readonly Range[]): Range[] {
  const out: Range[] = [];
  let next = 0;
  for (const [low, high] of merge(ranges)) {
    if (low > next) out.push([next, low - 1]);
    next = high + 1;
  }
  if (next <= LAST_POINT) out.push([next, LAST_POINT]);
  return out;
}

const meet = (a: readonly Range[], b: readonly Range[]): Range[] =>
  a.flatMap(([low, high]) =>
    b.flatMap(([from, to]): Range[] =>
      from <= high && to >= low ? [[Math.max(low, from), Math.min(high, to)]] : [],
    ),
  );

/** A character of a set, as it stands in a JSON string. */
export function jsonCharacter(builder: RuleBuilder, ranges: readonly Range[]): Element {
  const plain = meet(merge(ranges), PLAIN);
  const escaped = ESCAPED.filter(([point]) =>
    ranges.some(([low, high]) => low <= point && point <= high),
  );
  if (escaped.length === 0 && plain.length > 0) return oneOf(plain);
  return builder.once(`character ${ranges.join(' ')}`, () => [
    ...(plain.length > 0 ? [[oneOf(plain)]] : []),
    ...escaped.map(([, letter]) => [one('\\'), one(letter)]),
  ]);
}

class PatternReader {
  private at = 0;
  private depth = 0;

  constructor(
    private readonly builder: RuleBuilder,
    private readonly source: string,
    private readonly path: string,
  ) {}

  read(): Element[] {
    const rule = this.alternatives(true);
    if (this.at < this.source.length) this.fail('has a ) too many');
    return [this.builder.choice(...rule)];
  }

  private fail(what: string): never {
    return refuse(this.path, `the pattern ${JSON.stringify(this.source).slice(0, 80)} ${what}`);
  }

  /** Alternatives up to a closing bracket; anchors stand at the ends of whole ones. */
  private alternatives(whole: boolean): Rule {
    const rule: Rule = [];
    do {
      const anchored = whole && this.eat('^');
      const elements = this.sequence();
      const ends = whole && this.eat('$');
      const any = this.builder.times(jsonCharacter(this.builder, [[0, LAST_POINT]]), 0, null);
      rule.push([
        ...(whole && !anchored ? [any] : []),
        ...elements,
        ...(whole && !ends ? [any] : []),
      ]);
    } while (this.eat('|'));
    return rule;
  }

  private eat(text: string): boolean {
    if (!this.source.startsWith(text, this.at)) return false;
    this.at += text.length;
    return true;
  }

  private sequence(): Element[] {
    const elements: Element[] = [];
    while (this.at < this.source.length) {
      const next = this.source[this.at];
      if (next === '|' || next === ')') break;
      if (next === '$') {
        const after = this.source[this.at + 1];
        if (this.depth === 0 && (after === undefined || after === '|')) break;
        this.fail('has an anchor within');
      }
      elements.push(this.quantified(this.atom()));
    }
    return elements;
  }

  private quantified(element: Element): Element {
    const [low, high] = this.quantifier() ?? [1, 1];
    if (low === 1 && high === 1) return element;
    this.eat('?');
    return this.builder.times(element, low, high);
  }

  private quantifier(): [number, number | null] | null {
    if (this.eat('*')) return [0, null];
    if (this.eat('+')) return [1, null];
    if (this.eat('?')) return [0, 1];
    const braces = /^\{(\d+)(,(\d*))?\}/.exec(this.source.slice(this.at, this.at + 40));
    if (braces === null) return null;
    this.at += braces[0].length;
    const low = Number(braces[1]);
    const high = braces[2] === undefined ? low : braces[3] === '' ? null : Number(braces[3]);
    if (Math.max(low, high ?? 0) > 1000) this.fail('repeats more than 1000 times');
    return [low, high];
  }

  private atom(): Element {
    if (this.eat('(')) return this.group();
    if (this.eat('[')) return this.set(this.characterClass());
    if (this.eat('.')) return this.set(complement(LINE_ENDS));
    if (this.eat('\\')) return this.set(this.escape(false));
    const character = String.fromCodePoint(this.source.codePointAt(this.at) as number);
    if ('^*+?'.includes(character)) this.fail(`has a ${character} that stands wrong`);
    this.at += character.length;
    const point = character.codePointAt(0) as number;
    return this.set([[point, point]]);
  }

  private set(ranges: readonly Range[]): Element {
    return jsonCharacter(this.builder, ranges);
  }

  private group(): Element {
    if (this.eat('?')) {
      if (!this.eat(':') && !/^<[A-Za-z_]\w*>/.test(this.source.slice(this.at, this.at + 100)))
        this.fail('looks around, which is not supported');
      if (this.source[this.at] === '<') this.at = this.source.indexOf('>', this.at) + 1;
    }
    if (++this.depth > 50) this.fail('is nested more than 50 deep');
    const rule = this.alternatives(false);
    this.depth--;
    if (!this.eat(')')) this.fail('lacks a )');
    return this.builder.choice(...rule);
  }

  /** What stands after a backslash. */
  private escape(inClass: boolean): Range[] {
    const letter = this.source[this.at++] ?? this.fail('ends in a backslash');
    const classes: Record<string, Range[]> = { d: DIGITS, w: WORD, s: SPACE };
    if (Object.hasOwn(classes, letter)) return classes[letter];
    const lower = letter.toLowerCase();
    if (letter !== lower && Object.hasOwn(classes, lower)) return complement(classes[lower]);
    const controls: Record<string, number> = { n: 10, r: 13, t: 9, f: 12, v: 11, 0: 0 };
    if (Object.hasOwn(controls, letter)) return [[controls[letter], controls[letter]]];
    if (inClass && letter === 'b') return [[8, 8]];
    const hex = /^(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|u\{([0-9a-fA-F]{1,6})\})/.exec(
      this.source.slice(this.at - 1, this.at + 9),
    );
    if (hex !== null) {
      this.at += hex[0].length - 1;
      const point = Number.parseInt(hex[1] ?? hex[2] ?? hex[3], 16);
      return [[point, point]];
    }
    if (/[A-Za-z0-9]/.test(letter)) this.fail(`has \\${letter}, which is not supported`);
    const point = letter.codePointAt(0) as number;
    return [[point, point]];
  }

  private characterClass(): Range[] {
    const negated = this.eat('^');
    const ranges: Range[] = [];
    while (!this.eat(']')) {
      if (this.at >= this.source.length) this.fail('lacks a ]');
      const from = this.classAtom();
      if (this.source[this.at] === '-' && this.source[this.at + 1] !== ']') {
        this.at++;
        const to = this.classAtom();
        const single = (set: readonly Range[]): boolean =>
          set.length === 1 && set[0][0] === set[0][1];
        if (!single(from) || !single(to) || from[0][0] > to[0][0]) this.fail('has a wrong range');
        ranges.push([from[0][0], to[0][0]]);
      } else ranges.push(...from);
    }
    return negated ? complement(ranges) : merge(ranges);
  }

  private classAtom(): Range[] {
    if (this.eat('\\')) return this.escape(true);
    const point = this.source.codePointAt(this.at) ?? this.fail('lacks a ]');
    this.at += point > 0xffff ? 2 : 1;
    return [[point, point]];
  }
}
