/**
 * @file JSON by a schema, as a grammar: the subset of JSON Schema (draft 2020-12) that a
 * context-free grammar can hold a model to. It has what Zod 4 writes for its types.
 *
 * Objects have the properties that are named, in their order, those not required optional, and
 * others after them where the schema is open; arrays, tuples, strings by length, pattern or format,
 * numbers by bounds, enums, constants, alternatives and references, also to themselves. Of `oneOf`
 * one alternative is written; that no other holds too is the schema's to say. No white space but
 * one space after a colon or a comma, if the model likes. A keyword that would be ignored is
 * refused: output that looks checked and is not helps nobody.
 */
import { UserError } from '../base/errors.js';
import type { Element, Rule } from './grammar.js';
import { DIGIT, literal, one, oneOf, RuleBuilder, refuse } from './rules.js';
import { merged, typeOf } from './schema-merge.js';
import { formatRule, isOfFormat, jsonCharacter, PLAIN, patternRule } from './string-pattern.js';

type Json = Record<string, unknown>;

/** Keywords that say nothing about which values are valid. */
const ANNOTATIONS = new Set([
  'title',
  'description',
  'default',
  'examples',
  '$schema',
  '$id',
  'id',
  '$comment',
  '$defs',
  'definitions',
  'deprecated',
  'readOnly',
  'writeOnly',
  'contentEncoding',
  'contentMediaType',
]);
const TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const;
type TypeName = (typeof TYPES)[number];

const NUMBERS: readonly TypeName[] = ['number', 'integer'];
/** The types that each keyword belongs to; one beside other types is refused. */
const OF_TYPE: Record<string, readonly TypeName[]> = {
  properties: ['object'],
  required: ['object'],
  additionalProperties: ['object'],
  propertyNames: ['object'],
  minProperties: ['object'],
  maxProperties: ['object'],
  items: ['array'],
  prefixItems: ['array'],
  minItems: ['array'],
  maxItems: ['array'],
  minLength: ['string'],
  maxLength: ['string'],
  pattern: ['string'],
  format: ['string', ...NUMBERS],
  minimum: NUMBERS,
  maximum: NUMBERS,
  exclusiveMinimum: NUMBERS,
  exclusiveMaximum: NUMBERS,
  multipleOf: NUMBERS,
};

/** Bounds on counts are written out, rule after rule. */
const MOST_REPEATS = 4096;
const DEEPEST = 50;
/** Formats of numbers (OpenAPI), which bound what `type` says no further than bounds do. */
const NUMBER_FORMATS = ['int32', 'int64', 'float', 'double'];

/** @throws UserError (usage) that names the keyword and where it stands */
export function grammarOfSchema(schema: unknown): Rule[] {
  return new Compiler(schema).rules;
}

/** Any JSON object. */
export function grammarOfObject(): Rule[] {
  return new Compiler({ type: 'object' }).rules;
}

const isJson = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

class Compiler {
  private readonly build = new RuleBuilder();
  private depth = 0;

  constructor(private readonly root: unknown) {
    const whole = this.build.add([]);
    this.build.set(whole, [[this.compile(root, '')]]);
  }

  get rules(): Rule[] {
    return this.build.rules;
  }

  private compile(schema: unknown, path: string): Element {
    if (schema === true) return this.anyValue();
    if (schema === false) return this.build.choice();
    if (this.depth > DEEPEST) refuse('', `nested more than ${DEEPEST} deep`);
    if (!isJson(schema)) refuse(path, 'must be an object');
    this.depth++;
    try {
      return this.compileWithin(schema, path);
    } finally {
      this.depth--;
    }
  }

  private compileWithin(s: Json, path: string): Element {
    const keywords = Object.keys(s).filter((key) => !ANNOTATIONS.has(key));
    if ('$ref' in s) {
      const other = keywords.find((key) => key !== '$ref');
      if (other !== undefined) refuse(path, `${other} beside $ref is not supported`);
      return this.reference(s.$ref, path);
    }
    for (const key of ['allOf', 'anyOf', 'oneOf'] as const)
      if (key in s) return this.combined(s, key, path);
    if ('enum' in s || 'const' in s) return this.values(s, keywords, path);
    const types = 'type' in s ? (Array.isArray(s.type) ? s.type : [s.type]) : null;
    if (types === null && keywords.length === 0) return this.anyValue();
    if (types === null)
      refuse(path, `${keywords[0]} without type is not supported; say which type it is for`);
    for (const type of types as unknown[]) {
      if (!TYPES.includes(type as TypeName))
        refuse(`${path}/type`, `${JSON.stringify(type)} is none of ${TYPES.join(', ')}`);
    }
    for (const key of keywords) {
      if (key === 'type') continue;
      if (!Object.hasOwn(OF_TYPE, key)) refuse(path, `the keyword ${key} is not supported`);
      if (!OF_TYPE[key].some((type) => (types as unknown[]).includes(type)))
        refuse(path, `${key} is for the type ${OF_TYPE[key].join(' or ')}`);
    }
    return this.build.choice(...(types as TypeName[]).map((type) => [this.ofType(type, s, path)]));
  }

