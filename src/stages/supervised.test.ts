import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { scoresOf } from '../models/testing.js';
import type { Backend } from '../tensor/backend.js';
import { createSupervised, supervisedSchema } from './supervised.js';
import { inRanks, lettersTask, tinyContext } from './testing.js';

const base = {
  steps: 20,
  batch: 4,
  optimizer: { lr: 0.02, muonLr: 0.05 },
  schedule: { kind: 'constant' },
};

/**
 * A context that writes down each example that is encoded: prompt and completion tokens, special
 * tokens included.
 */
async function watch() {
  const tiny = await tinyContext(lettersTask());
  const { bos, eos } = tiny.tokenizer.special;
  const texts: string[] = [];
  const tokenizer = {
    ...tiny.tokenizer,
    encode: (text: string) => {
      texts.push(text);
      return tiny.tokenizer.encode(text);
    },
  };
  /** Examples since the last call, as token ids. */
  const examples = (): { prompt: number[]; completion: number[] }[] => {
    const out: { prompt: number[]; completion: number[] }[] = [];
    for (let i = 0; i < texts.length; i += 2) {
      out.push({
        prompt: [bos, ...tiny.tokenizer.encode(texts[i])],
        completion: [...tiny.tokenizer.encode(texts[i + 1]), eos],
      });
    }
    texts.length = 0;
    return out;
  };
  return { tiny, context: { ...tiny, tokenizer }, examples };
}

describe('a supervised step', () => {
  it.each([
    { kind: 'sft', completionOnly: true },
    { kind: 'pretrain', completionOnly: false },
  ])('of $kind has the mean cross-entropy of what it predicts', async ({ completionOnly }) => {
    const { tiny, context, examples } = await watch();
    // Micro-batches of two examples: their parts must add up to the mean of the whole batch.
    const stage = await createSupervised(
      Object.assign(context, { microBatchTokens: 14 }),
      supervisedSchema.parse(base),
      completionOnly,
    );
    const start = await tiny.weights();
    const { values, tokensIn, tokensOut } = await stage.step(1);
    const trained = await tiny.weights();
    tiny.backend.write(tiny.model.store.flat, start);
    const scores: number[] = [];
    let read = 0;
    for (const { prompt, completion } of examples()) {
      scores.push(
        ...(await scoresOf(tiny, [...prompt, ...completion], completionOnly ? prompt.length : 1)),
      );
      read += prompt.length + completion.length - 1;
    }
    expect(values.loss).toBeCloseTo(-scores.reduce((sum, x) => sum + x, 0) / scores.length, 10);
    expect([tokensIn, tokensOut]).toEqual([read, 0]);
    expect(trained).not.toEqual(start);
  });

  it('learns: the loss falls', async () => {
    const { context } = await watch();
    const stage = await createSupervised(
      context,
      supervisedSchema.parse({ ...base, steps: 40, batch: 8 }),
      true,
    );
    const losses: number[] = [];
    for (let step = 1; step <= 40; step++) losses.push((await stage.step(step)).values.loss);
    const mean = (part: number[]): number => part.reduce((sum, x) => sum + x, 0) / part.length;
    expect(mean(losses.slice(0, 5))).toBeGreaterThan(1.5);
    expect(mean(losses.slice(-5))).toBeLessThan(0.8);
  });

  it('runs at the rate that the schedule says', async () => {
    const { context } = await watch();
    const schedule = { kind: 'wsd', warmup: 2, decay: 2, final: 0.5 };
    const stage = await createSupervised(
      context,
      supervisedSchema.parse({ ...base, steps: 4, schedule }),
      true,
    );
    const rates: number[] = [];
    for (let step = 1; step <= 4; step++) rates.push((await stage.step(step)).values.learning_rate);
    expect(rates.map((rate) => Math.round(rate * 1e6) / 1e6)).toEqual([0.01, 0.02, 0.015, 0.01]);
  });

  it('refuses an example with more tokens than the model has positions', async () => {
    const tiny = await tinyContext(lettersTask(), undefined, { max_position_embeddings: 4 });
    const stage = await createSupervised(
      tiny,
      supervisedSchema.parse({ ...base, batch: 40 }),
      true,
    );
    await expect(stage.step(1)).rejects.toThrow(
      /stage stage: an example has 7 tokens.*raise model.max_position_embeddings \(4\)/,
    );
  });
});

describe('examples from an earlier stage', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'reckoner-supervised-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('are each seen once an epoch, in another order every time', async () => {
    const { context, examples, tiny } = await watch();
    const letters = ['a', 'b', 'c', 'd', 'ab'];
    const lines = letters.map(
      (text) => `${JSON.stringify({ prompt: `${text}=`, completion: text })}\n`,
    );
    writeFileSync(join(folder, 'sample.jsonl'), lines.join(''));
    const options = supervisedSchema.parse({ ...base, batch: 2, from: 'sample' });
    const stage = await createSupervised({ ...context, dataFolder: folder }, options, true);
    for (let step = 1; step <= 15; step++) await stage.step(step);
    const seen = examples().map(({ completion }) => tiny.tokenizer.decode(completion));
    const epochs = Array.from({ length: 6 }, (_, e) => seen.slice(e * 5, e * 5 + 5));
    for (const epoch of epochs) expect([...epoch].sort()).toEqual([...letters].sort());
    expect(new Set(epochs.map(String)).size).toBeGreaterThan(1);

    // A stage that goes on at step 7 sees what it would have seen.
    const resumed = await createSupervised({ ...context, dataFolder: folder }, options, true);
    for (let step = 7; step <= 15; step++) await resumed.step(step);
    expect(examples().map(({ completion }) => tiny.tokenizer.decode(completion))).toEqual(
      seen.slice(12),
    );
  });

  it('must be there', async () => {
    const { context } = await watch();
    const make = () =>
      createSupervised(
        { ...context, dataFolder: folder },
        supervisedSchema.parse({ ...base, from: 'sample' }),
        true,
      );
    await expect(make()).rejects.toThrow(
      /sample\.jsonl is missing; stage sample must run before it/,
    );
    writeFileSync(join(folder, 'sample.jsonl'), '');
    await expect(make()).rejects.toThrow(/stage sample accepted no sample/);
  });
});

it('does the same on one rank, on two, and on more ranks than examples', async () => {
  const run = async (backend: Backend) => {
    const tiny = await tinyContext(lettersTask(), backend);
    const optimizer = { ...base.optimizer, epsilon: 0.01 };
    const stage = await createSupervised(
      tiny,
      supervisedSchema.parse({ ...base, batch: 3, optimizer }),
      true,
    );
    await backend.ranks.barrier();
    const { localBytes } = backend.memory();
    const values: Record<string, number>[] = [];
    for (let step = 1; step <= 3; step++) {
      const result = await stage.step(step);
      values.push({ ...result.values, tokensIn: result.tokensIn, flops: result.modelFlops });
    }
    expect(backend.memory().localBytes).toBe(localBytes);
    return { values, weights: await tiny.weights() };
  };
  const [one] = await inRanks(1, run);
  for (const worldSize of [2, 4]) {
    for (const rank of await inRanks(worldSize, run)) {
      for (const [k, values] of rank.values.entries()) {
        for (const [name, value] of Object.entries(values)) {
          expect(
            Math.abs(value - one.values[k][name]),
            `${name} on ${worldSize} ranks`,
          ).toBeLessThan(1e-4 * (1 + Math.abs(value)));
        }
      }
      expect(Math.max(...rank.weights.map((w, i) => Math.abs(w - one.weights[i])))).toBeLessThan(
        1e-3,
      );
    }
  }
});
