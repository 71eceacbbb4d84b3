import { describe, expect, it } from 'vitest';
import { Random } from '../../base/random.js';
import { parsePriceBook, parsePricedPlan, statementOfPlan } from '../../ledger/index.js';
import { loadRecipe, parseRecipe, resolveRecipe } from '../../recipe/index.js';
import { createTask } from '../../tasks/index.js';
import { createWasmBackend } from '../../tensor/backends/wasm/index.js';
import { createCharacterTokenizer } from '../../tokenizers/character.js';
import { drawLength, surveyLengths } from '../lengths.js';
import { planDocument } from '../schema.js';
import { calibrateRank, type Measured } from './calibrate.js';
import type { LocalCalibration } from './calibration.js';
import { between } from './clock.js';
import { LOCAL_GPU, predictLocal } from './local-plan.js';
import { describeRecipe } from './local-work.js';

const mean = (values: readonly number[]): number =>
  values.reduce((sum, x) => sum + x, 0) / values.length;

describe('lengths', () => {
  function lengthsAfter(
    name: string,
    maxTokens: number,
    experience: 'imitation' | 'reinforcement' | 'none',
  ): number {
    const task = createTask({ name });
    const lengths = surveyLengths(task, createCharacterTokenizer(task.alphabet), 1, null);
    const random = new Random(1);
    const limits = { maxTokens, vocabulary: 20 };
    return mean(
      Array.from({ length: 2000 }, () => drawLength(lengths, experience, 0, limits, random)),
    );
  }

  it('of sums grow to those of worked answers: wrong demonstrations did not try', () => {
    const before = lengthsAfter('sums', 64, 'imitation');
    const after = lengthsAfter('sums', 64, 'reinforcement');
    expect(after / before).toBeGreaterThan(1.3);
    expect(after / before).toBeLessThan(2);
  });

  it('of countdown grow beyond any demonstration: wrong ones gave up', () => {
    const before = lengthsAfter('countdown', 160, 'imitation');
    const after = lengthsAfter('countdown', 160, 'reinforcement');
    expect(after).toBeGreaterThan(1.8 * before);
    // Never beyond the limit.
    expect(lengthsAfter('countdown', 60, 'reinforcement')).toBeLessThanOrEqual(60);
  });

  it('of an untrained model: the end comes as often as any token', () => {
    expect(lengthsAfter('sums', 1000, 'none')).toBeCloseTo(20, -1);
    expect(lengthsAfter('sums', 5, 'none')).toBeLessThan(5);
  });
});

const tiny = parseRecipe(
  {
    name: 'tiny',
    seed: 7,
    model: {
      model_type: 'llama',
      hidden_size: 16,
      intermediate_size: 24,
      num_hidden_layers: 1,
      num_attention_heads: 2,
      max_position_embeddings: 48,
    },
    task: { name: 'sums', maximum: 9, terms: [2, 3] },
    checkpoints: { every: 3, keep: 2 },
    stages: [
      { id: 'sft', kind: 'sft', steps: 12, batch: 16, schedule: { kind: 'constant' } },
      { id: 'before', kind: 'eval', problems: 6, samples: 2, maxTokens: 24 },
      {
        id: 'grpo',
        kind: 'grpo',
        steps: 4,
        prompts: 4,
        samples: 4,
        maxTokens: 24,
        klCoefficient: 0.05,
        minibatches: 2,
        resample: 1,
        optimizer: { matrices: 'adamw' },
        schedule: { kind: 'constant' },
      },
      { id: 'sample', kind: 'rejection-sample', steps: 2, prompts: 8, samples: 4, maxTokens: 24 },
      {
        id: 'again',
        kind: 'sft',
        from: 'sample',
        steps: 5,
        batch: 8,
        schedule: { kind: 'cosine' },
      },
    ],
  },
  'tiny.json',
);