  /** `allOf`: what all say together. `anyOf`, `oneOf`: what the schema says beside each of them. */
  private combined(s: Json, key: 'allOf' | 'anyOf' | 'oneOf', path: string): Element {
    const { [key]: parts, ...rest } = s;
    if (!Array.isArray(parts) || parts.length === 0)
      refuse(`${path}/${key}`, 'must be a list that is not empty');
    const beside = Object.keys(rest).some((name) => !ANNOTATIONS.has(name));
    const list = parts as unknown[];
    const within = (part: unknown, i: number): unknown => {
      const at = `${path}/${key}/${i}`;
      if (part === true || !isJson(part)) return part;
      return '$ref' in part && Object.keys(part).length === 1 ? this.target(part.$ref, at) : part;
    };
    if (key === 'allOf') {
      if (list.length === 1 && !beside) return this.compile(list[0], `${path}/allOf/0`);
      return this.compile(merged([rest, ...list.map(within)], ANNOTATIONS, path), path);
    }
    return this.build.choice(
      ...list.map((part, i) => {
        const at = `${path}/${key}/${i}`;
        const own = beside ? merged([rest, within(part, i)], ANNOTATIONS, at) : part;
        return [this.compile(own, at)];
      }),
    );
  }

  private values(s: Json, keywords: readonly string[], path: string): Element {
    const key = 'enum' in s ? 'enum' : 'const';
    const other = keywords.find((keyword) => keyword !== key && keyword !== 'type');
    if (other !== undefined) refuse(path, `${other} beside ${key} is not supported`);
    const values = key === 'enum' ? s.enum : [s.const];
    if (!Array.isArray(values) || values.length === 0)
      refuse(`${path}/enum`, 'must be a list that is not empty');
    const types = 'type' in s ? [s.type].flat() : null;
    const fitting = (values as unknown[]).filter((value) => {
      if (types === null) return true;
      return types.some(
        (type) => type === typeOf(value) || (type === 'number' && typeOf(value) === 'integer'),
      );
    });
    return this.build.words(fitting.map((value) => JSON.stringify(value)));
  }

  /** What a reference points to. */
  private target(ref: unknown, path: string): unknown {
    if (typeof ref !== 'string' || !(ref === '#' || ref.startsWith('#/')))
      refuse(`${path}/$ref`, 'only references within the schema (#/…) are supported');
    let target: unknown = this.root;
    for (const part of (ref as string).split('/').slice(1)) {
      let key = part;
      try {
        key = decodeURIComponent(part);
      } catch {
        // A percent sign that escapes nothing stands for itself.
      }
      key = key.replaceAll('~1', '/').replaceAll('~0', '~');
      const inside = typeof target === 'object' && target !== null && Object.hasOwn(target, key);
      if (!inside) refuse(`${path}/$ref`, `there is nothing at ${ref}`);
      target = (target as Json)[key];
    }
    return target;
  }

  private reference(ref: unknown, path: string): Element {
    const target = this.target(ref, path);
    return this.build.once(`$ref ${ref}`, () => [[this.compile(target, (ref as string).slice(1))]]);
  }

  private ofType(type: TypeName, s: Json, path: string): Element {
    const { build } = this;
    if (type === 'object') return this.object(s, path);
    if (type === 'array') return this.array(s, path);
    if (type === 'string') return this.string(s, path);
    if (type === 'boolean') return build.once('boolean', () => [literal('true'), literal('false')]);
    if (type === 'null') return build.once('null', () => [literal('null')]);
    return this.number(type, s, path);
  }

  // ── numbers ────────────────────────────────────────────────────────────────────────────────────

