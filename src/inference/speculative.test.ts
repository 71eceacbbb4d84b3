import { afterEach, describe, expect, it, vi } from 'vitest';
import { createModel, type Model, parseModelConfig } from '../models/index.js';
import { logitsOf, logSoftmax, scoresOf } from '../models/testing.js';
import type { Backend } from '../tensor/backend.js';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { createWasmBackend } from '../tensor/backends/wasm/index.js';
import { Tape } from '../tensor/tape.js';
import type { Distribution } from './choose.js';
import {
  type Completion,
  createSampler,
  type GenerateOptions,
  type SamplerOptions,
} from './sampler.js';
import { acceptance, residual } from './speculative.js';

/** While it is set, it decides what every draw on the host gives. */
const oracle = vi.hoisted(() => ({
  pick: null as null | ((distribution: Distribution) => number),
}));
vi.mock(import('./choose.js'), async (original) => {
  const real = await original();
  return {
    ...real,
    pick: (distribution, uniform) => (oracle.pick ?? ((d) => real.pick(d, uniform)))(distribution),
  };
});
afterEach(() => {
  oracle.pick = null;
});

const EOS = 2;
const PROMPTS = [[1, 5, 6, 7], [1, 3], [1, 4, 4, 0, 3], [5]];
const options: GenerateOptions = { samples: 3, maxTokens: 9, temperature: 0.7, key: ['test', 4] };
const config = {
  model_type: 'deepseek_v3',
  vocab_size: 8,
  hidden_size: 8,
  intermediate_size: 12,
  num_hidden_layers: 2,
  num_attention_heads: 2,
  q_lora_rank: 5,
  kv_lora_rank: 6,
  qk_nope_head_dim: 4,
  qk_rope_head_dim: 2,
  v_head_dim: 3,
  n_routed_experts: 4,
  num_experts_per_tok: 2,
  moe_intermediate_size: 5,
  first_k_dense_replace: 1,
  num_nextn_predict_layers: 1,
  max_position_embeddings: 64,
  initializer_range: 0.4,
};

function setUp(backend: Backend = createReferenceBackend(), more: object = {}) {
  const model = createModel(backend, parseModelConfig({ ...config, ...more }));
  model.store.initialize(3);
  const sampler = (limits: Partial<SamplerOptions> = {}) =>
    createSampler(backend, model, {
      capacity: 64,
      maxPrompt: 6,
      maxTokens: 9,
      eos: EOS,
      draft: 'mtp',
      ...limits,
    });
  return { backend, model, sampler };
}

const tokensOf = (completions: readonly Completion[]) => completions.map(({ tokens }) => tokens);

/**
 * What the module says, of a whole sequence at once, about the token after each but the first: [N −
 * 1][vocabulary].
 */
async function furtherLogits(
  backend: Backend,
  model: Model,
  tokens: readonly number[],
): Promise<number[][]> {
  const upload = (data: readonly number[]) => {
    const tensor = backend.allocate('i32', [data.length]);
    backend.write(tensor, data);
    return tensor;
  };
  const n = tokens.length - 1;
  const input = { positions: upload(tokens.slice(1).map((_, i) => i)), segments: upload([0, n]) };
  const tape = new Tape(backend, false);
  const hidden = model.forward(tape, { ...input, ids: upload(tokens.slice(0, -1)) });
  const states = model.predictor?.forward(tape, hidden, upload(tokens.slice(1)), input);
  const logits = backend.allocate('f32', [n, 8]);
  backend.matmul({ out: logits, a: states?.value as never, b: model.head.value, transposeB: true });
  const flat = [...(await backend.read(logits))];
  return Array.from({ length: n }, (_, i) => flat.slice(8 * i, 8 * i + 8));
}

describe('a guess', () => {
  it('leaves the distribution as it is, whatever it was drawn from', () => {
    const of = (...weights: number[]): Distribution => ({
      weights: Float64Array.from(weights),
      total: weights.reduce((a, b) => a + b),
    });
    const cases: [Distribution, Distribution][] = [
      [of(4, 3, 2, 1), of(1, 1, 1, 1)],
      [of(0, 5, 5, 0), of(7, 1, 1, 1)],
      [of(1, 2, 3, 4), of(10, 20, 30, 40)],
      [of(0, 0, 1, 0), of(0, 1, 0, 0)],
      [of(0.2, 0.2, 0, 0.6), of(0, 0.5, 0.5, 0)],
    ];
    for (const [p, q] of cases) {
      const out = [0, 0, 0, 0];
      const rest = residual(p, q);
      for (let x = 0; x < 4; x++) {
        const drawn = q.weights[x] / q.total;
        if (drawn === 0) continue;
        const stands = acceptance(p, q, x);
        out[x] += drawn * stands;
        for (let y = 0; y < 4; y++) out[y] += drawn * (1 - stands) * (rest.weights[y] / rest.total);
      }
      for (const [v, x] of out.entries()) expect(x).toBeCloseTo(p.weights[v] / p.total, 12);
    }
  });

  // Every way that a generation can go, by the sampler itself: each guess, whether it stands, and
  // each draw.
  it('of eight tokens: all outcomes together are the distribution of plain sampling', async () => {
    const { backend, model, sampler } = setUp();
    const mark = backend.mark();
    const found = new Map<string, number>();
    let runs = 0;
    let first = -1;
    const path: { choice: number; probabilities: number[] }[] = [];
    do {
      let depth = 0;
      oracle.pick = ({ weights, total }) => {
        if (depth === path.length) {
          const probabilities = [...weights].map((w) => w / total);
          path.push({ choice: probabilities.findIndex((p) => p > 0), probabilities });
        }
        return path[depth++].choice;
      };
      const [{ tokens, drafts }] = await sampler({ capacity: 1 }).generate([PROMPTS[0]], {
        ...options,
        samples: 1,
        maxTokens: 3,
      });
      backend.release(mark);
      runs++;
      first = tokens[0];
      const probability = path.reduce(
        (product, { choice, probabilities }) => product * probabilities[choice],
        1,
      );
      const key = tokens.slice(1).join();
      found.set(key, (found.get(key) ?? 0) + probability);
      expect(drafts?.offered).toBe(1);
      // On to the next way: the last choice that has another.
      for (;;) {
        const end = path.at(-1);
        if (!end) break;
        end.choice = end.probabilities.findIndex((p, v) => v > end.choice && p > 0);
        if (end.choice >= 0) break;
        path.pop();
      }
    } while (path.length > 0);
    oracle.pick = null;
    // A guess; where it stands, one of 8 after it; where it falls, one of those that q gives too
    // little, and one of 8 again.
    expect(runs).toBeGreaterThan(100);

    const begun = [...PROMPTS[0], first];
    const expected = new Map<string, number>();
    const next = async (tokens: readonly number[]) =>
      logSoftmax((await logitsOf({ backend, model }, tokens)).at(-1) as number[], 0.7).map(
        Math.exp,
      );
    for (const [a, p] of (await next(begun)).entries()) {
      if (a === EOS) expected.set(`${a}`, p);
      else
        for (const [b, q] of (await next([...begun, a])).entries())
          expected.set(`${a},${b}`, p * q);
    }
    expect([...found.keys()].sort()).toEqual([...expected.keys()].sort());
    for (const [key, probability] of expected)
      expect(Math.abs((found.get(key) as number) - probability)).toBeLessThan(1e-6);
  });
});

