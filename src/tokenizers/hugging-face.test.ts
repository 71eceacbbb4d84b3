import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { UserError } from '../base/errors.js';
import { createCharacterTokenizer, tokenizerFiles } from './character.js';
import { createChatTemplate } from './chat-template.js';
import { openTokenizer } from './hugging-face.js';

interface Fixture {
  tokenizer: Record<string, unknown>;
  tokenizerConfig: Record<string, unknown>;
  samples: { text: string; ids: number[] }[];
}

/**
 * Written by test/fixtures/tokenizers/make.py with Hugging Face's Rust library, which also made the
 * ids.
 */
const fixture = (name: string): Fixture =>
  JSON.parse(
    readFileSync(new URL(`../../test/fixtures/tokenizers/${name}.json`, import.meta.url), 'utf8'),
  );
const open = (name: string, more: object = {}) => {
  const { tokenizer: tokenizerJson, tokenizerConfig } = fixture(name);
  return openTokenizer({ tokenizerJson, tokenizerConfig, ...more });
};

describe.each(['qwen', 'llama'])('a byte-level BPE tokenizer cut as %s', (name) => {
  it('gives the ids of the Rust library, and the text back', () => {
    const tokenizer = open(name);
    for (const { text, ids } of fixture(name).samples) {
      expect(tokenizer.encode(text)).toEqual(ids);
      const silent = [tokenizer.special.bos, tokenizer.special.eos, tokenizer.special.pad];
      if (!ids.some((id) => silent.includes(id))) expect(tokenizer.decode(ids)).toBe(text);
    }
  });
});

describe('what begins and ends a text', () => {
  it('comes from the files beside tokenizer.json', () => {
    const qwen = open('qwen', { generationConfig: { eos_token_id: [999, 362] } });
    const id = (text: string): number => qwen.encode(text)[0];
    expect(qwen.special).toEqual({ bos: null, eos: id('<|im_end|>'), pad: id('<|endoftext|>') });
    expect(qwen.stops).toEqual(
      [id('<|im_end|>'), 999, 362].filter((x, i, all) => all.indexOf(x) === i),
    );
    const llama = open('llama');
    expect(llama.special.bos).toBe(llama.encode('<|begin_of_text|>')[0]);
    expect(llama.special.pad).toBeNull();
    expect(llama.prompt('a')).toEqual([llama.special.bos, ...llama.encode('a')]);
    expect(llama.chat).toBeNull();
  });

  it('may be an id of config.json, and must be somewhere', () => {
    const { tokenizer: tokenizerJson } = fixture('llama');
    expect(openTokenizer({ tokenizerJson, config: { eos_token_id: 7 } }).special.eos).toBe(7);
    expect(() => openTokenizer({ tokenizerJson })).toThrow('nothing says which token ends a text');
  });

  it('is dropped from text, as are ids without a token', () => {
    const qwen = open('qwen');
    const ids = [...qwen.encode('<think>'), qwen.special.eos, 5000, ...qwen.encode('a')];
    expect(qwen.decode(ids)).toBe('<think>a');
    expect(qwen.decode([])).toBe('');
  });
});

describe('a chat template', () => {
  it('writes the conversation that the model was trained on', () => {
    const qwen = open('qwen');
    const written = '<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n';
    expect(qwen.prompt('hello')).toEqual(qwen.encode(written));
    expect(qwen.chat?.([{ role: 'user', content: 'hello' }])).toEqual(qwen.encode(written));
  });

  it('may be a file of its own, or one of several', () => {
    const own = open('llama', { chatTemplate: '{{ bos_token }}{{ messages[0].content }}!' });
    expect(own.prompt('a')).toEqual([own.special.bos, ...own.encode('a!')]);
    const { tokenizer: tokenizerJson, tokenizerConfig } = fixture('llama');
    const named = [
      { name: 'tool_use', template: 'x' },
      { name: 'default', template: 'y' },
    ];
    const several = openTokenizer({
      tokenizerJson,
      tokenizerConfig: { ...tokenizerConfig, chat_template: named },
    });
    expect(several.prompt('a')).toEqual(several.encode('y'));
  });

  it('that is broken, refuses, or counts too far ends in one line', () => {
    const say = (source: string): string => {
      try {
        return createChatTemplate(source, {})([{ role: 'user', content: 'x' }]);
      } catch (error) {
        expect(error).toBeInstanceOf(UserError);
        expect((error as Error).message).not.toContain('\n');
        return (error as Error).message;
      }
    };
    expect(say('{% for %}')).toContain('cannot be read');
    expect(say("{{ raise_exception('roles must alternate') }}")).toContain(
      'refuses this conversation: roles must alternate',
    );
    expect(say('{% for i in range(10000000000) %}x{% endfor %}')).toContain(
      'range of 10000000000 numbers',
    );
    expect(say('{% for i in range(1, 8, 3) %}{{ i }}{% endfor %}')).toBe('147');
  });

  it('of our own tokenizer says what training shows', () => {
    const ours = createCharacterTokenizer('0123456789+=');
    const files = tokenizerFiles(ours);
    const opened = openTokenizer({
      tokenizerJson: files.tokenizer,
      tokenizerConfig: files.tokenizerConfig,
    });
    const conversation = [
      { role: 'user', content: '1+2=' },
      { role: 'assistant', content: '3' },
      { role: 'user', content: '4+5=' },
    ] as const;
    const template = createChatTemplate(files.tokenizerConfig.chat_template as string, {
      bos_token: '<bos>',
      eos_token: '<eos>',
    });
    expect(opened.chat?.(conversation)).toEqual(opened.encode(template(conversation)));
    expect(opened.prompt('1+2=')).toEqual(opened.encode('<bos>1+2='));
  });
});

it.each([
  [{}, 'model type null is not supported'],
  [
    { model: { type: 'WordLevel', vocab: { a: 0 } } },
    'model type "WordLevel" is not supported; BPE, Unigram, WordPiece are',
  ],
  [{ model: { type: 'BPE' } }, 'it cannot be used'],
  [{ model: { type: 'BPE', vocab: {}, merges: [] } }, 'it cannot be used'],
  [{ model: { type: 'BPE', vocab: { a: -1 }, merges: [] }, added_tokens: [] }, 'it cannot be used'],
])('refuses %o', (json, message) => {
  expect(() =>
    openTokenizer({ tokenizerJson: json as never, config: { eos_token_id: 0 } }),
  ).toThrow(message);
});