  private number(type: 'number' | 'integer', s: Json, path: string): Element {
    const { multipleOf, format } = s;
    if (multipleOf !== undefined && !(multipleOf === 1 && type === 'integer'))
      refuse(`${path}/multipleOf`, 'must be 1, of an integer');
    if (format !== undefined && !NUMBER_FORMATS.includes(format as string) && s.type === type)
      refuse(`${path}/format`, `must be ${NUMBER_FORMATS.join(', ')} for the type ${type}`);
    const bound = (key: string): number | null => {
      const value = s[key];
      if (value === undefined) return null;
      if (typeof value !== 'number' || !Number.isFinite(value))
        refuse(`${path}/${key}`, 'must be a number');
      if (type === 'number' && !Number.isInteger(value))
        refuse(`${path}/${key}`, 'must be a whole number');
      return value as number;
    };
    const [low, high] = [bound('minimum'), bound('maximum')];
    const [above, below] = [bound('exclusiveMinimum'), bound('exclusiveMaximum')];
    if ([low, high, above, below].every((value) => value === null))
      return type === 'integer' ? this.integer() : this.anyNumber();
    // The last whole numbers within both kinds of bounds.
    const least = larger(
      low === null ? null : ceil(low),
      above === null ? null : floor(above) + 1n,
    );
    const most = smaller(
      high === null ? null : floor(high),
      below === null ? null : ceil(below) - 1n,
    );
    const whole = this.build.integers(least, most);
    if (type === 'integer') return whole;
    return this.build.choice([whole, this.zeros()], ...this.fractions(low, high, above, below));
  }

  /** Whole numbers with a fraction after them, within bounds that are whole numbers. */
  private fractions(
    low: number | null,
    high: number | null,
    above: number | null,
    below: number | null,
  ): Element[][] {
    const { build } = this;
    const from = larger(low === null ? null : BigInt(low), above === null ? null : BigInt(above));
    const to = smaller(high === null ? null : BigInt(high), below === null ? null : BigInt(below));
    const some = build.once('fraction', () => [
      [one('.'), build.times(one('0'), 0, null), oneOf([[49, 57]]), build.anyDigits()],
    ]);
    const out: Element[][] = [];
    // Towards zero: n.5 lies between n and n + 1, and −n.5 between −n − 1 and −n.
    if (to === null || to > 0n) {
      const first = from === null || from < 0n ? 0n : from;
      const last = to === null ? null : to - 1n;
      if (last === null || last >= first) out.push([build.integers(first, last), some]);
    }
    if (from === null || from < 0n) {
      const first = to === null || to > 0n ? 0n : -to;
      const last = from === null ? null : -from - 1n;
      if (last === null || last >= first) out.push([one('-'), build.integers(first, last), some]);
    }
    return out;
  }

  /** `.0`, which changes nothing. */
  private zeros(): Element {
    return this.build.once('zeros', () => [[], [one('.'), this.build.times(one('0'), 1, null)]]);
  }

  private integer(): Element {
    return this.build.once('integer', () => {
      const whole = this.build.integers(0n, null);
      return [[whole], [one('-'), whole]];
    });
  }

  private anyNumber(): Element {
    const { build } = this;
    return build.once('number', () => {
      const fraction = build.choice([], [one('.'), DIGIT, build.anyDigits()]);
      const sign = build.choice([], [one('-')], [one('+')]);
      const letter = build.choice([one('e')], [one('E')]);
      const exponent = build.choice([], [letter, sign, DIGIT, build.anyDigits()]);
      return [[this.integer(), fraction, exponent]];
    });
  }

  // ── strings ────────────────────────────────────────────────────────────────────────────────────

  private character(): Element {
    const { build } = this;
    const hex = oneOf([[48, 57], [65, 70], [97, 102]]); // biome-ignore format: pairs
    return build.once('character', () => [
      [oneOf(PLAIN)],
      [one('\\'), build.choice(...[...'"\\/bfnrt'].map((character) => [one(character)]))],
      [one('\\'), one('u'), hex, hex, hex, hex],
    ]);
  }

