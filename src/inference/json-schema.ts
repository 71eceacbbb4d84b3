/**
 * @file JSON by a schema, as a grammar: the subset of JSON Schema (draft 2020-12) that a
 * context-free grammar can hold a model to.
 *
 * Objects have the properties that are named, in their order, those not required optional, and no
 * others; arrays, strings, numbers, enums, constants, alternatives and references, also to
 * themselves. No white space but one space after a colon or a comma, if the model likes. A keyword
 * that would be ignored is refused: output that looks checked and is not helps nobody.
 */
import { UserError } from '../base/errors.js';
import type { Element, Rule } from './grammar.js';

type Json = Record<string, unknown>;

/** Keywords that say nothing about which values are valid. */
const ANNOTATIONS = new Set([
  'title',
  'description',
  'default',
  'examples',
  '$schema',
  '$id',
  '$comment',
  'deprecated',
  'readOnly',
]);
const TYPES = ['object', 'array', 'string', 'number', 'integer', 'boolean', 'null'] as const;
type TypeName = (typeof TYPES)[number];

/** What each keyword belongs to; one beside another type is refused. */
const OF_TYPE: Record<string, TypeName> = {
  properties: 'object',
  required: 'object',
  additionalProperties: 'object',
  items: 'array',
  minItems: 'array',
  maxItems: 'array',
  minLength: 'string',
  maxLength: 'string',
};

/** Bounds on counts are written out, rule after rule. */
const MOST_REPEATS = 256;
const MOST_RULES = 5000;
const DEEPEST = 50;

const one = (character: string): Element => {
  const point = character.codePointAt(0) as number;
  return { ranges: [[point, point]] };
};
const literal = (text: string): Element[] => Array.from(text, one);
const DIGIT: Element = { ranges: [[48, 57]] };
const HEX: Element = { ranges: [[48, 57], [65, 70], [97, 102]] }; // biome-ignore format: pairs
/** All but quote, backslash, control characters and halves of characters. */
// biome-ignore format: pairs
const UNESCAPED: Element = { ranges: [[0x20, 0x21], [0x23, 0x5b], [0x5d, 0xd7ff], [0xe000, 0x10ffff]] };

/** @throws UserError (usage) that names the keyword and where it stands */
export function grammarOfSchema(schema: unknown): Rule[] {
  return new Compiler(schema).rules;
}

/** Any JSON object. */
export function grammarOfObject(): Rule[] {
  return new Compiler({ type: 'object' }).rules;
}

class Compiler {
  readonly rules: Rule[] = [];
  private readonly named = new Map<string, number>();
  private depth = 0;

  constructor(private readonly root: unknown) {
    this.add([]);
    this.rules[0] = [[{ rule: this.compile(root, '') }]];
  }

  private add(rule: Rule): number {
    if (this.rules.length >= MOST_RULES)
      refuse('', `the schema is too large: more than ${MOST_RULES} rules`);
    return this.rules.push(rule) - 1;
  }

  /** A rule that is made once. */
  private once(name: string, make: (own: number) => Rule): number {
    const known = this.named.get(name);
    if (known !== undefined) return known;
    const own = this.add([]);
    this.named.set(name, own);
    this.rules[own] = make(own);
    return own;
  }

  private compile(schema: unknown, path: string): number {
    if (schema === true) return this.anyValue();
    if (this.depth > DEEPEST) refuse('', `nested more than ${DEEPEST} deep`);
    this.depth++;
    try {
      return this.compileWithin(schema, path);
    } finally {
      this.depth--;
    }
  }

