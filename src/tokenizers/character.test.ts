import { expect, test } from 'vitest';
import { UserError } from '../base/errors.js';
import {
  createCharacterTokenizer,
  tokenizerConfig,
  tokenizerFiles,
  tokenizerFromJSON,
} from './character.js';

const ALPHABET = '\n!()*+,-/0123456789:=é😀 ';

/**
 * What Hugging Face's `tokenizers` 0.23.3 (Python) makes of
 * `createCharacterTokenizer(ALPHABET).toJSON()`:
 * `t = Tokenizer.from_file(file); ids = t.encode(text).ids; t.decode(ids)`.
 */
const HUGGING_FACE: [text: string, ids: number[], decoded: string][] = [
  ['12+7=', [18, 19, 13, 24, 28], '12+7='],
  [
    '<think>3*5=15\n15+7=22!</think><answer>(5*3)+7</answer>',
    [
      3, 20, 12, 22, 28, 18, 22, 7, 18, 22, 13, 24, 28, 19, 19, 9, 4, 5, 10, 22, 12, 20, 11, 13, 24,
      6,
    ],
    '<think>3*5=15\n15+7=22!</think><answer>(5*3)+7</answer>',
  ],
  ['<bos>1<eos><pad>', [1, 18, 2, 0], '1'],
  ['😀é 1  2', [30, 29, 8, 18, 8, 8, 19], '😀é 1  2'],
  ['(((', [10, 10, 10], '((('],
  ['</think>/<answer>', [4, 16, 5], '</think>/<answer>'],
  ['\n\n1,2,3:4=', [7, 7, 18, 14, 19, 14, 20, 27, 21, 28], '\n\n1,2,3:4='],
];

test('ids and decoded text are those of the tokenizers library', () => {
  const tokenizer = createCharacterTokenizer(ALPHABET);
  for (const [text, ids, decoded] of HUGGING_FACE) {
    expect(tokenizer.encode(text), text).toEqual(ids);
    expect(tokenizer.decode(ids), text).toBe(decoded);
  }
});

test('special tokens come first, then the distinct characters in code-point order', () => {
  const tokenizer = createCharacterTokenizer('banana');
  expect(tokenizer.special).toEqual({ pad: 0, bos: 1, eos: 2 });
  expect(tokenizer.vocabularySize).toBe(10);
  expect(tokenizer.encode('<pad><bos><eos><think></think><answer></answer>abn')).toEqual([
    0, 1, 2, 3, 4, 5, 6, 7, 8, 9,
  ]);
  expect(tokenizer.decode([1, 3, 8, 4, 5, 9, 6, 2, 0])).toBe('<think>b</think><answer>n</answer>');
  expect(createCharacterTokenizer('nab').toJSON()).toEqual(tokenizer.toJSON());
});

test('an angle bracket of the alphabet is one character unless it opens a tag', () => {
  const tokenizer = createCharacterTokenizer('<>think');
  expect(tokenizer.encode('<think')).toHaveLength(6);
  expect(tokenizer.encode('<<think>>')).toHaveLength(3);
  expect(tokenizer.decode(tokenizer.encode('<<think>>t<'))).toBe('<<think>>t<');
});

test('what is not in the vocabulary is named', () => {
  const tokenizer = createCharacterTokenizer('12+');
  expect(() => tokenizer.encode('1+x')).toThrow(
    'character "x" (U+0078) at position 3 of "1+x" is not in the vocabulary; it has "+12" and the special tokens',
  );
  expect(() => tokenizer.encode('<b>')).toThrow('character "<" (U+003C)');
  expect(() => tokenizer.encode('1😀')).toThrow('U+1F600');
  expect(() => tokenizer.encode('\ud800')).toThrow(UserError);
  expect(() => tokenizer.decode([10])).toThrow('token 10 is not in the vocabulary of 10 tokens');
  expect(() => tokenizer.decode([-1])).toThrow(UserError);
  expect(() => createCharacterTokenizer('')).toThrow('the alphabet is empty');
  expect(() => createCharacterTokenizer('a\ud800')).toThrow('half of a character');
});

test('a file loads as the tokenizer that wrote it, whatever the order of its fields', () => {
  const tokenizer = createCharacterTokenizer(ALPHABET);
  const text = JSON.stringify(tokenizer.toJSON());
  const loaded = tokenizerFromJSON(JSON.parse(text));
  expect(loaded.encode('<think>é😀</think> 12')).toEqual(tokenizer.encode('<think>é😀</think> 12'));
  expect(loaded.toJSON()).toEqual(tokenizer.toJSON());
  const { model, ...rest } = JSON.parse(text);
  const vocab = Object.fromEntries(Object.entries(model.vocab).reverse());
  expect(tokenizerFromJSON({ model: { ...model, vocab }, ...rest }).toJSON()).toEqual(
    tokenizer.toJSON(),
  );
});

test('any other file is refused, and the message says what for', () => {
  const file = createCharacterTokenizer('ab').toJSON();
  const model = file.model as Record<string, unknown>;
  const vocab = model.vocab as Record<string, number>;
  const cases: [unknown, RegExp][] = [
    [null, /not an object/],
    [[], /not an object/],
    [{}, /no model/],
    [{ ...file, model: { type: 'WordPiece' } }, /model type "WordPiece" is not supported/],
    [{ ...file, model: { ...model, merges: ['a b'] } }, /merges are not supported/],
    [
      { ...file, model: { ...model, vocab: { ...vocab, ab: 9 } } },
      /token "ab" is not a single character/,
    ],
    [
      { ...file, model: { ...model, vocab: { ...vocab, a: 8, b: 7 } } },
      /its model is not supported/,
    ],
    [{ ...file, model: { ...model, vocab: { ...vocab, c: 'x' } } }, /not 0 … 9, once each/],
    [
      { ...file, model: { ...model, vocab: { ...vocab, c: 4_000_000_000 } } },
      /not 0 … 9, once each/,
    ],
    [{ ...file, model: { ...model, vocab: {} } }, /vocabulary is empty/],
    [{ ...file, normalizer: { type: 'Lowercase' } }, /its normalizer is not supported/],
    [{ ...file, added_tokens: [] }, /its added_tokens is not supported/],
    [{ ...file, post_processor: { type: 'ByteLevel' } }, /its post_processor is not supported/],
  ];
  for (const [json, message] of cases) {
    expect(() => tokenizerFromJSON(json)).toThrow(message);
    expect(() => tokenizerFromJSON(json)).toThrow(UserError);
  }
});

test('the files beside tokenizer.json name the special tokens and carry a chat template', () => {
  const { tokenizerConfig: config, specialTokensMap } = tokenizerConfig(256);
  expect(specialTokensMap).toEqual({ bos_token: '<bos>', eos_token: '<eos>', pad_token: '<pad>' });
  expect(config).toMatchObject({
    ...specialTokensMap,
    model_max_length: 256,
    clean_up_tokenization_spaces: false,
  });
  expect(config.chat_template).toContain("{{ bos_token + message['content'] }}");
  const tokenizer = createCharacterTokenizer('ab');
  expect(tokenizerFiles(tokenizer, 256)).toEqual({
    tokenizer: tokenizer.toJSON(),
    tokenizerConfig: config,
    specialTokensMap,
  });
  expect(tokenizerConfig().tokenizerConfig).not.toHaveProperty('model_max_length');
});