describe('describeRecipe', () => {
  it('counts checkpoints, updates and work of the busiest rank', () => {
    const { stages } = describeRecipe(resolveRecipe(tiny), 2);
    expect(
      stages.map(({ id, checkpoints, parts }) => [
        id,
        checkpoints,
        ...(['updates', 'problems', 'grades'] as const).map((key) =>
          parts.reduce((sum, { local }) => sum + local[key], 0),
        ),
      ]),
    ).toEqual([
      ['sft', 4, 1, 8, 0],
      // Samples, and greedy completions of the same problems.
      ['before', 1, 0, 6, 9],
      ['grpo', 2, 2, 2, 8],
      ['sample', 1, 0, 4, 16],
      ['again', 2, 1, 0, 0],
    ]);
    // A rollout, the reference policy, and the policy itself.
    expect(stages[2].parts).toHaveLength(3);
    expect(stages[2].parts[1].local.expected.scoredTokens).toBeGreaterThan(0);
  });

  it('predicts the tokens of the shipped recipes', () => {
    // Measured runs of r1-mini: 2,439k tokens of imitation; 1,324k read and 972k written by
    // reinforcement learning.
    const [, before, grpo, after] = describeRecipe(resolveRecipe(loadRecipe('r1-mini')), 1).stages;
    expect(Math.abs(grpo.tokensIn.value / 1324e3 - 1)).toBeLessThan(0.2);
    expect(Math.abs(grpo.tokensOut.value / 972e3 - 1)).toBeLessThan(0.2);
    expect(before.completionTokens?.value).toBeCloseTo(14.9, -0.5);
    expect(after.completionTokens?.value).toBeCloseTo(23.4, -0.5);
    // And of countdown: 2,562k and 2,316k.
    const countdown = describeRecipe(resolveRecipe(loadRecipe('countdown')), 1).stages[2];
    expect(Math.abs(countdown.tokensIn.value / 2562e3 - 1)).toBeLessThan(0.2);
    expect(Math.abs(countdown.tokensOut.value / 2316e3 - 1)).toBeLessThan(0.2);
  });

  it('gives the same numbers every time but for the clock', () => {
    const [a, b] = [0, 1].map(() =>
      describeRecipe(resolveRecipe(tiny), 2).stages.map(({ parts, ...rest }) => ({
        ...rest,
        parts: parts.map(({ secondsPerGrade: _, secondsPerProblem: __, ...part }) => part),
      })),
    );
    expect(a).toEqual(b);
  });
});

describe('predictLocal', () => {
  it('times the tiny recipe, leaves the stacks as they were, and plans every stage', async () => {
    const backend = await createWasmBackend({
      sharedBytes: 1 << 20,
      localBytes: 1 << 24,
      products: 'wasm',
      build: 'plain',
    });
    const described = describeRecipe(resolveRecipe(tiny), 1);
    const { localBytes, sharedBytes } = backend.memory();
    const rank = await calibrateRank(backend, described.request);
    expect(backend.memory()).toMatchObject({ localBytes, sharedBytes });
    await backend.close();
    expect(rank.slowdown).toBeGreaterThanOrEqual(1);
    const disk = { secondsPerFile: 0, secondsPerByte: 0 };
    const calibration: LocalCalibration = {
      recipe: 'tiny',
      workers: 1,
      backend: 'wasm',
      fingerprint: '',
      startSeconds: 0.5,
      disk,
      ...rank,
    };
    const plan = predictLocal(tiny, calibration, { described });
    expect(plan.stages.map((stage) => stage.id)).toEqual([
      'start',
      'sft',
      'before',
      'grpo',
      'sample',
      'again',
      'finish',
    ]);
    for (const stage of plan.stages.slice(1, -1)) {
      expect(stage.seconds.value).toBeGreaterThan(0);
      expect(stage.seconds.low).toBeLessThan(stage.seconds.value);
      expect(stage.seconds.high).toBeGreaterThan(stage.seconds.value);
      expect(stage.usage.basis).toBe('predicted');
      expect(stage.usage.tokensIn + stage.usage.tokensOut).toBeGreaterThan(0);
      expect(stage.usd.value / stage.seconds.value).toBeCloseTo(
        plan.total.usd.value / plan.total.seconds.value,
        9,
      );
    }
    const sum = plan.stages.reduce((total, stage) => total + stage.seconds.value, 0);
    expect(plan.total.seconds.value).toBeCloseTo(sum, 9);
    expect(() => predictLocal(tiny, calibration, { workers: 2 })).toThrow('on 1 workers');
    // The file that a run keeps is the document of `plan --json`, without MFU, and can be billed.
    const kept = JSON.parse(JSON.stringify(plan));
    expect(planDocument.parse(kept)).toEqual(kept);
    expect(plan.stages[1].mfuCausal).toBeNull();
    const costs = { people: 0, months: 12, experiments: 1, utilization: null };
    const { totals, lines } = statementOfPlan(parsePricedPlan(kept, 'plan.json'), costs);
    // A line is rounded to 10^-12 dollars.
    expect(Number(totals.full.amount)).toBeCloseTo(plan.total.usd.value, 10);
    expect(
      lines.filter(({ columns }) => columns.includes('headline')).map(({ what }) => what),
    ).toEqual(['sft', 'grpo', 'again']);
  });
});

