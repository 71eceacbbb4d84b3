import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { foundationHere } from '../checkpoints/snapshot.js';
import { tinyConfig } from '../models/testing.js';
import { surveyRecipe } from '../plan/recipe-work.js';
import { LocalEngine } from '../policy/local/engine.js';
import type { Datum, Policy } from '../policy/policy.js';
import { loadRecipe, parseRecipe, resolveRecipe, trainableRecipes } from '../recipe/index.js';
import type { Facts, Texts } from '../stages/facts.js';
import { kindOf, stageKinds } from '../stages/index.js';
import { noTotals, type Totals, totalsOf } from '../stages/totals.js';
import type { Course } from '../stages/work.js';
import { inRanks } from '../training/testing.js';
import { runProgram } from './rank-loop.js';

// Plans price `work()`, and `train` runs `create().step()`: the tests hold each to the other. Counts
// are taken at the policy that a stage talks to; tokens and FLOPs are those that the run loop reports
// for the log.

// A model of random weights is hardly ever right, and would leave nothing to imitate.
vi.mock('../training/grade.js', async (original) => {
  const module = await original<typeof import('../training/grade.js')>();
  const grade: typeof module.grade = async (...of) => {
    const graded = await module.grade(...of);
    return { ...graded, verdict: { ...graded.verdict, correct: true } };
  };
  return { ...module, grade };
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-work-'));
});
afterEach(() => {
  vi.restoreAllMocks();
  rmSync(folder, { recursive: true, force: true });
});

interface Sequence {
  prompt: number;
  completion: number;
}

/** What one step of a stage did. */
interface Step {
  totals: Totals;
  /** Of rollouts, and of training passes. */
  sampled: Sequence[];
  trained: Sequence[];
}

const emptyStep = (): Step => ({ totals: noTotals(), sampled: [], trained: [] });

/** Counts what stages ask of the policies that the engine opens. */
function watchPolicies(step: () => Step): void {
  const open = LocalEngine.prototype.open;
  const lengthsOf = ({ tokens, predictFrom }: Datum): Sequence => {
    // A stage that predicts every token does not tell its prompt from the rest.
    return { prompt: predictFrom, completion: tokens.length - predictFrom };
  };
  vi.spyOn(LocalEngine.prototype, 'open').mockImplementation(async function (
    this: LocalEngine,
    ...of
  ): Promise<Policy> {
    const policy = await open.apply(this, of);
    const { sample, pass, step: update } = policy;
    policy.sample = async (request) => {
      const result = await sample.call(policy, request);
      const { totals, sampled } = step();
      totals.prompts += request.prompts.length;
      totals.completions += result.completions.length;
      for (const { prompt, tokens } of result.completions)
        sampled.push({ prompt: request.prompts[prompt].length, completion: tokens.length });
      return result;
    };
    policy.pass = (data, loss) => {
      step().totals.sequences += data.length;
      step().trained.push(...data.map(lengthsOf));
      return pass.call(policy, data, loss);
    };
    policy.step = (...of) => {
      step().totals.updates++;
      return update.apply(policy, of);
    };
    return policy;
  });
}

/** Runs a recipe; what each step of each stage did on rank 0, and what it reported of all. */
async function trained(recipe: object, workers = 1): Promise<Step[][]> {
  const parsed = parseRecipe(recipe, 'recipe.json');
  const done: Step[][] = [];
  let now = emptyStep();
  watchPolicies(() => now);
  const [outcome] = await inRanks(workers, (backend) => {
    const { fingerprint, ranks } = backend;
    const known = { version: '0', recipeHash: '', seed: 1, workers, fingerprint };
    const job = {
      rank: ranks.rank,
      backend: { kind: 'reference', fingerprint } as const,
      recipe: parsed,
      runFolder: join(folder, `${parsed.name}-${workers}`),
      attempt: 0,
      resumeFrom: null,
      fromStage: null,
      foundation: foundationHere(known),
      control: new SharedArrayBuffer(4),
    };
    return runProgram(job, backend, {
      send(message) {
        if (message.kind === 'event' && message.event.type === 'stage-started') done.push([]);
        if (message.kind !== 'spent') return;
        const { tokensIn, tokensOut, modelFlops } = message;
        Object.assign(now.totals, { tokensIn, tokensOut, modelFlops });
        done.at(-1)?.push(now);
        now = emptyStep();
      },
      flush: async () => {},
    });
  });
  vi.restoreAllMocks();
  expect(outcome.reason).toBe('completed');
  return done;
}