  private compileWithin(schema: unknown, path: string): number {
    if (typeof schema !== 'object' || schema === null || Array.isArray(schema))
      refuse(path, 'must be an object');
    const s = schema as Json;
    const keywords = Object.keys(s).filter(
      (key) => !ANNOTATIONS.has(key) && key !== '$defs' && key !== 'definitions',
    );
    const alone = (key: string): void => {
      const other = keywords.find((keyword) => keyword !== key && keyword !== 'type');
      if (other !== undefined) refuse(path, `${other} beside ${key} is not supported`);
    };
    if ('$ref' in s) {
      alone('$ref');
      return this.reference(s.$ref, path);
    }
    if ('anyOf' in s) {
      alone('anyOf');
      if (!Array.isArray(s.anyOf) || s.anyOf.length === 0)
        refuse(`${path}/anyOf`, 'must be a list that is not empty');
      return this.add(
        (s.anyOf as unknown[]).map((part, i) => [
          { rule: this.compile(part, `${path}/anyOf/${i}`) },
        ]),
      );
    }
    if ('enum' in s || 'const' in s) {
      const key = 'enum' in s ? 'enum' : 'const';
      alone(key);
      const values = key === 'enum' ? s.enum : [s.const];
      if (!Array.isArray(values) || values.length === 0)
        refuse(`${path}/enum`, 'must be a list that is not empty');
      return this.add((values as unknown[]).map((value) => literal(JSON.stringify(value))));
    }
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
      if (!(key in OF_TYPE)) refuse(path, `the keyword ${key} is not supported`);
      if (!(types as unknown[]).includes(OF_TYPE[key]))
        refuse(path, `${key} is for the type ${OF_TYPE[key]}`);
    }
    return this.add((types as TypeName[]).map((type) => [{ rule: this.ofType(type, s, path) }]));
  }

  private reference(ref: unknown, path: string): number {
    if (typeof ref !== 'string' || !(ref === '#' || ref.startsWith('#/'))) {
      refuse(`${path}/$ref`, 'only references within the schema (#/…) are supported');
    }
    return this.once(`$ref ${ref}`, () => {
      let target: unknown = this.root;
      for (const part of (ref as string).split('/').slice(1)) {
        const key = decodeURIComponent(part).replaceAll('~1', '/').replaceAll('~0', '~');
        const inside = typeof target === 'object' && target !== null && Object.hasOwn(target, key);
        if (!inside) refuse(`${path}/$ref`, `there is nothing at ${ref}`);
        target = (target as Json)[key];
      }
      return [[{ rule: this.compile(target, (ref as string).slice(1)) }]];
    });
  }

  private ofType(type: TypeName, s: Json, path: string): number {
    if (type === 'object') return this.object(s, path);
    if (type === 'array') return this.array(s, path);
    if (type === 'string') return this.string(s, path);
    if (type === 'boolean') return this.once('boolean', () => [literal('true'), literal('false')]);
    if (type === 'null') return this.once('null', () => [literal('null')]);
    return type === 'integer' ? this.integer() : this.number();
  }

  private digits(): number {
    return this.once('digits', (own) => [[], [DIGIT, { rule: own }]]);
  }

  private integer(): number {
    return this.once('integer', () => {
      const whole = this.add([[one('0')], [{ ranges: [[49, 57]] }, { rule: this.digits() }]]);
      return [[{ rule: whole }], [one('-'), { rule: whole }]];
    });
  }

  private number(): number {
    return this.once('number', () => {
      const fraction = this.add([[], [one('.'), DIGIT, { rule: this.digits() }]]);
      const sign = this.add([[], [one('-')], [one('+')]]);
      const letter = this.add([[one('e')], [one('E')]]);
      const exponent = this.add([
        [],
        [{ rule: letter }, { rule: sign }, DIGIT, { rule: this.digits() }],
      ]);
      return [[{ rule: this.integer() }, { rule: fraction }, { rule: exponent }]];
    });
  }

  private character(): number {
    return this.once('character', () => {
      const simple = this.add([...'"\\/bfnrt'].map((character) => [one(character)]));
      return [
        [UNESCAPED],
        [one('\\'), { rule: simple }],
        [one('\\'), one('u'), HEX, HEX, HEX, HEX],
      ];
    });
  }

  private string(s: Json, path: string): number {
    const character: Element = { rule: this.character() };
    if (s.minLength === undefined && s.maxLength === undefined) {
      return this.once('string', () => {
        const rest = this.once('characters', (own) => [[], [character, { rule: own }]]);
        return [[one('"'), { rule: rest }, one('"')]];
      });
    }
    const repeated = this.repeat(
      [character],
      [character],
      count(s.minLength, 0, `${path}/minLength`),
      limit(s.maxLength, `${path}/maxLength`),
    );
    return this.add([[one('"'), { rule: repeated }, one('"')]]);
  }

  /** From `low` to `high` times: the first one `first`, those after it `next`. */
  private repeat(first: Element[], next: Element[], low: number, high: number | null): number {
    let rest: number;
    let done: number;
    if (high === null) {
      rest = this.add([]);
      this.rules[rest] = [[], [...next, { rule: rest }]];
      done = Math.max(low, 1);
    } else {
      if (high < low) return this.add([]);
      rest = this.add([[]]);
      done = high;
    }
    // rest: what may follow when `done` have come.
    for (let i = done; i > 0; i--) {
      const alternatives: Rule = [[...(i === 1 ? first : next), { rule: rest }]];
      if (i - 1 >= low) alternatives.unshift([]);
      rest = this.add(alternatives);
    }
    return rest;
  }

  private gap(): Element {
    return { rule: this.once('gap', () => [[], [one(' ')]]) };
  }

  private array(s: Json, path: string): number {
    const item: Element = {
      rule: s.items === undefined ? this.anyValue() : this.compile(s.items, `${path}/items`),
    };
    const low = count(s.minItems, 0, `${path}/minItems`);
    const items = this.repeat(
      [item],
      [one(','), this.gap(), item],
      low,
      limit(s.maxItems, `${path}/maxItems`),
    );
    return this.add([[one('['), { rule: items }, one(']')]]);
  }

  private object(s: Json, path: string): number {
    const { properties = {}, required = [], additionalProperties } = s;
    if (typeof properties !== 'object' || properties === null || Array.isArray(properties)) {
      refuse(`${path}/properties`, 'must be an object');
    }
    if (!Array.isArray(required) || required.some((name) => typeof name !== 'string')) {
      refuse(`${path}/required`, 'must be a list of names');
    }
    const names = Object.keys(properties as Json);
    const missing = (required as string[]).find((name) => !names.includes(name));
    if (missing !== undefined)
      refuse(`${path}/required`, `${JSON.stringify(missing)} is not among the properties`);
    const open =
      additionalProperties === true || (additionalProperties === undefined && !('properties' in s));
    if (open && names.length === 0) return this.anyObject();
    if (additionalProperties !== undefined && additionalProperties !== false) {
      refuse(`${path}/additionalProperties`, 'must be false where there are properties');
    }
    // after[0]: nothing has been written yet; after[1]: a comma is due.
    let after = [this.add([[]]), this.add([[]])];
    for (const name of names.toReversed()) {
      const value: Element = {
        rule: this.compile((properties as Json)[name], `${path}/properties/${name}`),
      };
      const pair: Element[] = [
        ...literal(JSON.stringify(name)),
        one(':'),
        this.gap(),
        value,
        { rule: after[1] },
      ];
      after = [[], [one(','), this.gap()]].map((comma, i) => {
        const rule: Rule = [[...comma, ...pair]];
        if (!(required as string[]).includes(name)) rule.push([{ rule: after[i] }]);
        return this.add(rule);
      });
    }
    return this.add([[one('{'), { rule: after[0] }, one('}')]]);
  }

  private anyObject(): number {
    return this.once('any object', () => {
      const pair: Element[] = [
        { rule: this.string({}, '') },
        one(':'),
        this.gap(),
        { rule: this.anyValue() },
      ];
      const pairs = this.repeat(pair, [one(','), this.gap(), ...pair], 0, null);
      return [[one('{'), { rule: pairs }, one('}')]];
    });
  }

  private anyValue(): number {
    return this.once('any', () =>
      (['string', 'number', 'boolean', 'null'] as const)
        .map((type) => this.ofType(type, {}, ''))
        .concat(this.anyObject(), this.array({}, ''))
        .map((rule) => [{ rule }]),
    );
  }
}

function count(value: unknown, otherwise: number, path: string): number {
  if (value === undefined) return otherwise;
  if (!Number.isInteger(value) || (value as number) < 0)
    refuse(path, 'must be a whole number of at least 0');
  if ((value as number) > MOST_REPEATS) refuse(path, `must be at most ${MOST_REPEATS}`);
  return value as number;
}

const limit = (value: unknown, path: string): number | null =>
  value === undefined ? null : count(value, 0, path);

function refuse(path: string, problem: string): never {
  throw new UserError(
    'usage',
    `JSON schema${path === '' ? '' : ` at ${path}`}: ${problem}`,
    'response_format',
  );
}