describe('the rates of a GPU', () => {
  const described = describeRecipe(resolveRecipe(tiny), 1);
  /** A GPU that takes so long for everything, as if it had been measured. */
  const calibrationOf = (seconds: number): LocalCalibration => ({
    recipe: 'tiny',
    workers: 1,
    backend: 'webgpu',
    fingerprint: 'webgpu Acme Fast 1, kernels 2, f32',
    seconds: 1,
    startSeconds: 0,
    slowdown: 1,
    disk: { secondsPerFile: 0, secondsPerByte: 0 },
    measured: described.request.pieces.map(({ kind, key }): Measured => {
      if (kind === 'training')
        return {
          kind,
          key,
          tokens: 100,
          secondsPerToken: seconds / 100,
          secondsPerUpdate: seconds,
        };
      const decode = [1, 16].map((sequences) => ({ sequences, seconds }));
      return {
        kind,
        key,
        prefillSecondsPerPrompt: seconds,
        decode,
        context: 10,
        secondsPerContextToken: 0,
      };
    }),
  });
  const device = { name: 'Acme Fast 1', peakFlops: 2e12 };

  it('are what a plan for this machine is made of', () => {
    const calibration = calibrationOf(0.5);
    const plan = predictLocal(tiny, calibration, { described, device });
    expect([plan.cluster.name, plan.cluster.count]).toEqual([LOCAL_GPU, 1]);
    expect(plan.cluster.accelerator).toBe('webgpu Acme Fast 1, kernels 2, f32');
    expect(plan.notes.join(' ')).toContain('the core that drives the GPU');
    const [, sft] = plan.stages;
    const [pass] = described.stages[0].parts;
    const { steps, expected, problems } = pass.local;
    const task = problems * pass.secondsPerProblem;
    const seconds = steps * (expected.trainedTokens * 0.005 + 0.5 + task);
    expect(sft.gpuHours.value).toBeCloseTo(seconds / 3600, 9);
    expect(sft.layout).toBe('one GPU');
    const { modelFlops } = described.stages[0];
    expect(sft.mfuCausal?.value).toBeCloseTo(modelFlops.value / seconds / 2e12, 15);
    // Ten times as slow a GPU takes ten times as long, but for the task's own work.
    const slow = predictLocal(tiny, calibrationOf(5), { described, device });
    expect(slow.total.days.value / plan.total.days.value).toBeCloseTo(10, 1);
  });

  it("are the wall clock's: the host waits, and its processor time says nothing", () => {
    const [from, to] = [
      { wall: 10, cpu: 1 },
      { wall: 12, cpu: 1.25 },
    ];
    expect(between(from, to, 1)).toEqual({ wall: 2, work: 0.25 });
    expect(between(from, to, 1, false)).toEqual({ wall: 2, work: 2 });
  });

  it('has the price of the book: of a machine of one’s own, depreciation and electricity', () => {
    const own = { machineUsd: 8766, machineCores: 10, lifeYears: 1, utilisation: 1, pue: 1 };
    const prices = parsePriceBook(
      { ...own, mode: 'own', electricityUsdPerKwh: 0.5, wattsPerBusyCore: 100 },
      'mine.json',
    );
    const { cluster, total } = predictLocal(tiny, calibrationOf(0.5), { described, prices });
    // 8,766 dollars over 87,660 core-hours, and 0.1 kWh an hour.
    expect(cluster.usdPerHour.value).toBeCloseTo(0.1 + 0.05, 12);
    expect(total.usd.value).toBeCloseTo((total.seconds.value / 3600) * 0.15, 12);
  });

  it('are told apart from those of cores', () => {
    const cores: LocalCalibration = {
      ...calibrationOf(0.5),
      backend: 'wasm',
      fingerprint: 'wasm relaxed 1, openblas',
    };
    expect(predictLocal(tiny, cores, { described }).notes.join(' ')).not.toContain('GPU');
  });
});
