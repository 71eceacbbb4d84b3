import { describe, expect, it } from 'vitest';
import { createModel, parseModelConfig } from '../models/index.js';
import { logitsOf, scoresOf, tinyConfig } from '../models/testing.js';
import type { Backend } from '../tensor/backend.js';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { createWasmBackend } from '../tensor/backends/wasm/index.js';
import {
  type Completion,
  createSampler,
  type GenerateOptions,
  type SamplerOptions,
} from './sampler.js';

const VOCABULARY = 11;
const EOS = 2;
const PROMPTS = [[1, 5, 6, 7], [1, 9], [1, 4, 4, 10, 3], [8]];
const options: GenerateOptions = { samples: 3, maxTokens: 9, temperature: 0.7, key: ['test', 4] };

function setUp(backend: Backend, config: object = {}) {
  const model = createModel(
    backend,
    parseModelConfig({ ...tinyConfig, num_hidden_layers: 2, vocab_size: VOCABULARY, ...config }),
  );
  model.store.initialize(3);
  const sampler = (limits: Partial<SamplerOptions> = {}) =>
    createSampler(backend, model, {
      capacity: 64,
      maxPrompt: 6,
      maxTokens: 9,
      eos: EOS,
      ...limits,
    });
  return { backend, model, sampler };
}

const tokensOf = (completions: readonly Completion[]) => completions.map(({ tokens }) => tokens);

/**
 * Grouped queries, multi-query and plain multi-head attention; with norms of queries and keys; tied
 * or not.
 */
const variants = [
  { name: 'llama, one key-value head', config: {} },
  {
    name: 'llama, multi-head, tied',
    config: { num_key_value_heads: 2, tie_word_embeddings: true },
  },
  {
    name: 'qwen3, grouped queries',
    config: { model_type: 'qwen3', num_attention_heads: 6, num_key_value_heads: 2, head_dim: 4 },
  },
];

describe.each(variants)('sampling from $name', ({ config }) => {
  it('has the log-probabilities of a whole forward pass, at the temperature', async () => {
    const on = setUp(createReferenceBackend(), config);
    const completions = await on.sampler().generate(PROMPTS, options);
    expect(completions.map(({ prompt, sample }) => [prompt, sample])).toEqual(
      [0, 1, 2, 3].flatMap((prompt) => [0, 1, 2].map((sample) => [prompt, sample])),
    );
    for (const { prompt, tokens, logProbabilities } of completions) {
      const expected = await scoresOf(
        on,
        [...PROMPTS[prompt], ...tokens],
        PROMPTS[prompt].length,
        0.7,
      );
      expect(logProbabilities).toHaveLength(tokens.length);
      logProbabilities.forEach((value, i) => {
        expect(value).toBeCloseTo(expected[i], 10);
      });
    }
    expect(new Set(tokensOf(completions).map(String)).size).toBeGreaterThan(6);
  });

  it('is greedy at temperature 0: the largest logit of a whole forward pass each time', async () => {
    const on = setUp(createReferenceBackend(), config);
    const completions = await on
      .sampler()
      .generate(PROMPTS, { ...options, samples: 1, temperature: 0, key: [] });
    for (const { prompt, tokens, stop } of completions) {
      const whole = [...PROMPTS[prompt]];
      const expected: number[] = [];
      while (expected.length < 9 && expected.at(-1) !== EOS) {
        const last = (await logitsOf(on, whole)).at(-1) as number[];
        expected.push(last.indexOf(Math.max(...last)));
        whole.push(expected[expected.length - 1]);
      }
      expect(tokens).toEqual(expected);
      expect(stop).toBe(expected.at(-1) === EOS ? 'eos' : 'length');
    }
  });

  it('draws the same on the WASM backend', async () => {
    const expected = await setUp(createReferenceBackend(), config)
      .sampler()
      .generate(PROMPTS, options);
    const backend = await createWasmBackend({
      sharedBytes: 1 << 20,
      localBytes: 1 << 24,
      products: 'wasm',
      build: 'plain',
    });
    const found = await setUp(backend, config).sampler().generate(PROMPTS, options);
    expect(tokensOf(found)).toEqual(tokensOf(expected));
    found.forEach(({ logProbabilities }, c) => {
      logProbabilities.forEach((value, i) => {
        expect(value).toBeCloseTo(expected[c].logProbabilities[i], 4);
      });
    });
  });
});

