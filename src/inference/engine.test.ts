import { describe, expect, it } from 'vitest';
import { UserError } from '../base/errors.js';
import { createModel, parseModelConfig } from '../models/index.js';
import { logitsOf, logSoftmax, tinyConfig } from '../models/testing.js';
import type { Backend } from '../tensor/backend.js';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { createWasmBackend, type Products } from '../tensor/backends/wasm/index.js';
import {
  createEngine,
  type DrawnToken,
  type Engine,
  type EngineRequest,
  type SequenceUse,
} from './engine.js';
import { createSampler } from './sampler.js';

const EOS = 2;
const PROMPTS = [[1, 5, 6, 7], [1, 9], [1, 4, 4, 10, 3], [8]];
const plain = { temperature: 0.7, topP: 1, topK: 0, minP: 0, bias: null };

function setUp(backend: Backend, config: object = {}) {
  const model = createModel(
    backend,
    parseModelConfig({ ...tinyConfig, num_hidden_layers: 2, vocab_size: 11, ...config }),
  );
  model.store.initialize(3);
  const engine = (capacity = 8, cacheRows = 400, stop = EOS) =>
    createEngine(backend, model, { capacity, cacheRows, stops: [stop] });
  return { backend, model, engine };
}

interface Result {
  tokens: number[];
  drawn: DrawnToken[];
  stop: string;
  use: SequenceUse;
}

/** A request that collects what comes. */
function collect(engine: Engine, request: Partial<EngineRequest> & { prompt: readonly number[] }) {
  const result: Result = { tokens: [], drawn: [], stop: '', use: {} as SequenceUse };
  const sequence = engine.add({
    maxTokens: 9,
    seed: 4,
    choice: 0,
    choosing: plain,
    topLogProbabilities: null,
    constraint: null,
    onToken(token) {
      result.tokens.push(token.id);
      result.drawn.push(token);
      return false;
    },
    onEnd(stop, use) {
      result.stop = stop;
      result.use = use;
    },
    ...request,
  });
  return { result, sequence };
}

async function finish(engine: Engine): Promise<void> {
  while (await engine.step());
}

const wasm = (products: Products) =>
  createWasmBackend({ sharedBytes: 1 << 22, localBytes: 1 << 26, products });