const reported = (steps: readonly Step[]): Totals =>
  steps.reduce((sum, { totals }) => {
    for (const key of Object.keys(sum) as (keyof Totals)[]) sum[key] += totals[key];
    return sum;
  }, noTotals());

const mean = (values: readonly number[]): number =>
  values.reduce((sum, value) => sum + value, 0) / values.length;

const sameAlways = <T>(values: readonly T[]): Course<T> => ({
  expected: values,
  short: values,
  long: values,
});

/** The lengths that a stage met, one list a step, as facts for `work()`. */
function textsOf(steps: readonly Sequence[][]): Texts {
  const met = steps.filter((sequences) => sequences.length > 0);
  const all = met.flat();
  return {
    promptTokens: mean(all.map(({ prompt }) => prompt)),
    completionTokens: {
      mean: mean(all.map(({ completion }) => completion)),
      each: sameAlways(met.map((some) => ({ empirical: some.map((one) => one.completion) }))),
    },
  };
}

type Given = Pick<Facts, 'adapter' | 'predictsFurther'>;

/** What a stage met. @param zeroAdvantage share of groups without signal */
const factsOf = (steps: readonly Step[], given: Given, zeroAdvantage = 0): Facts => ({
  ...given,
  examples: () => textsOf(steps.map((step) => step.trained)),
  sampling: () => ({
    ...textsOf(steps.map((step) => step.sampled)),
    zeroAdvantage: () => sameAlways([zeroAdvantage]),
  }),
});

type Length = 'prompt' | 'completion';

/** The same facts with every length the shortest, or the longest, that a stage met. */
function atEnd(facts: Facts, steps: readonly Step[], end: 'min' | 'max'): Facts {
  const all = (key: 'sampled' | 'trained', of: Length): number =>
    Math[end](...steps.flatMap((step) => step[key]).map((one) => one[of]));
  const texts = (key: 'sampled' | 'trained'): Texts => ({
    promptTokens: all(key, 'prompt'),
    completionTokens: {
      mean: all(key, 'completion'),
      each: sameAlways([all(key, 'completion')]),
    },
  });
  return {
    ...facts,
    examples: () => texts('trained'),
    sampling: (question) => ({ ...facts.sampling(question), ...texts('sampled') }),
  };
}

/** Every figure of `actual`, equal to 12 digits: sums are in another order. */
function expectEqual(actual: Totals, predicted: Totals, where: string): void {
  for (const [name, value] of Object.entries(actual)) {
    const other = predicted[name as keyof Totals];
    const off = Math.abs(value - other) / Math.max(1, Math.abs(value));
    expect(off, `${where}: ${name}: train ${value}, work() ${other}`).toBeLessThan(1e-12);
  }
}

interface Compared {
  /** A stage as `recipe: stage`. */
  where: string;
  kind: string;
  steps: Step[];
  /** What `work()` gives for facts, in all. */
  predict(of: (given: Given) => Facts): Totals;
}

/** A recipe trained, and what `work()` gives for its stages. */
async function compared(recipe: object): Promise<Compared[]> {
  const done = await trained(recipe);
  const resolved = resolveRecipe(parseRecipe(recipe, 'recipe.json'));
  const { stages } = surveyRecipe(resolved);
  return stages.map(({ id, kind, models }, i) => {
    const spec = resolved.recipe.stages[i];
    const predictsFurther = (models.architectures.stage?.mtpLayers ?? 0) > 0;
    const given = { adapter: resolved.recipe.adapter !== undefined, predictsFurther };
    return {
      where: `${resolved.recipe.name}: ${id}`,
      kind,
      steps: done[i],
      predict: (of) => totalsOf(kindOf(spec).work(spec, of(given)), models),
    };
  });
}

