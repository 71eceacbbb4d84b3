import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { z } from 'zod';
import { Random } from '../base/random.js';
import { createCharacterTokenizer } from '../tokenizers/character.js';
import { openTokenizer } from '../tokenizers/hugging-face.js';
import { Grammar, GrammarMemory } from './grammar.js';
import { grammarOfObject, grammarOfSchema } from './json-schema.js';
import { vocabularyOf } from './vocabulary.js';

const ASCII = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('');
const tokenizer = createCharacterTokenizer(`${ASCII}äé😀`);
const vocabulary = vocabularyOf(tokenizer);
const accepts = (schema: unknown, text: string): boolean =>
  new Grammar(grammarOfSchema(schema), vocabulary).accepts(text);

const fixture = (name: string): string =>
  readFileSync(new URL(`../../test/fixtures/requests/${name}`, import.meta.url), 'utf8');

/** Schema, texts that it takes, texts that it does not. */
const CASES: [string, unknown, string[], string[]][] = [
  ['integer', { type: 'integer' }, ['0', '-7', '120'], ['', '-', '01', '1.5', '+1', ' 1', '1 ']],
  [
    'number',
    { type: 'number' },
    ['0', '-1.25', '3e8', '1.5E-10'],
    ['1.', '.5', '1e', '0x1', 'NaN'],
  ],
  [
    'string',
    { type: 'string' },
    ['""', '"a"', '"\\n\\u00e9\\""', '"é😀 {"'],
    ['"', 'a', '"a""', '"\\x"', '"\\u12g4"'],
  ],
  [
    'bounded string',
    { type: 'string', minLength: 1, maxLength: 3 },
    ['"a"', '"abc"', '"\\n\\n"'],
    ['""', '"abcd"'],
  ],
  [
    'boolean and null',
    { type: ['boolean', 'null'] },
    ['true', 'false', 'null'],
    ['True', 'nul', '0'],
  ],
  [
    'enum',
    { enum: ['red', 'rot', 3, null] },
    ['"red"', '"rot"', '3', 'null'],
    ['"re"', 'red', '33'],
  ],
  ['const', { const: { a: [1] } }, ['{"a":[1]}'], ['{"a": [1]}', '{}']],
  [
    'array',
    { type: 'array', items: { type: 'integer' } },
    ['[]', '[1]', '[1,2, 3]'],
    ['[1,]', '[,1]', '["a"]', '[1,  2]'],
  ],
  [
    'bounded array',
    { type: 'array', items: { type: 'boolean' }, minItems: 1, maxItems: 2 },
    ['[true]', '[true,false]'],
    ['[]', '[true,true,true]'],
  ],
  [
    'array with a minimum',
    { type: 'array', items: { const: 1 }, minItems: 2 },
    ['[1,1]', '[1,1,1,1]'],
    ['[]', '[1]'],
  ],
  [
    'object',
    {
      type: 'object',
      properties: { a: { type: 'integer' }, b: { type: 'string' }, c: { type: 'null' } },
      required: ['b'],
      additionalProperties: false,
    },
    ['{"b":""}', '{"a":1,"b":""}', '{"a": 1, "b": "x", "c": null}', '{"b":"","c":null}'],
    [
      '{}',
      '{"a":1}',
      '{"b":"","a":1}',
      '{"b":"",}',
      '{"b":"","d":1}',
      '{"b":"","b":""}',
      '{ "b":""}',
    ],
  ],
  ['object without properties', { type: 'object', properties: {} }, ['{}'], ['{"a":1}']],
  ['any object', { type: 'object' }, ['{}', '{"a":[{"b":null}, 1.5]}'], ['[]', '{a:1}', '{"a":}']],
  ['anything', {}, ['1', '"a"', '[[],{}]', 'null'], ['', '[', 'undefined']],
  [
    'anyOf',
    { anyOf: [{ type: 'integer' }, { type: 'array', items: { type: 'null' } }] },
    ['5', '[null]'],
    ['[5]', 'null'],
  ],
  [
    'recursion',
    {
      $ref: '#/$defs/tree',
      $defs: {
        tree: {
          type: 'object',
          properties: {
            value: { type: 'integer' },
            children: { type: 'array', items: { $ref: '#/$defs/tree' } },
          },
          required: ['value', 'children'],
        },
      },
    },
    [
      '{"value":1,"children":[]}',
      '{"value":1,"children":[{"value":2,"children":[{"value":3,"children":[]}]}]}',
    ],
    ['{"value":1,"children":[1]}', '{"value":1,"children":[{"value":2}]}'],
  ],
];