describe('sampling with a draft', () => {
  it.each([{}, { q_lora_rank: null, first_k_dense_replace: 0 }])(
    'has the log-probabilities of a whole forward pass, for %o',
    async (more) => {
      const on = setUp(createReferenceBackend(), more);
      const completions = await on.sampler().generate(PROMPTS, options);
      for (const { prompt, tokens, logProbabilities } of completions) {
        const expected = await scoresOf(
          on,
          [...PROMPTS[prompt], ...tokens],
          PROMPTS[prompt].length,
          0.7,
        );
        expect(logProbabilities).toHaveLength(tokens.length);
        for (const [i, value] of logProbabilities.entries())
          expect(value).toBeCloseTo(expected[i], 10);
      }
      const drafts = completions.map((c) => c.drafts as NonNullable<Completion['drafts']>);
      const sum = (name: 'offered' | 'accepted'): number =>
        drafts.reduce((total, d) => total + d[name], 0);
      expect(sum('accepted')).toBeGreaterThan(0);
      expect(sum('accepted')).toBeLessThan(sum('offered'));
    },
  );

  it('draws the same whatever else is in the batch, and ends as plain sampling does', async () => {
    const { sampler } = setUp();
    const ended: Completion[] = [];
    const drawn: number[] = [];
    const together = await sampler().generate(PROMPTS, {
      ...options,
      samples: 8,
      onCompletion: (completion) => ended.push(completion),
      onToken: (_prompt, _sample, token) => drawn.push(token),
    });
    expect(new Set(ended)).toEqual(new Set(together));
    expect(drawn.sort()).toEqual(tokensOf(together).flat().sort());
    for (const capacity of [1, 3, 5]) {
      expect(
        await sampler({ capacity }).generate(PROMPTS, { ...options, samples: 8 }),
      ).toMatchObject(together.map(({ tokens, drafts, stop }) => ({ tokens, drafts, stop })));
    }
    for (const { tokens, stop } of together) {
      expect(tokens.length).toBeLessThanOrEqual(9);
      expect(tokens.indexOf(EOS)).toBe(stop === 'eos' ? tokens.length - 1 : -1);
      if (stop === 'length') expect(tokens).toHaveLength(9);
    }
    expect(new Set(together.map(({ stop }) => stop)).size).toBe(2);
  });

  it('is greedy at temperature 0 and guesses what the module says of the whole sequence, on both backends', async () => {
    const wasm = await createWasmBackend({
      sharedBytes: 1 << 20,
      localBytes: 1 << 24,
      products: 'wasm',
      build: 'plain',
    });
    for (const backend of [createReferenceBackend(), wasm]) {
      const { model, sampler } = setUp(backend);
      const greedy = { ...options, samples: 1, temperature: 0, key: [] };
      const plain = await sampler({ draft: undefined }).generate(PROMPTS, greedy);
      const drafted = await sampler().generate(PROMPTS, greedy);
      expect(tokensOf(drafted)).toEqual(tokensOf(plain));
      for (const { prompt, tokens, logProbabilities, drafts } of drafted) {
        for (const [i, value] of plain[prompt].logProbabilities.entries())
          expect(logProbabilities[i]).toBeCloseTo(value, 4);
        const whole = [...PROMPTS[prompt], ...tokens];
        const guesses = (await furtherLogits(backend, model, whole)).map((row) =>
          row.indexOf(Math.max(...row)),
        );
        let [offered, accepted] = [0, 0];
        for (let i = 1; i < tokens.length && i + 2 <= options.maxTokens; i++) {
          offered++;
          const place = PROMPTS[prompt].length + i;
          if (guesses[place - 2] !== whole[place]) continue;
          accepted++;
          i++;
        }
        expect(drafts).toEqual({ offered, accepted });
      }
    }
  });

  it('is refused for a model that looks no further', () => {
    const { sampler } = setUp(createReferenceBackend(), { num_nextn_predict_layers: 0 });
    expect(() => sampler()).toThrow(/^draft: "mtp" needs a model with num_nextn_predict_layers: 1/);
  });
});
