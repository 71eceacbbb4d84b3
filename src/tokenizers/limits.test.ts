import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { UserError } from '../base/errors.js';
import { processorTime } from '../base/testing/processor-time.js';
import { openTokenizer } from './hugging-face.js';

type Json = Record<string, unknown>;
const { tokenizer: honest, tokenizerConfig } = JSON.parse(
  readFileSync(new URL('../../test/fixtures/tokenizers/qwen.json', import.meta.url), 'utf8'),
) as { tokenizer: Json; tokenizerConfig: Json };

const open = (change: Json) =>
  openTokenizer({ tokenizerJson: { ...honest, ...change }, tokenizerConfig });
const split = (Regex: string) => ({ type: 'Split', pattern: { Regex }, behavior: 'Isolated' });
const sequence = (list: string, steps: unknown[]) => ({ type: 'Sequence', [list]: steps });
const replace = (pattern: unknown, content: string) => ({ type: 'Replace', pattern, content });
const many = (count: number, step: unknown) => Array.from({ length: count }, () => step);
const A = 'a'.repeat(40);

/** Files that would run for hours or fill the memory, and a text for them. */
const HOSTILE: Record<string, [Json, string]> = {
  'a pattern that backtracks': [{ pre_tokenizer: split('(a+)+$') }, `${A}!`],
  'alternatives that overlap': [{ pre_tokenizer: split('(a|a)*b') }, A],
  'a pattern of a high power': [{ pre_tokenizer: split('a*a*a*a*a*a*a*a*b') }, 'a'.repeat(10_000)],
  'a lookahead that backtracks': [{ pre_tokenizer: split('(?=(a+)+$)a') }, `${A}!`],
  'a normalizer that backtracks': [{ normalizer: replace({ Regex: '(a+)+$' }, 'b') }, `${A}!`],
  'a normalizer that explodes': [
    { normalizer: sequence('normalizers', many(12, replace({ String: 'a' }, A))) },
    'a',
  ],
  'replacements of nothing': [
    { normalizer: sequence('normalizers', many(40, replace({ String: '' }, 'aa'))) },
    'a',
  ],
  'words of bytes of bytes': [
    { pre_tokenizer: sequence('pretokenizers', many(40, { type: 'ByteLevel', use_regex: false })) },
    'é'.repeat(1000),
  ],
  'a pre-tokenizer that explodes': [
    { pre_tokenizer: sequence('pretokenizers', many(12, replace({ String: 'a' }, A))) },
    'a',
  ],
  'spaces that become long': [
    {
      pre_tokenizer: sequence(
        'pretokenizers',
        many(20, { type: 'Metaspace', replacement: ' '.repeat(900) }),
      ),
    },
    ' a',
  ],
  'pieces of no length': [{ pre_tokenizer: { type: 'FixedLength', length: 0 } }, 'abc'],
  'too many steps': [{ normalizer: sequence('normalizers', many(9999, { type: 'NFC' })) }, 'a'],
  'a content without measure': [{ normalizer: replace({ String: 'a' }, 'b'.repeat(1e6)) }, 'a'],
  'a text written twice': [
    {
      post_processor: {
        type: 'TemplateProcessing',
        single: many(60, { Sequence: { id: 'A', type_id: 0 } }),
      },
    },
    'a',
  ],
  'words of any length': [
    {
      model: {
        type: 'WordPiece',
        vocab: { a: 0, '<|im_end|>': 1 },
        unk_token: 'a',
        continuing_subword_prefix: '##',
        max_input_chars_per_word: 1e9,
      },
    },
    'b'.repeat(100_000),
  ],
  'a lattice of everything': [
    {
      model: {
        type: 'Unigram',
        unk_id: 0,
        vocab: Array.from({ length: 2000 }, (_, i) => ['a'.repeat(i + 1), -i]),
      },
      pre_tokenizer: null,
    },
    'a'.repeat(100_000),
  ],
};

describe('a hostile tokenizer.json', () => {
  it.each(Object.entries(HOSTILE))('ends soon: %s', (_name, [change, text]) => {
    const before = process.memoryUsage().heapUsed;
    const spent = processorTime();
    let thrown: unknown;
    try {
      open(change).encode(text);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toBeInstanceOf(UserError);
    expect((thrown as Error).message).toMatch(/^tokenizer\.json: [^\n]+$/);
    expect(spent()).toBeLessThan(4000);
    expect((process.memoryUsage().heapUsed - before) / 1e6).toBeLessThan(500);
  });

  it('ends while its own tokens are read', () => {
    const added = (honest.added_tokens as Json[]).map((token, i) =>
      i === 0 ? { ...token, content: `${A}!`, normalized: true } : token,
    );
    const normalizer = replace({ Regex: '(a+)+$' }, 'b');
    expect(() => open({ added_tokens: added, normalizer })).toThrow('takes longer than');
  });

  it('ends while tokens are decoded', () => {
    const decoder = sequence('decoders', many(12, replace({ String: 'a' }, A)));
    const tokenizer = open({ decoder });
    expect(() => tokenizer.decode(tokenizer.encode('a'))).toThrow('too long');
  });
});

it('takes what is unusual and harmless', () => {
  const tokenizer = open({
    normalizer: sequence('normalizers', []),
    pre_tokenizer: sequence('pretokenizers', [
      split('[a-z]+|[^a-z]+'),
      { type: 'ByteLevel', add_prefix_space: false, use_regex: false },
    ]),
  });
  expect(tokenizer.decode(tokenizer.encode('some words, 12'))).toBe('some words, 12');
});