  private string(s: Json, path: string): Element {
    const { build } = this;
    const { pattern, format, minLength, maxLength } = s;
    const quoted = (inside: Element): Element => build.choice([one('"'), inside, one('"')]);
    const beside = ['minLength', 'maxLength'].find((key) => s[key] !== undefined);
    const form = pattern === undefined ? format : pattern;
    if (form === undefined && beside === undefined)
      return build.once('string', () => [
        [one('"'), build.times(this.character(), 0, null), one('"')],
      ]);
    if (form === undefined) {
      const low = count(minLength, 0, `${path}/minLength`);
      const high = limit(maxLength, `${path}/maxLength`);
      return build.once(`string ${low} ${high}`, () => [
        [one('"'), build.times(this.character(), low, high), one('"')],
      ]);
    }
    if (beside !== undefined)
      refuse(
        path,
        `${beside} beside ${pattern === undefined ? 'format' : 'pattern'} is not supported`,
      );
    if (pattern === undefined) return quoted(formatRule(build, format, `${path}/format`));
    if (typeof pattern !== 'string') refuse(`${path}/pattern`, 'must be a text');
    try {
      return quoted(patternRule(build, pattern as string, `${path}/pattern`));
    } catch (error) {
      // Zod writes a pattern beside each format; where that looks around, the format says the same.
      if (!(error instanceof UserError) || format === undefined || !isOfFormat(pattern))
        throw error;
      return quoted(formatRule(build, format, `${path}/format`));
    }
  }

  // ── arrays ─────────────────────────────────────────────────────────────────────────────────────

  private gap(): Element {
    return this.build.once('gap', () => [[], [one(' ')]]);
  }

  private array(s: Json, path: string): Element {
    const { build } = this;
    const first = s.prefixItems ?? [];
    if (!Array.isArray(first)) refuse(`${path}/prefixItems`, 'must be a list');
    const prefix = (first as unknown[]).map((part, i) =>
      this.compile(part, `${path}/prefixItems/${i}`),
    );
    const low = count(s.minItems, 0, `${path}/minItems`);
    const high = limit(s.maxItems, `${path}/maxItems`);
    const comma = [one(','), this.gap()];
    // A tuple is written whole, and no longer than it says.
    const closed = s.items === false || (prefix.length > 0 && s.items === undefined);
    const shown = high === null ? prefix : prefix.slice(0, high);
    const items = shown.flatMap((item, i) => (i === 0 ? [item] : [...comma, item]));
    const most = closed ? 0 : high === null ? null : high - shown.length;
    const least = Math.max(0, low - shown.length);
    if (most === 0 && least === 0) return build.choice([one('['), ...items, one(']')]);
    const item =
      s.items === undefined || s.items === false
        ? this.anyValue()
        : this.compile(s.items, `${path}/items`);
    const start = shown.length === 0 ? [item] : [...comma, item];
    const rest = build.repeat(start, [...comma, item], least, most);
    return build.choice([one('['), ...items, rest, one(']')]);
  }

  // ── objects ────────────────────────────────────────────────────────────────────────────────────

  private object(s: Json, path: string): Element {
    const { properties, required, open, keys } = this.members(s, path);
    const { build } = this;
    const names = Object.keys(properties);
    const comma = [one(','), this.gap()];
    const member = (key: Element, value: Element): Element[] => [key, one(':'), this.gap(), value];
    const least = count(s.minProperties, 0, `${path}/minProperties`);
    const most = limit(s.maxProperties, `${path}/maxProperties`);
    const counted = s.minProperties !== undefined || s.maxProperties !== undefined;
    if (counted && names.length > 0)
      refuse(path, 'minProperties and maxProperties beside named properties are not supported');
    // after[0]: nothing has been written yet; after[1]: a comma is due.
    let after: Element[];
    if (open === null) after = [build.choice([]), build.choice([])];
    else {
      const other = member(keys ?? this.otherKey(names), open);
      const [low, high] = counted ? [least, most] : [0, null];
      const further = [...comma, ...other];
      after = [
        build.repeat(other, further, low, high),
        build.repeat(further, further, Math.max(0, low - 1), high),
      ];
    }
    for (const name of names.toReversed()) {
      const value = this.compile(properties[name], `${path}/properties/${name}`);
      const pair = build.choice([
        ...literal(JSON.stringify(name)),
        one(':'),
        this.gap(),
        value,
        after[1],
      ]);
      after = [[], comma].map((before, i) => {
        const rule: Rule = [[...before, pair]];
        if (!required.has(name)) rule.push([after[i]]);
        return build.choice(...rule);
      });
    }
    return build.choice([one('{'), after[0], one('}')]);
  }

