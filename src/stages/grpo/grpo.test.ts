import { describe, expect, it } from 'vitest';
import { scoresOf } from '../../models/testing.js';
import type { Problem } from '../../tasks/task.js';
import type { Backend } from '../../tensor/backend.js';
import { createReferenceBackend } from '../../tensor/backends/reference.js';
import { opensThinking } from '../../tokenizers/opening.js';
import { inRanks, lettersTask, type Tiny, tinyContext } from '../testing.js';
import { createGrpo } from './grpo.js';
import { grpoSchema, resolvePreset } from './options.js';

const MAX_TOKENS = 6;
const base = {
  steps: 10,
  prompts: 3,
  samples: 3,
  maxTokens: MAX_TOKENS,
  temperature: 0.8,
  loss: 'grpo',
  klCoefficient: 0,
  optimizer: { matrices: 'adamw', lr: 0.05, clip: 1e9 },
  schedule: { kind: 'constant' },
};

/** One completion as the test saw it go by, and what it was worth. */
interface Seen {
  prompt: number[];
  tokens: number[];
  reward: number;
}

/** One optimizer update as the backend saw it. */
interface Update {
  weights: Float64Array;
  gradient: Float64Array;
}

/** By a completion's text alone: 0, 0.5 or 1. */
const byText = (_problem: Problem, text: string): number =>
  ([...text].reduce((sum, c) => sum + c.charCodeAt(0), 0) % 3) / 2;

/**
 * A stage whose every group and every update is written down. What is sampled is seen where it is
 * graded, by the tokens that are decoded, so nothing here rests on how the stage draws or packs.
 */
async function stageUnderWatch(more: object, verify = byText, context: Partial<Tiny> = {}) {
  const updates: Update[] = [];
  const groups: Seen[][] = [];
  const prompts: number[][] = [];
  const plain = createReferenceBackend();
  let weightsOf: (() => Promise<Float64Array>) | null = null;
  const pending: Promise<void>[] = [];
  const backend: Backend = {
    ...plain,
    adamw(call) {
      const read = async (): Promise<void> => {
        // Both reads are made before the update changes anything.
        const both = await Promise.all([
          (weightsOf as () => Promise<Float64Array>)(),
          plain.read(call.gradient),
        ]);
        updates.push({ weights: both[0], gradient: Float64Array.from(both[1]) });
      };
      pending.push(read());
      plain.adamw(call);
    },
  };
  let rewardOf = 0;
  const task = lettersTask((problem, text) => {
    rewardOf = verify(problem, text);
    return rewardOf;
  });
  const tiny = { ...(await tinyContext(task, backend)), ...context };
  weightsOf = tiny.weights;
  const { special } = tiny.tokenizer;
  const options = resolvePreset(grpoSchema.parse({ ...base, ...more }));
  let graded = 0;
  const tokenizer: Tiny['tokenizer'] = {
    ...tiny.tokenizer,
    encode: (text) => {
      const ids = tiny.tokenizer.encode(text);
      prompts.push([special.bos, ...ids]);
      return ids;
    },
    decode: (ids) => {
      const cut = ids.length === options.maxTokens;
      const tokens = cut ? [...ids] : [...ids, special.eos];
      const group = Math.floor(graded / options.samples);
      const text = tiny.tokenizer.decode(ids);
      const silent = ids.some(
        (id) => id === special.pad || id === special.bos || id === special.eos,
      );
      const problem = {
        key: '',
        prompt: tiny.tokenizer.decode(prompts[group].slice(1)),
        data: null,
      };
      if (graded % options.samples === 0) groups.push([]);
      groups[group].push({
        prompt: prompts[group],
        tokens,
        reward: cut || silent ? 0 : verify(problem, text),
      });
      graded++;
      return text;
    },
  };
  const stage = await createGrpo({ ...tiny, tokenizer }, options);
  // It has looked at the alphabet, and grading looks once at what the template opens with.
  opensThinking(tokenizer, '');
  prompts.length = 0;
  return {
    tiny,
    options,
    updates,
    stage,
    /** Runs a step; gives what it reports, and the groups that it sampled. */
    async step(step: number) {
      const [before, updatesBefore] = [groups.length, updates.length];
      const result = await stage.step(step);
      await Promise.all(pending);
      return { ...result, groups: groups.slice(before), updates: updates.slice(updatesBefore) };
    },
  };
}

type Watched = Awaited<ReturnType<typeof stageUnderWatch>>;

