import { describe, expect, it } from 'vitest';
import { createCharacterTokenizer } from '../tokenizers/character.js';
import { Grammar, vocabularyOf } from './grammar.js';
import { grammarOfObject, grammarOfSchema } from './json-schema.js';

const ASCII = Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('');
const tokenizer = createCharacterTokenizer(`${ASCII}äé😀`);
const vocabulary = vocabularyOf(tokenizer);
const accepts = (schema: unknown, text: string): boolean =>
  new Grammar(grammarOfSchema(schema), vocabulary).accepts(text);

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
  [{ type: 'string', pattern: 'a+' }, 'JSON schema: the keyword pattern is not supported'],
  [
    { type: 'object', properties: { a: { type: 'integer', minimum: 3 } } },
    'at /properties/a: the keyword minimum',
  ],
  [{ type: 'integer', maxLength: 3 }, 'maxLength is for the type string'],
  [{ type: 'text' }, 'at /type: "text" is none of object, array'],
  [{ $ref: 'https://example.org/schema' }, 'only references within the schema'],
  [{ $ref: '#/$defs/none' }, 'there is nothing at #/$defs/none'],
  [{ anyOf: [] }, 'must be a list that is not empty'],
  [{ oneOf: [{ type: 'null' }] }, 'oneOf without type is not supported'],
  [{ type: 'object', properties: { a: {} }, required: ['b'] }, '"b" is not among the properties'],
  [
    { type: 'object', properties: { a: {} }, additionalProperties: { type: 'string' } },
    'must be false where there are properties',
  ],
  [{ type: 'array', maxItems: 100_000 }, 'must be at most 256'],
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