const constant = { kind: 'constant' };
const optimizer = { matrices: 'adamw', lr: 0.001 };
const batch = { steps: 3, batch: 4, optimizer, schedule: constant };
const rollout = { steps: 4, prompts: 3, samples: 4, maxTokens: 12, optimizer, schedule: constant };
const few = { ...rollout, prompts: 2, samples: 2 };
const llama = { ...tinyConfig, num_key_value_heads: 2, max_position_embeddings: 200 };
/** Latent attention, experts, and a module of multi-token prediction. */
const deepseek = {
  model_type: 'deepseek_v3',
  hidden_size: 8,
  intermediate_size: 12,
  moe_intermediate_size: 4,
  num_hidden_layers: 2,
  first_k_dense_replace: 1,
  n_routed_experts: 4,
  num_experts_per_tok: 2,
  n_shared_experts: 1,
  num_attention_heads: 2,
  q_lora_rank: 4,
  kv_lora_rank: 4,
  qk_nope_head_dim: 4,
  qk_rope_head_dim: 2,
  v_head_dim: 4,
  num_nextn_predict_layers: 1,
  max_position_embeddings: 200,
  initializer_range: 0.4,
};

/** Every kind, with each of the options that change what a stage does. */
const everyKind = [
  { id: 'pretrain', kind: 'pretrain', ...batch },
  { id: 'plain', kind: 'sft', ...batch, mtpWeight: 0 },
  { id: 'sft', kind: 'sft', ...batch },
  { id: 'sample', kind: 'rejection-sample', steps: 2, prompts: 3, samples: 2, maxTokens: 12 },
  { id: 'imitate', kind: 'sft', ...batch, from: 'sample' },
  { id: 'grpo', kind: 'grpo', ...rollout },
  { id: 'dapo', kind: 'grpo', ...rollout, loss: 'dapo', resample: 0 },
  { id: 'kl', kind: 'grpo', ...rollout, klCoefficient: 0.1, replaceReference: 2, minibatches: 2 },
  { id: 'gspo', kind: 'grpo', ...rollout, loss: 'gspo', overlong: { cacheTokens: 4 } },
  { id: 'eval', kind: 'eval', problems: 3, samples: 2, passAt: 1, maxTokens: 12 },
  { id: 'sampled', kind: 'eval', problems: 3, samples: 2, passAt: 1, greedy: false, maxTokens: 12 },
  {
    id: 'student',
    kind: 'distill',
    ...batch,
    teacher: { from: 'sft' },
    sampling: { steps: 2, prompts: 3, samples: 2, maxTokens: 12 },
    model: { ...llama, num_hidden_layers: 2 },
  },
];
const drafted = { id: 'drafted', kind: 'grpo', ...rollout, draft: 'mtp' };

/** Every prompt has equally many tokens, so that lengths of completions say all. */
const task = { name: 'sums', maximum: 9, terms: [2, 2] };
const dense = { name: 'dense', model: llama, task, stages: everyKind };
const experts = {
  ...dense,
  name: 'experts',
  model: deepseek,
  recompute: true,
  stages: [drafted, ...everyKind],
};

async function expectExact(recipe: object, zeroAdvantage = 0): Promise<Compared[]> {
  const all = await compared(recipe);
  for (const { where, steps, predict } of all)
    expectEqual(
      reported(steps),
      predict((given) => factsOf(steps, given, zeroAdvantage)),
      where,
    );
  return all;
}