  /** The members of an object: those named, and what others may be; null for no others. */
  private members(
    s: Json,
    path: string,
  ): {
    properties: Json;
    required: ReadonlySet<string>;
    open: Element | null;
    keys: Element | null;
  } {
    const { required = [], additionalProperties: more, propertyNames } = s;
    let properties = s.properties ?? {};
    if (!isJson(properties)) refuse(`${path}/properties`, 'must be an object');
    if (!Array.isArray(required) || required.some((name) => typeof name !== 'string'))
      refuse(`${path}/required`, 'must be a list of names');
    let isOpen = more === undefined ? !('properties' in s) : more !== false;
    let keys: Element | null = null;
    if (isJson(propertyNames) && Array.isArray(propertyNames.enum)) {
      // A record of listed keys has them as its properties.
      const listed = propertyNames.enum.filter((name) => typeof name === 'string');
      properties = {
        ...Object.fromEntries(listed.map((name) => [name, more ?? {}])),
        ...properties,
      };
      isOpen = false;
    } else if (propertyNames !== undefined && propertyNames !== true) {
      const rest = isJson(propertyNames)
        ? propertyNames
        : refuse(`${path}/propertyNames`, 'must be an object');
      const plain = Object.keys(rest).every((key) => key === 'type' || ANNOTATIONS.has(key));
      if (!plain && Object.keys(properties as Json).length > 0)
        refuse(`${path}/propertyNames`, 'beside properties is not supported');
      if (!plain) keys = this.compile({ type: 'string', ...rest }, `${path}/propertyNames`);
    }
    const names = Object.keys(properties as Json);
    for (const name of (required as string[]).filter((one) => !names.includes(one))) {
      if (!isOpen)
        refuse(`${path}/required`, `${JSON.stringify(name)} is not among the properties`);
      properties = { ...(properties as Json), [name]: more ?? {} };
    }
    const open = !isOpen
      ? null
      : more === undefined
        ? this.anyValue()
        : this.compile(more, `${path}/additionalProperties`);
    return { properties: properties as Json, required: new Set(required as string[]), open, keys };
  }

  /** A key that is none of `names`. */
  private otherKey(names: readonly string[]): Element {
    const { build } = this;
    if (names.length === 0) return this.string({}, '');
    const plain = jsonCharacter(build, [[0x20, 0x21], [0x23, 0x5b], [0x5d, 0xd7ff]]); // biome-ignore format: pairs
    const rest = build.times(plain, 0, null);
    const node = (within: readonly string[][], at: number): Element => {
      const next = new Map<string, string[][]>();
      for (const name of within)
        if (name.length > at) next.set(name[at], [...(next.get(name[at]) ?? []), name]);
      const others = [...next.keys()].map((c) => c.codePointAt(0) as number).sort((a, b) => a - b);
      const ranges: [number, number][] = [];
      let from = 0;
      for (const point of [...others, 0x110000]) {
        if (point > from) ranges.push([from, point - 1]);
        from = point + 1;
      }
      const free = ranges.flatMap(([low, high]) =>
        PLAIN.filter(([a, b]) => a <= high && b >= low).map(([a, b]): [number, number] => [
          Math.max(a, low),
          Math.min(b, high),
        ]),
      );
      return build.choice(
        ...(within.some((name) => name.length === at) ? [] : [[]]),
        [oneOf(free), rest],
        ...[...next].map(([character, inside]) => [one(character), node(inside, at + 1)]),
      );
    };
    const writable = names.filter((name) => JSON.stringify(name) === `"${name}"`);
    return build.choice([
      one('"'),
      node(
        writable.map((name) => Array.from(name)),
        0,
      ),
      one('"'),
    ]);
  }

  private anyValue(): Element {
    return this.build.once('any', () => [
      ...(['string', 'number', 'boolean', 'null'] as const).map((type) => [
        this.ofType(type, {}, ''),
      ]),
      [this.anyObject()],
      [this.array({}, '')],
    ]);
  }

  private anyObject(): Element {
    return this.build.once('any object', () => [[this.object({}, '')]]);
  }
}

const ceil = (value: number): bigint => BigInt(Math.ceil(value));
const floor = (value: number): bigint => BigInt(Math.floor(value));
const larger = (a: bigint | null, b: bigint | null): bigint | null =>
  a === null ? b : b === null || a > b ? a : b;
const smaller = (a: bigint | null, b: bigint | null): bigint | null =>
  a === null ? b : b === null || a < b ? a : b;

function count(value: unknown, otherwise: number, path: string): number {
  if (value === undefined) return otherwise;
  if (!Number.isInteger(value) || (value as number) < 0)
    refuse(path, 'must be a whole number of at least 0');
  if ((value as number) > MOST_REPEATS) refuse(path, `must be at most ${MOST_REPEATS}`);
  return value as number;
}

const limit = (value: unknown, path: string): number | null =>
  value === undefined ? null : count(value, 0, path);