describe('the sampler', () => {
  it('draws the same tokens whatever else is in the batch', async () => {
    const { sampler, backend } = setUp(createReferenceBackend());
    const together = await sampler().generate(PROMPTS, options);
    // Few slots: sequences wait, prompts are admitted in parts, and slots are used again.
    for (const capacity of [1, 2, 4, 5]) {
      expect(tokensOf(await sampler({ capacity }).generate(PROMPTS, options))).toEqual(
        tokensOf(together),
      );
    }
    const alone: Completion[] = [];
    for (const [i, prompt] of PROMPTS.entries()) {
      const before = backend.memory().localBytes;
      const mark = backend.mark();
      alone.push(
        ...(await sampler({ capacity: 3 }).generate([prompt], {
          ...options,
          promptIndex: () => i,
        })),
      );
      backend.release(mark);
      expect(backend.memory().localBytes).toBe(before);
    }
    expect(tokensOf(alone)).toEqual(tokensOf(together));
  });

  it('keys what it draws by prompt, sample and position', async () => {
    const { sampler } = setUp(createReferenceBackend());
    const one = tokensOf(await sampler().generate([PROMPTS[0], PROMPTS[0]], options)).map(String);
    expect(one.slice(3)).not.toEqual(one.slice(0, 3));
    expect(new Set(one.slice(0, 3)).size).toBeGreaterThan(1);
    const swapped = await sampler().generate([PROMPTS[0], PROMPTS[0]], {
      ...options,
      promptIndex: (i) => 1 - i,
    });
    expect(tokensOf(swapped).map(String)).toEqual([...one.slice(3), ...one.slice(0, 3)]);
    const other = await sampler().generate([PROMPTS[0], PROMPTS[0]], {
      ...options,
      key: ['test', 5],
    });
    expect(tokensOf(other).map(String)).not.toEqual(one);
  });

  it('leaves out what top-k and top-p leave out', async () => {
    const { sampler } = setUp(createReferenceBackend());
    const narrow = await sampler().generate(PROMPTS, { ...options, topK: 1 });
    const greedy = await sampler().generate(PROMPTS, { ...options, temperature: 0 });
    expect(tokensOf(narrow)).toEqual(tokensOf(greedy));
    expect(narrow.flatMap(({ logProbabilities }) => logProbabilities).every((x) => x === 0)).toBe(
      true,
    );
    expect(tokensOf(await sampler().generate(PROMPTS, { ...options, topP: 1e-6 }))).toEqual(
      tokensOf(greedy),
    );
    const wide = await sampler().generate(PROMPTS, { ...options, topP: 0.999999999 });
    expect(tokensOf(wide)).toEqual(tokensOf(await sampler().generate(PROMPTS, options)));
  });

  it('computes a prompt once for all its samples', async () => {
    const plain = createReferenceBackend();
    let computed = 0;
    const counting: Backend = {
      ...plain,
      attention(call) {
        computed += call.out.shape[0];
        plain.attention(call);
      },
    };
    const { sampler, model } = setUp(counting);
    await sampler().generate(PROMPTS, options);
    expect(computed).toBe(model.config.num_hidden_layers * PROMPTS.flat().length);
  });

  it('stops at the end-of-sequence token or at the length asked for, and says which', async () => {
    const { sampler } = setUp(createReferenceBackend());
    const many = await sampler().generate(PROMPTS, { ...options, samples: 12 });
    const ended = many.filter(({ stop }) => stop === 'eos');
    const cut = many.filter(({ stop }) => stop === 'length');
    expect(ended.length).toBeGreaterThan(0);
    expect(cut.length).toBeGreaterThan(0);
    for (const { tokens } of ended) expect(tokens.indexOf(EOS)).toBe(tokens.length - 1);
    for (const { tokens } of cut) expect([tokens.length, tokens.includes(EOS)]).toEqual([9, false]);
    const shorter = await sampler().generate(PROMPTS, { ...options, maxTokens: 2 });
    expect(Math.max(...shorter.map(({ tokens }) => tokens.length))).toBe(2);
    expect(tokensOf(shorter)).toEqual(
      tokensOf(many.filter(({ sample }) => sample < 3)).map((tokens) => tokens.slice(0, 2)),
    );
  });

  it('tells of tokens as they are drawn, and of completions as they end', async () => {
    const { sampler } = setUp(createReferenceBackend());
    const drawn = new Map<string, number[]>();
    const ended: Completion[] = [];
    const completions = await sampler({ capacity: 2 }).generate(PROMPTS, {
      ...options,
      onToken: (prompt, sample, token) =>
        drawn.set(`${prompt},${sample}`, [...(drawn.get(`${prompt},${sample}`) ?? []), token]),
      onCompletion: (completion) => ended.push(completion),
    });
    for (const { prompt, sample, tokens } of completions)
      expect(drawn.get(`${prompt},${sample}`)).toEqual(tokens);
    expect(ended).toHaveLength(completions.length);
    expect(new Set(ended)).toEqual(new Set(completions));
  });

  it('has nothing to say to no prompts, and gives back all memory but its cache', async () => {
    const { sampler, backend, model } = setUp(createReferenceBackend());
    const before = backend.memory().localBytes;
    const made = sampler();
    const cached = backend.memory().localBytes;
    // The reference backend holds 8 bytes a number; the model says what f32 takes.
    expect(cached - before).toBe(2 * made.cache.bytesPerToken * 64 * (6 + 9));
    expect(made.cache.keys).toHaveLength(model.config.num_hidden_layers);
    expect(await made.generate([], options)).toEqual([]);
    await made.generate(PROMPTS, options);
    expect(backend.memory().localBytes).toBe(cached);
  });

  it('refuses what the model or the cache has no room for', async () => {
    const { sampler } = setUp(createReferenceBackend());
    expect(() => sampler({ maxTokens: 59 })).toThrow(
      /prompt \(6\) and completion \(59 tokens\).*max_position_embeddings \(64\)/,
    );
    const made = sampler();
    await expect(made.generate([[1, 2, 3, 4, 5, 6, 7]], options)).rejects.toThrow(
      'a prompt has 7 tokens; this sampler takes 1 to 6',
    );
    await expect(made.generate([[]], options)).rejects.toThrow('a prompt has 0 tokens');
  });
});