describe('train reports what work() predicts, exactly where lengths are given', () => {
  it('in every kind of the table', () => {
    expect(new Set(everyKind.map(({ kind }) => kind))).toEqual(new Set(Object.keys(stageKinds)));
  });

  it.each([dense, experts])(
    '$name: every kind',
    async (recipe) => {
      await expectExact(recipe);
    },
    60_000,
  );

  it('under an adapter', async () => {
    await trained({ ...dense, stages: everyKind.slice(0, 1) });
    await expectExact({
      name: 'adapter',
      task,
      init: { from: join(folder, 'dense-1', 'model') },
      adapter: { kind: 'lora', rank: 2, alpha: 4, targets: 'all-linear' },
      stages: everyKind.filter(({ id }) => ['sft', 'grpo', 'eval'].includes(id)),
    });
    const kl = { id: 'kl', kind: 'grpo', ...rollout, klCoefficient: 0.1 };
    await expectExact({
      name: 'adapter-kl',
      task,
      init: { from: join(folder, 'dense-1', 'model') },
      adapter: { kind: 'lora', rank: 2, alpha: 4, targets: 'all-linear' },
      stages: [kl],
    });
  }, 60_000);

  it('where completions that were cut off are left out', async () => {
    const masked = { kind: 'grpo', ...few, maskTruncated: true };
    const lengthSchedule = [
      { fromStep: 1, maxTokens: 4 },
      { fromStep: 3, maxTokens: 8 },
    ];
    // With this seed no completion ends just at its limit, which its length would not tell.
    const stages = await expectExact({
      ...dense,
      seed: 2,
      stages: [
        { id: 'masked', ...masked },
        { id: 'limited', ...masked, lengthSchedule },
      ],
    });
    for (const { steps } of stages) {
      const { sequences, completions } = reported(steps);
      expect(sequences).toBeGreaterThan(0);
      expect(sequences).toBeLessThan(completions);
    }
  });

  it('where groups without signal are replaced', async () => {
    const resample = { kind: 'grpo', ...rollout, resample: 2, klCoefficient: 0.1 };
    const never = { ...dense, stages: [{ id: 'never', ...resample }] };
    const [{ steps }] = await expectExact(never, 1);
    expect(reported(steps)).toMatchObject({ prompts: 3 * 3 * 4, sequences: 0, updates: 4 });
    // Rewards fall with every token, so the completions of a group hardly ever earn the same.
    const long = { maxTokens: 120, overlong: { cacheTokens: 120 } };
    const always = { ...dense, stages: [{ id: 'always', ...resample, ...long }] };
    const [{ steps: learned }] = await expectExact(always, 0);
    expect(reported(learned)).toMatchObject({ prompts: 3 * 4, sequences: 3 * 4 * 4 });
  });

  it('on two ranks together as on one', async () => {
    const of = (done: Step[][]) =>
      done.map((steps) => {
        const { tokensIn, tokensOut, modelFlops } = reported(steps);
        return { tokensIn, tokensOut, modelFlops };
      });
    const one = of(await trained(dense));
    expect(of(await trained(dense, 2))).toEqual(one);
  }, 60_000);
});

/** A shipped recipe with a tiny model, few steps and small batches. */
function shrunk(name: string): object {
  const { description: _, ...recipe } = loadRecipe(name);
  const tiny = (model: Record<string, unknown>) =>
    model.model_type === 'deepseek_v3' ? deepseek : { ...llama, max_position_embeddings: 256 };
  const limits: Record<string, number> = {
    steps: 4,
    batch: 4,
    prompts: 3,
    samples: 3,
    problems: 3,
  };
  const smaller = (spec: Record<string, unknown>): Record<string, unknown> => ({
    ...spec,
    ...Object.fromEntries(
      Object.entries(limits).flatMap(([field, most]) =>
        field in spec ? [[field, Math.min(Number(spec[field]), most)]] : [],
      ),
    ),
    ...('schedule' in spec ? { schedule: constant } : {}),
    ...('lengthSchedule' in spec
      ? {
          lengthSchedule: [
            { fromStep: 1, maxTokens: 32 },
            { fromStep: 3, maxTokens: 48 },
          ],
        }
      : {}),
    ...('replaceReference' in spec ? { replaceReference: 2 } : {}),
    ...('passAt' in spec ? { passAt: 1 } : {}),
    ...('sampling' in spec ? { sampling: smaller(spec.sampling as Record<string, unknown>) } : {}),
    ...('model' in spec ? { model: tiny(spec.model as Record<string, unknown>) } : {}),
  });
  return { ...recipe, model: tiny(recipe.model), stages: recipe.stages.map(smaller) };
}

describe('train reports what work() predicts, within the lengths that were sampled', () => {
  it.each(trainableRecipes())(
    '%s',
    async (name) => {
      for (const { where, steps, predict } of await compared(shrunk(name))) {
        const actual = reported(steps);
        const of = (end: 'min' | 'max') =>
          predict((given) => atEnd(factsOf(steps, given), steps, end));
        const [least, most] = [of('min'), of('max')];
        for (const figure of ['tokensIn', 'tokensOut', 'modelFlops'] as const) {
          expect(actual[figure], `${where}: ${figure}`).toBeGreaterThanOrEqual(least[figure]);
          expect(actual[figure], `${where}: ${figure}`).toBeLessThanOrEqual(most[figure]);
        }
        // Tokens are linear in lengths, so their means tell them; counts do not depend on lengths.
        const { modelFlops: _, ...rest } = actual;
        const met = predict((given) => factsOf(steps, given));
        expectEqual({ ...rest, modelFlops: met.modelFlops }, met, where);
      }
    },
    120_000,
  );
});