/** Runs `body` with other weights. */
async function at<T>({ tiny }: Watched, weights: Float64Array, body: () => Promise<T>): Promise<T> {
  const now = await tiny.weights();
  tiny.backend.write(tiny.model.store.flat, weights);
  const result = await body();
  tiny.backend.write(tiny.model.store.flat, now);
  return result;
}

const mean = (values: readonly number[]): number =>
  values.reduce((sum, x) => sum + x, 0) / values.length;

/**
 * The loss of one update as the papers have it, as a function of the weights: GRPO's means over
 * groups, completions and tokens, or DAPO's over groups and their tokens, written as loops.
 */
async function lossByHand(
  watched: Watched,
  groups: readonly Seen[][],
  {
    old,
    reference,
    beta = 0,
    bySequence = false,
    counts = () => true,
  }: {
    old: Float64Array;
    reference?: Float64Array;
    beta?: number;
    bySequence?: boolean;
    counts?: (seen: Seen) => boolean;
  },
  perToken = false,
): Promise<(weights: Float64Array) => Promise<number>> {
  const { temperature } = watched.options;
  const clipHigh = perToken ? 0.28 : 0.2;
  const scores = (weights: Float64Array) =>
    at(watched, weights, async () => {
      const out: number[][][] = [];
      for (const group of groups) {
        const rows: number[][] = [];
        for (const { prompt, tokens } of group) {
          rows.push(
            await scoresOf(watched.tiny, [...prompt, ...tokens], prompt.length, temperature),
          );
        }
        out.push(rows);
      }
      return out;
    });
  const before = await scores(old);
  const ref = reference ? await scores(reference) : null;
  return async (weights) => {
    const now = await scores(weights);
    const losses = groups.map((group, g) => {
      const rewards = group.map(({ reward }) => reward);
      const spread = Math.sqrt(
        rewards.reduce((sum, r) => sum + (r - mean(rewards)) ** 2, 0) / (rewards.length - 1),
      );
      const perCompletion = group.map((seen, s) => {
        if (!counts(seen)) return [0];
        const advantage = (seen.reward - mean(rewards)) / (spread + 1e-4);
        const logRatios = now[g][s].map((logProbability, t) => logProbability - before[g][s][t]);
        return now[g][s].map((logProbability, t) => {
          const ratio = Math.exp(bySequence ? mean(logRatios) : logRatios[t]);
          const clipped = Math.min(Math.max(ratio, 1 - 0.2), 1 + clipHigh);
          const difference = ref ? ref[g][s][t] - logProbability : 0;
          return (
            -Math.min(ratio * advantage, clipped * advantage) +
            beta * (Math.exp(difference) - difference - 1)
          );
        });
      });
      return perToken ? mean(perCompletion.flat()) : mean(perCompletion.map(mean));
    });
    return mean(losses);
  };
}

/**
 * Compares the gradient of an update with central differences of the loss, at the three places
 * where it is largest and others.
 */
async function expectGradient(
  watched: Watched,
  update: Update,
  loss: (weights: Float64Array) => Promise<number>,
): Promise<void> {
  const { gradient, weights } = update;
  const largest = [...gradient.keys()]
    .sort((a, b) => Math.abs(gradient[b]) - Math.abs(gradient[a]))
    .slice(0, 3);
  const scale = Math.abs(gradient[largest[0]]);
  expect(scale).toBeGreaterThan(1e-4);
  for (const i of [...largest, 3, 150]) {
    const step = 1e-4;
    const moved = (by: number) => weights.map((w, j) => (j === i ? w + by : w));
    const slope = ((await loss(moved(step))) - (await loss(moved(-step)))) / (2 * step);
    expect(Math.abs(gradient[i] - slope) / scale).toBeLessThan(1e-5);
  }
  expect(watched.tiny.model.store.size).toBe(gradient.length);
}