describe('the engine', () => {
  it('draws what the batch sampler draws for the prompt, the choice and the seed', async () => {
    const on = setUp(createReferenceBackend());
    const sampler = createSampler(on.backend, on.model, {
      capacity: 8,
      maxPrompt: 6,
      maxTokens: 9,
      eos: EOS,
    });
    const engine = on.engine(3);
    for (const prompt of PROMPTS) {
      const expected = await sampler.generate([prompt], {
        samples: 3,
        maxTokens: 9,
        temperature: 0.7,
        key: [4],
      });
      const found = [0, 1, 2].map((choice) => collect(engine, { prompt, choice }).result);
      await finish(engine);
      expect(found.map(({ tokens }) => tokens)).toEqual(expected.map(({ tokens }) => tokens));
      expect(found.map(({ stop }) => stop)).toEqual(expected.map(({ stop }) => stop));
    }
  });

  it('reports log-probabilities of the model itself, most likely tokens first', async () => {
    const on = setUp(createReferenceBackend());
    const engine = on.engine();
    const { result } = collect(engine, { prompt: PROMPTS[0], topLogProbabilities: 3 });
    await finish(engine);
    const logits = await logitsOf(on, [...PROMPTS[0], ...result.tokens]);
    expect(result.drawn).not.toHaveLength(0);
    result.drawn.forEach(({ id, logProbability, top }, i) => {
      const expected = logSoftmax(logits[PROMPTS[0].length - 1 + i]);
      expect(logProbability).toBeCloseTo(expected[id], 10);
      const best = expected.map((value, v) => ({ value, v })).sort((a, b) => b.value - a.value);
      expect(top.map(({ id: token }) => token)).toEqual(best.slice(0, 3).map(({ v }) => v));
      top.forEach(({ logProbability: value }, j) => {
        expect(value).toBeCloseTo(best[j].value, 10);
      });
    });
  });

  it('computes a prompt that it has seen only once, and says so', async () => {
    const on = setUp(createReferenceBackend());
    const engine = on.engine();
    const first = collect(engine, { prompt: PROMPTS[2], topLogProbabilities: 1 }).result;
    await finish(engine);
    const before = engine.stats().rows;
    const again = collect(engine, { prompt: PROMPTS[2], topLogProbabilities: 1 }).result;
    await finish(engine);
    expect(again.drawn).toEqual(first.drawn);
    expect([first.use.cachedTokens, again.use.cachedTokens]).toEqual([0, PROMPTS[2].length - 1]);
    expect(engine.stats().rows - before).toBe(again.tokens.length);
    // The next turn of the conversation goes on where the last one ended.
    const turn = [...PROMPTS[2], ...first.tokens.slice(0, -1), 5, 5];
    const next = collect(engine, { prompt: turn, maxTokens: 3 }).result;
    await finish(engine);
    expect(next.use.cachedTokens).toBe(turn.length - 2);
    const fresh = on.engine();
    const alone = collect(fresh, { prompt: turn, maxTokens: 3 }).result;
    await finish(fresh);
    expect(next.tokens).toEqual(alone.tokens);
  });

  it('shares the prompt of several choices', async () => {
    const engine = setUp(createReferenceBackend()).engine();
    const first = collect(engine, { prompt: PROMPTS[0] });
    const others = [1, 2].map(
      (choice) => collect(engine, { prompt: PROMPTS[0], choice, after: first.sequence }).result,
    );
    await finish(engine);
    expect(others.map(({ use }) => use.cachedTokens)).toEqual([3, 3]);
    expect(
      new Set([first.result, ...others].map(({ tokens }) => String(tokens))).size,
    ).toBeGreaterThan(1);
  });

  it('frees the slot of a cancelled sequence, waiting or running, and the others do not notice', async () => {
    const on = setUp(createReferenceBackend());
    const quiet = on.engine(2);
    const expected = collect(quiet, { prompt: PROMPTS[1] }).result;
    await finish(quiet);
    const engine = on.engine(2);
    const long = collect(engine, { prompt: PROMPTS[0], maxTokens: 50 });
    const kept = collect(engine, { prompt: PROMPTS[1] }).result;
    const waiting = collect(engine, { prompt: PROMPTS[2] });
    const last = collect(engine, { prompt: PROMPTS[3] }).result;
    await engine.step();
    expect([engine.stats().running, engine.stats().waiting]).toEqual([2, 2]);
    engine.cancel(waiting.sequence);
    engine.cancel(long.sequence);
    expect([engine.stats().running, engine.stats().waiting]).toEqual([1, 1]);
    await engine.step();
    expect(engine.stats().running).toBe(2);
    await finish(engine);
    expect([long.result.stop, waiting.result.stop]).toEqual(['cancelled', 'cancelled']);
    expect(long.result.tokens).toHaveLength(1);
    expect(kept.tokens).toEqual(expected.tokens);
    expect(last.tokens.length).toBeGreaterThan(0);
    expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, busyRows: 0 });
  });

  it('waits for rows of the cache, in the order of arrival, and refuses what will never fit', async () => {
    const engine = setUp(createReferenceBackend()).engine(8, 20);
    const results = PROMPTS.map((prompt) => collect(engine, { prompt }).result);
    await engine.step();
    expect(engine.stats()).toMatchObject({ running: 1, waiting: 3 });
    await finish(engine);
    for (const { stop } of results) expect(['eos', 'length']).toContain(stop);
    expect(() => collect(engine, { prompt: PROMPTS[0], maxTokens: 17 })).toThrow(
      /do not fit.*at most 20/,
    );
  });

  it('ends where the one who sees the tokens says so, and keeps to a constraint', async () => {
    const engine = setUp(createReferenceBackend()).engine();
    const stopped = collect(engine, { prompt: PROMPTS[0], onToken: () => true }).result;
    let last = 6;
    const alternate = {
      allowed: () => Uint8Array.from({ length: 11 }, (_, v) => Number(v === 11 - last)),
      advance: (token: number) => {
        last = token;
      },
    };
    const constrained = collect(engine, {
      prompt: PROMPTS[0],
      constraint: () => alternate,
      maxTokens: 4,
    }).result;
    await finish(engine);
    expect(stopped.use.completionTokens).toBe(1);
    expect(constrained.tokens).toEqual([5, 6, 5, 6]);
  });

  it('ends a sequence whose constraint fails, and no other', async () => {
    const engine = setUp(createReferenceBackend()).engine();
    const fail = (): never => {
      throw new UserError('usage', 'too much');
    };
    const all = { allowed: () => new Uint8Array(11).fill(1), advance: () => {} };
    const results = [
      fail,
      () => ({ ...all, allowed: fail }),
      () => ({ ...all, advance: fail }),
      () => all,
    ].map((constraint) => collect(engine, { prompt: PROMPTS[0], constraint, maxTokens: 4 }).result);
    await finish(engine);
    expect(results.map(({ stop }) => stop).slice(0, 3)).toEqual(['failed', 'failed', 'failed']);
    expect(['eos', 'length']).toContain(results[3].stop);
    expect(engine.stats()).toMatchObject({ running: 0, waiting: 0, busyRows: 0 });
  });

  it('reads a long prompt in parts while others write', async () => {
    const on = setUp(createReferenceBackend(), { max_position_embeddings: 700 });
    const engine = on.engine(4, 2000);
    const long = Array.from({ length: 600 }, (_, i) => 3 + ((i * i) % 8));
    const { result, sequence } = collect(engine, {
      prompt: long,
      maxTokens: 2,
      topLogProbabilities: 1,
    });
    const short = collect(engine, {
      prompt: PROMPTS[0],
      maxTokens: 30,
      choosing: { ...plain, bias: new Map([[EOS, -100]]) },
    });
    await engine.step();
    await engine.step();
    expect(sequence.state).toBe('reading');
    expect(short.result.tokens.length).toBeGreaterThan(0);
    await finish(engine);
    const logits = await logitsOf(on, long);
    expect(result.drawn[0].logProbability).toBeCloseTo(
      logSoftmax(logits[599])[result.tokens[0]],
      10,
    );
  });
});