const INTEGER = [-9007199254740991, 9007199254740991] as const;
const [minimum, maximum] = INTEGER;

/** What Zod 4 writes for its types, and other schemas of its kind. */
const ZOD: [string, z.ZodType, string[], string[]][] = [
  [
    'int',
    z.int(),
    ['0', '-7', '9007199254740991', '-9007199254740991'],
    ['9007199254740992', '1.5', '01'],
  ],
  ['positive', z.int().positive(), ['1', '10'], ['0', '-1']],
  [
    'a byte',
    z.int().min(0).max(255),
    ['0', '9', '99', '199', '249', '255'],
    ['256', '260', '300', '1000', '-1', '00'],
  ],
  [
    'around zero',
    z.int().min(-12).max(7),
    ['-12', '-9', '-1', '0', '7'],
    ['-13', '-20', '8', '10', '-0'],
  ],
  ['int32', z.int32(), ['2147483647', '-2147483648'], ['2147483648', '-2147483649']],
  [
    'share',
    z.number().min(0).max(1),
    ['0', '0.5', '0.0', '1', '1.0', '0.999'],
    ['1.1', '-0.1', '2', '1e0', '1.'],
  ],
  ['above zero', z.number().gt(0), ['0.001', '1', '12.5'], ['0', '0.0', '-1', '-0.5']],
  [
    'below',
    z.number().lt(-2).gt(-5),
    ['-2.5', '-3', '-4.999'],
    ['-2', '-2.0', '-5', '-5.5', '-1.5', '3'],
  ],
  ['email', z.email(), ['"a@b.de"', '"x.y+z@mail.example.org"'], ['"a"', '"a@b"', '"@b.de"']],
  [
    'uuid',
    z.uuid(),
    ['"12345678-1234-4234-8234-123456789abc"'],
    ['"12345678"', '"1234567g-1234-4234-8234-123456789abc"'],
  ],
  [
    'date',
    z.iso.date(),
    ['"2024-02-28"', '"1999-12-31"'],
    ['"2023-02-30"', '"2024-13-01"', '"24-01-01"'],
  ],
  [
    'date and time',
    z.iso.datetime(),
    ['"2024-02-28T01:02:03Z"', '"2024-02-28T23:59:59.123Z"'],
    ['"2024-02-28"', '"2024-02-28T25:00:00Z"'],
  ],
  ['time', z.iso.time(), ['"01:02:03"'], ['"25:00:00"']],
  ['duration', z.iso.duration(), ['"P3W"', '"PT5M"'], ['"P"', '"3W"']],
  ['url', z.url(), ['"https://example.org/a?b=c"'], ['"example"']],
  ['ipv4', z.ipv4(), ['"192.168.0.1"'], ['"256.1.1.1"', '"1.1.1"']],
  ['ipv6', z.ipv6(), ['"2001:db8:0:0:0:0:0:1"'], ['"2001"']],
  ['base64', z.base64(), ['"QUJD"', '"QUI="'], ['"QUJ"']],
  [
    'pattern',
    z.string().regex(/^[a-c]{2}(-\d+)?$/),
    ['"ab"', '"cc-12"'],
    ['"a"', '"ab-"', '"abd"'],
  ],
  ['pattern anywhere', z.string().regex(/b+/), ['"abc"', '"b"'], ['"ac"', '""']],
  [
    'pattern with what JSON escapes',
    z.string().regex(/^["\\\n]x$/),
    ['"\\"x"', '"\\\\x"', '"\\nx"'],
    ['""x"', '"x"'],
  ],
  ['beginning', z.string().startsWith('ab'), ['"ab"', '"abc"'], ['"b"']],
  ['long text', z.string().max(2000), ['""', `"${'x'.repeat(2000)}"`], [`"${'x'.repeat(2001)}"`]],
  ['record', z.record(z.string(), z.int()), ['{}', '{"a":1,"b":2}'], ['{"a":"x"}', '[]']],
  [
    'record of listed keys',
    z.record(z.enum(['a', 'b']), z.int()),
    ['{"a":1,"b":2}'],
    ['{}', '{"a":1}', '{"a":1,"b":2,"c":3}'],
  ],
  [
    'part of such a record',
    z.partialRecord(z.enum(['a', 'b']), z.int()),
    ['{}', '{"b":2}'],
    ['{"c":1}'],
  ],
  [
    'tuple',
    z.tuple([z.string(), z.int()]),
    ['["a",1]', '["a", 1]'],
    ['["a"]', '["a",1,2]', '[1,"a"]'],
  ],
  [
    'tuple with a rest',
    z.tuple([z.string()]).rest(z.int()),
    ['["a"]', '["a",1,2]'],
    ['[]', '["a","b"]'],
  ],
  [
    'discriminated union',
    z.discriminatedUnion('k', [
      z.object({ k: z.literal('a') }),
      z.object({ k: z.literal('b'), n: z.int() }),
    ]),
    ['{"k":"a"}', '{"k":"b","n":1}'],
    ['{"k":"a","n":1}', '{"k":"b"}'],
  ],
  ['nullable', z.string().nullable(), ['null', '"a"'], ['1']],
  [
    'intersection',
    z.intersection(z.object({ a: z.string() }), z.object({ b: z.int() })),
    ['{"a":"","b":1}'],
    ['{"a":""}'],
  ],
  [
    'loose object',
    z.looseObject({ ab: z.int() }),
    ['{"ab":1}', '{"ab":1,"abc":[],"a":null,"x":"y"}'],
    ['{}', '{"ab":1,"ab":2}', '{"ab":"x"}'],
  ],
  [
    'catch-all',
    z.object({ a: z.string() }).catchall(z.int()),
    ['{"a":"","b":1}'],
    ['{"a":"","b":"x"}', '{"a":"","a":1}'],
  ],
  ['literals', z.literal(['a', 1]), ['"a"', '1'], ['"b"']],
  ['array with bounds', z.array(z.int()).min(1).max(3), ['[1]', '[1,2,3]'], ['[]', '[1,2,3,4]']],
];

describe.each(ZOD)('%s of Zod', (_name, type, good, bad) => {
  const grammar = new Grammar(grammarOfSchema(z.toJSONSchema(type)), vocabulary);
  it('takes what is valid by Zod itself, and nothing else', () => {
    for (const text of good) {
      expect(type.safeParse(JSON.parse(text)).success, text).toBe(true);
      expect(grammar.accepts(text), text).toBe(true);
    }
    for (const text of bad) expect(grammar.accepts(text), text).toBe(false);
  });

  it('writes nothing that Zod refuses', () => {
    for (let seed = 1; seed <= 12; seed++) {
      const text = written(grammar, seed);
      expect(type.safeParse(JSON.parse(text)).success, text).toBe(true);
    }
  });
});

/** What a model without a mind of its own writes under a mask, shorter rather than longer. */
function written(grammar: Grammar, seed: number): string {
  const constraint = grammar.constraint();
  const random = new Random('written', seed);
  const ids: number[] = [];
  for (;;) {
    const mask = constraint.allowed();
    const allowed = [...mask.keys()].filter((id) => mask[id] === 1);
    expect(allowed.length).toBeGreaterThan(0);
    if (mask[vocabulary.eos] === 1 && (random.chance(0.5) || ids.length > 60)) break;
    const [quote, ...closing] = tokenizer.encode('"@.b}]').filter((id) => mask[id] === 1);
    const short = tokenizer.decode([quote ?? 0]) === '"' ? [quote] : [quote, ...closing];
    const hurried = ids.length > 60 && quote !== undefined;
    const token = random.pick(hurried ? short : allowed);
    if (token === vocabulary.eos) break;
    ids.push(token);
    constraint.advance(token);
    expect(ids.length).toBeLessThan(3000);
  }
  return tokenizer.decode(ids);
}

it('keeps to an integer as Zod 4 writes it', () => {
  const schema = JSON.parse(fixture('schema-integer.json'));
  expect(schema.properties.age).toEqual({ type: 'integer', minimum, maximum });
  expect(accepts(schema, '{"age":42}')).toBe(true);
  expect(accepts(schema, '{"age":4.2}')).toBe(false);
});

it('writes characters without a token of their own byte by byte', () => {
  const { tokenizer: tokenizerJson, tokenizerConfig } = JSON.parse(
    readFileSync(new URL('../../test/fixtures/tokenizers/qwen.json', import.meta.url), 'utf8'),
  );
  const bytes = openTokenizer({ tokenizerJson, tokenizerConfig });
  const words = vocabularyOf(bytes);
  expect(words.wholeBytes).toBe(true);
  const schema = JSON.parse(fixture('schema-unicode.json'));
  const grammar = new Grammar(grammarOfSchema(schema), words);
  for (const value of schema.enum) {
    const text = JSON.stringify(value);
    expect(grammar.accepts(text)).toBe(true);
    // By its own tokens, and by single bytes.
    const single = [...Buffer.from(text)].map((byte) =>
      words.bytes.findIndex((own) => own?.length === 1 && own[0] === byte),
    );
    for (const ids of [bytes.encode(text), single]) {
      const constraint = grammar.constraint();
      for (const id of ids) {
        expect(constraint.allowed()[id], text).toBe(1);
        constraint.advance(id);
      }
      expect(constraint.allowed()[words.eos]).toBe(1);
      expect(bytes.decode(ids)).toBe(text);
    }
  }
  // No byte that leads to another character.
  const constraint = grammar.constraint();
  constraint.advance(words.bytes.findIndex((own) => own?.length === 1 && own[0] === 0x22));
  const mask = constraint.allowed();
  const first = words.bytes.flatMap((own, id) => (mask[id] === 1 && own ? own[0] : []));
  expect([...new Set(first)].sort()).toEqual([0xe6, 0xf0]);
});

it('counts what it keeps, over all grammars, and goes on when it forgets', () => {
  const memory = new GrammarMemory(2000);
  const schemas = Array.from({ length: 20 }, (_, i) => ({
    type: 'object',
    properties: { [`name${i}`]: { type: 'string', maxLength: 50 }, list: { type: 'array' } },
    required: [`name${i}`],
  }));
  const matches = schemas.map((schema) =>
    new Grammar(grammarOfSchema(schema), vocabulary, memory).constraint(),
  );
  for (let i = 0; i < 20; i++) {
    for (const token of tokenizer.encode(`{"name${i}":"abc","list":[1,[2]]}`)) {
      for (const match of matches.slice(i, i + 1)) {
        expect(match.allowed()[token]).toBe(1);
        match.advance(token);
      }
      expect(memory.used).toBeLessThanOrEqual(2200);
    }
    expect(matches[i].allowed()[vocabulary.eos]).toBe(1);
  }
});

it('allows the same tokens after it has forgotten what it knew', () => {
  const anyOf = Array.from({ length: 1200 }, (_, i) => ({
    type: 'object',
    properties: { [`${i}-name`]: { type: 'boolean' } },
  }));
  const memory = new GrammarMemory(500);
  const match = new Grammar(grammarOfSchema({ anyOf }), vocabulary, memory).constraint();
  for (const token of tokenizer.encode('{"1199-name":true}')) {
    expect(match.allowed()[token]).toBe(1);
    match.advance(token);
  }
  expect(match.allowed()[vocabulary.eos]).toBe(1);
});

it('has room for many words, and says when a schema is too large or too open', () => {
  const words = Array.from({ length: 3000 }, (_, i) => `word ${i}`);
  expect(accepts({ enum: words }, '"word 2999"')).toBe(true);
  expect(accepts({ enum: words }, '"word 3000"')).toBe(false);
  const letters = Array.from({ length: 3000 }, (_, i) => `${i}${'x'.repeat(60)}`);
  expect(() => grammarOfSchema({ enum: letters })).toThrow('the schema is too large');
  const open = {
    anyOf: Array.from({ length: 1000 }, (_, i) => ({ type: 'string', maxLength: (i % 7) + 1 })),
  };
  const grammar = new Grammar(grammarOfSchema(open), vocabulary);
  expect(() => {
    const constraint = grammar.constraint();
    for (const token of tokenizer.encode('"abcdef')) {
      constraint.allowed();
      constraint.advance(token);
    }
  }).not.toThrow(RangeError);
});

describe.each(CASES)('%s', (_name, schema, good, bad) => {
  it('takes what is valid', () => {
    for (const text of good) {
      expect(() => JSON.parse(text), text).not.toThrow();
      expect(accepts(schema, text), text).toBe(true);
    }
  });
  it('takes nothing else', () => {
    for (const text of bad) expect(accepts(schema, text), text).toBe(false);
  });
});

it('whatever is written under a mask is JSON by the schema, and never gets stuck', () => {
  const schema = {
    type: 'object',
    properties: {
      name: { type: 'string', maxLength: 5 },
      tags: { type: 'array', items: { enum: ['a', 'ab', 'b'] }, maxItems: 3 },
      size: { type: ['number', 'null'] },
      inner: { type: 'object', properties: { ok: { type: 'boolean' } }, required: ['ok'] },
    },
    required: ['name', 'inner'],
  };
  const grammar = new Grammar(grammarOfSchema(schema), vocabulary);
  let state = 1;
  const random = (n: number): number => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return Math.floor((state / 4294967296) * n);
  };
  for (let trial = 0; trial < 50; trial++) {
    const constraint = grammar.constraint();
    const ids: number[] = [];
    for (;;) {
      const mask = constraint.allowed();
      const allowed = [...mask.keys()].filter((id) => mask[id] === 1);
      expect(allowed.length).toBeGreaterThan(0);
      const token = allowed[random(allowed.length)];
      if (token === vocabulary.eos) break;
      ids.push(token);
      constraint.advance(token);
      expect(ids.length).toBeLessThan(2000);
    }
    const value = JSON.parse(tokenizer.decode(ids));
    expect(Object.keys(value).every((key) => key in schema.properties)).toBe(true);
    expect(typeof value.name).toBe('string');
    expect(typeof value.inner.ok).toBe('boolean');
    for (const tag of value.tags ?? []) expect(['a', 'ab', 'b']).toContain(tag);
  }
});

it('drops what the vocabulary cannot write, and says when nothing is left', () => {
  const digits = vocabularyOf(createCharacterTokenizer('0123456789+-='));
  expect(new Grammar(grammarOfSchema({ type: 'integer' }), digits).possible).toBe(true);
  expect(new Grammar(grammarOfSchema({ type: 'string' }), digits).possible).toBe(false);
  expect(new Grammar(grammarOfObject(), digits).possible).toBe(false);
  const either = new Grammar(grammarOfSchema({ type: ['integer', 'string'] }), digits);
  expect(
    either
      .constraint()
      .allowed()
      .reduce((sum, bit) => sum + bit, 0),
  ).toBe(11);
  expect(new Grammar(grammarOfSchema({ type: 'number' }), digits).accepts('12')).toBe(true);
});

it('masks whole tokens of several characters, and none that has a role', () => {
  const texts = [
    '<eos>',
    '<think>',
    'tr',
    'true',
    'truex',
    't',
    'r',
    'u',
    'e',
    'f',
    'a',
    'l',
    's',
    '1',
  ];
  const several = vocabularyOf({
    vocabularySize: texts.length,
    special: { pad: 0, bos: 0, eos: 0 },
    stops: [0],
    prompt: () => [],
    chat: null,
    encode: () => [],
    decode: (ids) => ids.map((id) => texts[id]).join(''),
    toJSON: () => ({}),
  });
  const constraint = new Grammar(grammarOfSchema({ type: 'boolean' }), several).constraint();
  const names = (): string[] => texts.filter((_, id) => constraint.allowed()[id] === 1);
  expect(names()).toEqual(['tr', 'true', 't', 'f']);
  constraint.advance(2);
  expect(names()).toEqual(['u']);
  constraint.advance(7);
  constraint.advance(8);
  expect(names()).toEqual(['<eos>']);
});

it.each([
  [{ type: 'array', uniqueItems: true }, 'JSON schema: the keyword uniqueItems is not supported'],
  [
    { type: 'object', properties: { a: { type: 'integer', multipleOf: 3 } } },
    'at /properties/a/multipleOf: must be 1',
  ],
  [{ type: 'string', pattern: '^(?=a)b' }, 'looks around, which is not supported'],
  [{ type: 'string', pattern: '(a' }, 'lacks a )'],
  [{ type: 'string', pattern: 'a{9999999}' }, 'repeats more than 1000 times'],
  [{ type: 'string', format: 'emoji' }, 'the format "emoji" is not supported; date, time'],
  [{ type: 'number', minimum: 0.5 }, 'must be a whole number'],
  [{ $ref: '#/%zz' }, 'there is nothing at #/%zz'],
  [{ allOf: [{ type: 'string', pattern: 'a' }, { pattern: 'b' }] }, 'pattern is said twice'],
  [{ type: 'integer', maxLength: 3 }, 'maxLength is for the type string'],
  [{ type: 'text' }, 'at /type: "text" is none of object, array'],
  [{ $ref: 'https://example.org/schema' }, 'only references within the schema'],
  [{ $ref: '#/$defs/none' }, 'there is nothing at #/$defs/none'],
  [{ anyOf: [] }, 'must be a list that is not empty'],
  [{ oneOf: [] }, 'must be a list that is not empty'],
  [
    { type: 'object', properties: { a: {} }, required: ['b'], additionalProperties: false },
    '"b" is not among the properties',
  ],
  [{ type: 'array', maxItems: 100_000 }, 'must be at most 4096'],
  [7, 'must be an object'],
])('refuses %j', (schema, message) => {
  expect(() => grammarOfSchema(schema)).toThrow(message);
});

it('survives schemas that are out to break it', () => {
  let deep: unknown = { type: 'integer' };
  for (let i = 0; i < 90; i++) deep = { type: 'array', items: deep };
  expect(() => grammarOfSchema(deep)).toThrow('nested more than 50 deep');
  expect(new Grammar(grammarOfSchema({ $ref: '#' }), vocabulary).possible).toBe(false);
  // Every bracket could be of either array: twice as many stacks each time.
  const ambiguous = {
    anyOf: ['a', 'b'].map((title) => ({ title, type: 'array', items: { $ref: '#' } })),
  };
  const grammar = new Grammar(grammarOfSchema(ambiguous), vocabulary);
  expect(grammar.accepts(`${'['.repeat(12)}${']'.repeat(12)}`)).toBe(true);
});