describe('a step of GRPO', () => {
  it('has the gradient of the loss, whatever the micro-batches, and no KL yet', async () => {
    const whole = await stageUnderWatch({ klCoefficient: 0.3 });
    const result = await whole.step(1);
    const [{ weights }] = result.updates;
    expect(result.updates).toHaveLength(1);
    expect(result.groups.map((group) => group.length)).toEqual([3, 3, 3]);
    expect(new Set(result.groups.flat().map(({ reward }) => reward)).size).toBeGreaterThan(1);
    const loss = await lossByHand(whole, result.groups, {
      old: weights,
      reference: weights,
      beta: 0.3,
    });
    await expectGradient(whole, result.updates[0], loss);

    const { values } = result;
    expect(values.loss).toBeCloseTo(await loss(weights), 6);
    expect(values.kl_loss).toBeCloseTo(0, 10);
    expect(values.abs_log_ratio).toBeLessThan(1e-6);
    expect(values.clip_ratio).toBe(0);
    expect(values.reward).toBeCloseTo(mean(result.groups.flat().map(({ reward }) => reward)), 12);
    expect(values['completions/mean_length']).toBeCloseTo(
      mean(result.groups.flat().map(({ tokens }) => tokens.length)),
      12,
    );
    expect(values.grad_norm).toBeCloseTo(Math.hypot(...result.updates[0].gradient), 10);
    expect(values.entropy).toBeGreaterThan(0);
    expect(values.entropy).toBeLessThan(Math.log(whole.tiny.tokenizer.vocabularySize));

    const cut = await stageUnderWatch({ klCoefficient: 0.3 }, byText, { microBatchTokens: 12 });
    const again = await cut.step(1);
    expect(again.groups).toEqual(result.groups);
    const difference = again.updates[0].gradient.map((g, i) => g - result.updates[0].gradient[i]);
    expect(Math.hypot(...difference)).toBeLessThan(1e-10);
    expect(again.values.entropy).toBeCloseTo(values.entropy, 10);
  });

  it('pulls towards the policy of the first step once it has left it', async () => {
    const watched = await stageUnderWatch({ klCoefficient: 0.3 });
    const first = await watched.step(1);
    const second = await watched.step(2);
    const [{ weights }] = second.updates;
    const reference = first.updates[0].weights;
    const loss = await lossByHand(watched, second.groups, { old: weights, reference, beta: 0.3 });
    await expectGradient(watched, second.updates[0], loss);
    expect(second.values.kl_loss).toBeGreaterThan(1e-4);
    const without = await lossByHand(watched, second.groups, { old: weights });
    expect(second.values.loss - (await without(weights))).toBeCloseTo(
      0.3 * second.values.kl_loss,
      6,
    );
  });

  it('measures later minibatches against the policy that sampled, clipped', async () => {
    const watched = await stageUnderWatch({
      loss: 'dapo',
      resample: 0,
      prompts: 6,
      samples: 4,
      minibatches: 2,
      optimizer: { ...base.optimizer, lr: 0.2 },
    });
    const { updates, groups, values } = await watched.step(1);
    expect(updates).toHaveLength(2);
    const old = updates[0].weights;
    const halves = [groups.slice(0, 3), groups.slice(3)];
    const losses: number[] = [];
    for (const m of [0, 1]) {
      const loss = await lossByHand(watched, halves[m], { old }, true);
      await expectGradient(watched, updates[m], loss);
      losses.push(await loss(updates[m].weights));
    }
    expect(values.loss).toBeCloseTo(mean(losses), 6);
    expect(values.abs_log_ratio).toBeGreaterThan(0.01);
    expect(values.clip_ratio).toBeGreaterThan(0);
  });

  it('takes one ratio a sequence for GSPO', async () => {
    const watched = await stageUnderWatch({
      loss: 'gspo',
      prompts: 6,
      samples: 4,
      minibatches: 2,
      clipLow: 0.2,
      clipHigh: 0.2,
      optimizer: { ...base.optimizer, lr: 0.03 },
    });
    const { updates, groups, values } = await watched.step(1);
    const old = updates[0].weights;
    for (const m of [0, 1]) {
      const loss = await lossByHand(watched, groups.slice(3 * m, 3 * m + 3), {
        old,
        bySequence: true,
      });
      await expectGradient(watched, updates[m], loss);
    }
    expect(values.abs_log_ratio).toBeGreaterThan(0.01);
    // Of the first update alone: before it, the policy is the one that sampled.
    expect(values['sampling/sampling_logp_difference/mean']).toBeLessThan(1e-6);
  });

  it('makes the policy its own reference every so many steps', async () => {
    const watched = await stageUnderWatch({
      klCoefficient: 0.3,
      replaceReference: 2,
      optimizer: { ...base.optimizer, lr: 0.02 },
    });
    const steps = [
      await watched.step(1),
      await watched.step(2),
      await watched.step(3),
      await watched.step(4),
    ];
    const kl = steps.map(({ values }) => values.kl_loss);
    expect(kl[0]).toBeCloseTo(0, 10);
    expect(kl[1]).toBeGreaterThan(1e-5);
    expect(kl[2]).toBeCloseTo(0, 10);
    const [{ weights }] = steps[3].updates;
    const loss = await lossByHand(watched, steps[3].groups, {
      old: weights,
      reference: steps[2].updates[0].weights,
      beta: 0.3,
    });
    await expectGradient(watched, steps[3].updates[0], loss);
  });

  it('limits lengths by step, and leaves cut-off completions out of the loss but not out of the mean', async () => {
    const watched = await stageUnderWatch({
      maskTruncated: true,
      samples: 6,
      lengthSchedule: [{ fromStep: 2, maxTokens: 2 }],
    });
    const longest = ({ groups }: { groups: Seen[][] }) =>
      Math.max(...groups.flat().map(({ tokens }) => tokens.length));
    expect(longest(await watched.step(1))).toBe(MAX_TOKENS);
    const limited = await watched.step(2);
    expect(limited.values['completions/mean_length']).toBeLessThanOrEqual(2);
    expect(limited.values.max_completion_length).toBe(2);
    const whole = await stageUnderWatch({ maskTruncated: true, samples: 6 });
    const { groups, updates, values } = await whole.step(1);
    expect(values['completions/clipped_ratio']).toBeGreaterThan(0);
    expect(values['completions/clipped_ratio']).toBeLessThan(1);
    const { eos } = whole.tiny.tokenizer.special;
    const counts = ({ tokens }: Seen): boolean => tokens.at(-1) === eos;
    await expectGradient(
      whole,
      updates[0],
      await lossByHand(whole, groups, { old: updates[0].weights, counts }),
    );
  });

  it('adds the penalty of overlong completions to the reward', async () => {
    const watched = await stageUnderWatch({ overlong: { cacheTokens: 4, weight: 0.5 } });
    const { groups, values } = await watched.step(1);
    const { eos } = watched.tiny.tokenizer.special;
    const expected = groups.flat().map(({ tokens, reward }) => {
      const over = tokens.at(-1) === eos ? Math.max(0, tokens.length - 2) / 4 : 1;
      return reward - 0.5 * over;
    });
    expect(values.reward).toBeCloseTo(mean(expected), 12);
    expect(values.accuracy).toBeGreaterThanOrEqual(0);
  });

  it('leaves the weights alone when every group is silent', async () => {
    const watched = await stageUnderWatch({}, () => 0);
    const before = await watched.tiny.weights();
    const { values, updates } = await watched.step(1);
    expect(Math.hypot(...updates[0].gradient)).toBe(0);
    expect(values).toMatchObject({ frac_reward_zero_std: 1, reward: 0, accuracy: 0 });
    expect(await watched.tiny.weights()).toEqual(before);
  });

  it('draws another problem for a zero-advantage group, and drops the slot when that does not help', async () => {
    // Problems of one letter are silent.
    const verify = (problem: Problem, text: string): number =>
      problem.prompt.length === 2 ? 0 : byText(problem, text);
    const watched = await stageUnderWatch(
      { loss: 'dapo', prompts: 4, samples: 4, resample: 1 },
      verify,
    );
    let replaced = 0;
    let dropped = 0;
    for (let step = 1; step <= 4; step++) {
      const { groups, updates, values, tokensOut } = await watched.step(step);
      const hasSignal = (group: Seen[]): boolean =>
        group.some(({ reward }) => reward !== group[0].reward);
      const firstRound = groups.slice(0, 4);
      const secondRound = groups.slice(4);
      expect(secondRound).toHaveLength(firstRound.filter((group) => !hasSignal(group)).length);
      const chosen = [...firstRound];
      for (const [k, slot] of [0, 1, 2, 3].filter((s) => !hasSignal(firstRound[s])).entries())
        chosen[slot] = secondRound[k];
      const kept = chosen.filter(hasSignal);
      replaced += secondRound.filter(hasSignal).length;
      dropped += 4 - kept.length;
      if (kept.length > 0) {
        await expectGradient(
          watched,
          updates[0],
          await lossByHand(watched, kept, { old: updates[0].weights }, true),
        );
      }
      expect(values.frac_reward_zero_std).toBeCloseTo(
        groups.filter((group) => !hasSignal(group)).length / groups.length,
        12,
      );
      expect(tokensOut).toBe(groups.flat().reduce((sum, { tokens }) => sum + tokens.length, 0));
    }
    expect(replaced).toBeGreaterThan(0);
    expect(dropped).toBeGreaterThan(0);
  });

  it('samples with a draft on one rank as on two, from the policy itself, and says how many guesses stood', async () => {
    const latent = {
      model_type: 'deepseek_v3',
      q_lora_rank: null,
      kv_lora_rank: 4,
      qk_nope_head_dim: 4,
      qk_rope_head_dim: 2,
      v_head_dim: 4,
      n_routed_experts: 4,
      num_experts_per_tok: 2,
      moe_intermediate_size: 4,
      num_nextn_predict_layers: 1,
    };
    const options = resolvePreset(grpoSchema.parse({ ...base, prompts: 4, draft: 'mtp' }));
    const stepOn = async (backend: Backend) => {
      const tiny = await tinyContext(lettersTask(byText), backend, latent);
      return (await (await createGrpo(tiny, options)).step(1)).values;
    };
    const [alone] = await inRanks(1, stepOn);
    // What it says of its tokens' log-probabilities is what the training pass finds.
    expect(alone['sampling/sampling_logp_difference/mean']).toBeLessThan(1e-5);
    expect(alone.draft_acceptance_rate).toBeGreaterThan(0);
    expect(alone.draft_acceptance_rate).toBeLessThan(1);
    for (const values of await inRanks(2, stepOn)) {
      for (const name of ['reward', 'completions/mean_length', 'draft_acceptance_rate'])
        expect(values[name]).toBeCloseTo(alone[name], 12);
    }
  });

  it('counts the FLOPs of sampling, learning and the reference', async () => {
    const flops = async (more: object): Promise<number> =>
      (await (await stageUnderWatch(more)).step(1)).modelFlops;
    const [without, withReference] = [await flops({}), await flops({ klCoefficient: 0.1 })];
    const watched = await stageUnderWatch({});
    const { groups, tokensIn, tokensOut } = await watched.step(1);
    // One layer of width 8 and two heads of 4: 8 × (8 + 4 + 4 + 8) + 3 × 8 × 12 parameters; the
    // head is vocabulary × 8.
    const layer = 8 * 24 + 3 * 8 * 12;
    const head = watched.tiny.tokenizer.vocabularySize * 8;
    const keys = (from: number, to: number): number =>
      Array.from({ length: to - from }, (_, i) => from + i + 1).reduce((a, b) => a + b, 0);
    const forward = (from: number, to: number, headTokens: number): number =>
      2 * ((to - from) * layer + headTokens * head) + 4 * 2 * 4 * keys(from, to);
    let sampling = 0;
    let learning = 0;
    for (const group of groups) {
      const prompt = group[0].prompt.length;
      sampling += forward(0, prompt, group.length);
      for (const { tokens } of group) {
        sampling += forward(prompt, prompt + tokens.length - 1, tokens.length - 1);
        learning += forward(0, prompt + tokens.length - 1, tokens.length);
      }
    }
    expect(without).toBeCloseTo(sampling + 3 * learning, 6);
    expect(withReference).toBeCloseTo(sampling + 4 * learning, 6);
    const all = groups.flat();
    expect(tokensOut).toBe(all.reduce((sum, { tokens }) => sum + tokens.length, 0));
    const read = all.reduce(
      (sum, { prompt, tokens }) => sum + prompt.length + tokens.length - 1,
      0,
    );
    expect(tokensIn).toBe(groups.reduce((sum, group) => sum + group[0].prompt.length, 0) + read);
  });
});

it('does the same on one rank, on two, and on more ranks than prompts', async () => {
  const verify = (problem: Problem, text: string): number =>
    problem.prompt.length === 2 ? 0 : byText(problem, text);
  // A large epsilon: AdamW would otherwise make a whole step of a gradient that is rounding alone.
  const optimizer = { ...base.optimizer, epsilon: 0.01 };
  const options = resolvePreset(
    grpoSchema.parse({
      ...base,
      prompts: 3,
      minibatches: 2,
      resample: 1,
      klCoefficient: 0.1,
      optimizer,
    }),
  );
  const run = async (backend: Backend) => {
    const tiny = await tinyContext(lettersTask(verify), backend);
    const stage = await createGrpo(tiny, options);
    await backend.ranks.barrier();
    const { localBytes } = backend.memory();
    const values: Record<string, number>[] = [];
    for (let step = 1; step <= 2; step++) {
      const result = await stage.step(step);
      values.push({
        ...result.values,
        flops: result.modelFlops,
        tokensIn: result.tokensIn,
        tokensOut: result.tokensOut,
      });
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
        2e-3,
      );
    }
  }
});