describe.each(['auto', 'portable', 'wasm'] as const)(
  'with a seed on the WASM backend (products: %s)',
  (products) => {
    /** Wide enough for products of several kinds. */
    const config = {
      hidden_size: 96,
      intermediate_size: 256,
      num_attention_heads: 6,
      head_dim: 16,
      vocab_size: 64,
    };
    const prompt = [1, 40, 17, 33, 8];
    const seeded = {
      prompt,
      maxTokens: 24,
      seed: 9,
      topLogProbabilities: 2,
      choosing: { ...plain, temperature: 1 },
    };

    it('has the same bits alone, in any company, in parts and from the cache', async () => {
      const on = setUp(await wasm(products), {
        ...config,
        max_position_embeddings: 400,
        initializer_range: 0.1,
      });
      const alone = on.engine(40, 3000, -1);
      const expected = collect(alone, seeded).result;
      await finish(alone);
      expect(expected.drawn.length).toBeGreaterThan(8);
      for (const company of [1, 7, 15, 16, 33]) {
        const engine = on.engine(40, 4000, -1);
        const others = Array.from({ length: company }, (_, i) =>
          collect(engine, {
            prompt: Array.from(
              { length: 1 + ((i * 37) % 90) },
              (__, j) => 3 + ((i * 5 + j * 11) % 60),
            ),
            seed: i % 3 === 0 ? null : i,
            maxTokens: 30,
          }),
        );
        for (let i = 0; i < company % 5; i++) await engine.step();
        const found = collect(engine, seeded).result;
        await finish(engine);
        const cached = collect(engine, { ...seeded, prompt }).result;
        await finish(engine);
        expect(found.drawn, `company of ${company}`).toEqual(expected.drawn);
        expect(cached.drawn, 'from the cache').toEqual(expected.drawn);
        expect(cached.use.cachedTokens).toBe(prompt.length - 1);
        expect(others.every(({ result }) => result.stop !== '')).toBe(true);
      }
      await on.backend.close();
    });
  },
);
