import { describe, expect, it } from 'vitest';
import type { Quantity } from '../../planner/cluster.js';
import { loadRecipe, parseRecipe } from '../../recipe/index.js';
import type { Plan } from '../plan.js';
import { readTarget } from './cluster-file.js';
import { workOf } from './cluster-work.js';
import { parseLayout } from './layout-text.js';
import { planRecipe } from './plan.js';
import { planWork } from './plan-work.js';

/** With a layout that is given, so that nothing is searched for and a test takes milliseconds. */
function planned(
  name: string,
  on: string,
  layout: string,
  change: (recipe: ReturnType<typeof loadRecipe>) => void = () => {},
): Plan {
  const recipe = structuredClone(loadRecipe(name));
  change(recipe);
  const target = readTarget(on);
  return planRecipe(recipe, { ...target, layout: parseLayout(layout, '--layout') });
}

const PUBLISHED = 'tp1 pp16 ep64 mb1 selective dualpipe zero1';
const pretraining = (recipe: ReturnType<typeof loadRecipe>): void => {
  recipe.stages = recipe.stages.slice(0, 1);
  recipe.published = recipe.published?.slice(0, 1);
};

const QUANTITIES = [
  'gpuHours',
  'days',
  'stepSeconds',
  'tokensPerSecondPerGpu',
  'mfuCausal',
  'mfuNonCausal',
  'hfu',
  'memoryBytesPerGpu',
  'energyKwh',
  'usd',
] as const;

describe('planRecipe', () => {
  const plan = planned('deepseek-v3', 'h800x2048', PUBLISHED, pretraining);
  const [pretrain] = plan.stages;
  const { mfuCausal, mfuNonCausal, hfu } = pretrain as unknown as Record<string, Quantity>;

  it("comes near DeepSeek-V3's published hours, step time and utilisation on the published layout", () => {
    expect(pretrain.layout).toBe('tp1 pp16 dp128 ep64 mb1 selective recompute dualpipe');
    expect(plan.published).toHaveLength(1);
    const [{ gpuHours, predicted, relativeError }] = plan.published;
    expect(gpuHours).toBe(2_664_000);
    expect(Math.abs(relativeError)).toBeLessThan(0.3);
    expect(predicted).toEqual(pretrain.gpuHours);
    expect(predicted.low).toBeLessThan(gpuHours);
    expect(predicted.high).toBeGreaterThan(gpuHours);
    // ISCA 2025, table 4: 19.926 s; 38.9% causal, 43.7% non-causal.
    expect(Math.abs(pretrain.stepSeconds.value / 19.926 - 1)).toBeLessThan(0.2);
    expect(Math.abs(mfuCausal.value / 0.389 - 1)).toBeLessThan(0.2);
    expect(mfuNonCausal.value / mfuCausal.value).toBeCloseTo(0.437 / 0.389, 1);
  });

  it('is consistent with itself', () => {
    expect(plan.model.parameters.total / 671.03e9).toBeCloseTo(1, 3);
    expect(plan.model.parameters.active / 37.55e9).toBeCloseTo(1, 3);
    for (const name of QUANTITIES) {
      const { value, low, high } = pretrain[name] as Quantity;
      expect(low, name).toBeLessThan(value);
      expect(high, name).toBeGreaterThan(value);
    }
    expect(pretrain.tokens / 14.8e12).toBeCloseTo(1, 5);
    expect(pretrain.gpuHours.value).toBeCloseTo(pretrain.days.value * 24 * 2048, 3);
    const ideal = (pretrain.stepSeconds.value * 235240 * 2048) / 3600;
    expect(pretrain.gpuHours.value / ideal).toBeCloseTo(1 / 0.93, 1);
    const tokensPerStep = 15360 * 4096;
    expect(
      (tokensPerStep / pretrain.stepSeconds.value / 2048 / pretrain.tokensPerSecondPerGpu.value -
        1) *
        100,
    ).toBeCloseTo(0, 0);
    // Rent at a median of $2, an interval that is not the product of the intervals' ends.
    expect(pretrain.usd.value / pretrain.gpuHours.value / 2).toBeCloseTo(1, 1);
    expect(pretrain.usd.high).toBeLessThan(pretrain.gpuHours.high * 3.42);
    // A GPU's share of a server at full nameplate power would draw more.
    const kilowatts = pretrain.energyKwh.value / pretrain.gpuHours.value;
    expect(kilowatts).toBeGreaterThan(0.9);
    expect(kilowatts).toBeLessThan(1.275 * 1.25);
    expect(hfu.value).toBeGreaterThan(mfuCausal.value);
    expect(
      plan.sensitivity
        .map(({ input }) => input)
        .sort()
        .slice(-2),
    ).toEqual(['trainingTime', 'usdPerHour']);
    const again = planned('deepseek-v3', 'h800x2048', PUBLISHED, pretraining);
    expect(again).toEqual(plan);
  });

  it('adds up stages, whose errors move together', () => {
    const both = planned(
      'deepseek-v3',
      'h800x2048',
      'tp8 pp16 dp16 mb1 selective dualpipe ep64 cp1',
      (recipe) => {
        recipe.stages = recipe.stages.slice(0, 2);
        recipe.published = undefined;
      },
    );
    const sum = (of: (stage: Plan['stages'][number]) => Quantity, end: keyof Quantity): number =>
      both.stages.reduce((total, stage) => total + of(stage)[end], 0);
    for (const end of ['value', 'low', 'high'] as const) {
      expect(both.total.gpuHours[end] / sum(({ gpuHours }) => gpuHours, end)).toBeCloseTo(1, 6);
      expect(both.total.usd[end] / sum(({ usd }) => usd, end)).toBeCloseTo(1, 6);
    }
  });

  it('takes what a file leaves open: rates of the machine and of the planner', () => {
    const recipe = structuredClone(loadRecipe('deepseek-v3'));
    pretraining(recipe);
    const target = readTarget('h800x2048');
    const open = planRecipe(recipe, {
      ...target,
      layout: parseLayout(PUBLISHED, '--layout'),
      hardware: { scaleOutGbitPerSecond: { low: 100, high: 400 } },
      calibration: { matmul8: { low: 0.6, high: 0.9 } },
    });
    const inputs = open.sensitivity.map(({ input }) => input);
    expect(inputs).toEqual(expect.arrayContaining(['calibration.matmul8']));
    const width = ({ low, high }: Quantity): number => high / low;
    expect(width(open.stages[0].gpuHours)).toBeGreaterThan(width(pretrain.gpuHours));
    // Of a number that is better known, the interval is narrower.
    const sure = planRecipe(recipe, {
      ...target,
      layout: parseLayout(PUBLISHED, ''),
      usdPerHour: { ...target.usdPerHour, distribution: 2 },
    });
    expect(width(sure.total.usd)).toBeLessThan(width(plan.total.usd));
    expect(sure.total.usd.value / sure.total.gpuHours.value).toBeCloseTo(2, 9);
  });

  it('says that a machine lacks the precision, and plans in another', () => {
    const { notes, stages } = planned(
      'deepseek-v3',
      'a100x2048',
      'tp4 pp32 dp16 ep64 mb1',
      pretraining,
    );
    expect(notes).toEqual([expect.stringMatching(/^NVIDIA A100.* has no fp8: planned in bf16\.$/)]);
    expect(stages[0].gpuHours.value).toBeGreaterThan(1.5 * pretrain.gpuHours.value);
  });

  it('says in one line why nothing fits', () => {
    expect(() => planned('deepseek-v3', 'h800x64', '', pretraining)).toThrow(
      /^deepseek-v3 on h800x64, stage pretrain: none of [\d,]+ layouts fits: the least that one needs is [\d.]+ [GT]B per accelerator \(.*\), and h800 has 80\.0 GB; take more accelerators, or some with more memory$/,
    );
  });

  it('searches for another layout where a stage cannot take the one that was given, and says so', () => {
    const { stages, notes } = planned(
      'deepseek-v3',
      'h800x2048',
      'tp1 pp16 ep64 mb1 selective dualpipe',
      (recipe) => {
        recipe.stages = recipe.stages.filter(({ id }) => id === 'pretrain' || id === 'sft');
        recipe.published = undefined;
      },
    );
    expect(stages[0].layout).toContain('pp16');
    expect(notes).toEqual([
      expect.stringMatching(/^Stage sft cannot take the layout that was given, .*DualPipe needs/),
      'Stage pretrain may not fit: the 90% interval of the memory ends at 104 GB, and NVIDIA H800 SXM5 80 GB has 80.0 GB.',
    ]);
    const impossible = () => planned('deepseek-v3', 'h800x2048', 'tp1 pp1 ep1', pretraining);
    expect(impossible).toThrow(/stage pretrain: none of [\d,]+ layouts fits: /);
  });

  it('plans a small recipe with a task, every kind of stage', () => {
    const recipe = parseRecipe(
      {
        name: 'small',
        model: {
          model_type: 'llama',
          hidden_size: 64,
          intermediate_size: 128,
          num_hidden_layers: 2,
          num_attention_heads: 2,
        },
        task: { name: 'sums', maximum: 9 },
        stages: [
          { id: 'sft', kind: 'sft', steps: 20, batch: 16, schedule: { kind: 'constant' } },
          {
            id: 'sample',
            kind: 'rejection-sample',
            steps: 2,
            prompts: 8,
            samples: 4,
            maxTokens: 48,
          },
          {
            id: 'grpo',
            kind: 'grpo',
            steps: 4,
            prompts: 8,
            samples: 4,
            maxTokens: 48,
            schedule: { kind: 'constant' },
          },
          { id: 'after', kind: 'eval', problems: 20, maxTokens: 48 },
        ],
      },
      'small.json',
    );
    const { stages, total, sensitivity } = planRecipe(recipe, readTarget('h100x8'));
    expect(stages.map(({ id }) => id)).toEqual(['sft', 'sample', 'grpo', 'after']);
    expect(stages.map(({ samplingShare }) => Number(samplingShare) > 0)).toEqual([
      false,
      true,
      true,
      true,
    ]);
    expect(stages[2].samplingShare).toBeLessThan(1);
    expect(stages[1].tokens).toBeGreaterThan(64 * 5);
    expect(stages[1].tokens).toBeLessThan(64 * 64);
    expect(stages[3].tokens / stages[1].tokens).toBeCloseTo((20 * 5) / 64, 0);
    expect(total.usd.value).toBeGreaterThan(0);
    expect(sensitivity.map(({ input }) => input)).toContain('samplingTime');
  });
});

describe('a recipe with a second model', () => {
  const student = {
    model_type: 'llama',
    hidden_size: 64,
    intermediate_size: 128,
    num_hidden_layers: 2,
    num_attention_heads: 2,
  };
  const small = (wide: number, more: object = {}) =>
    parseRecipe(
      {
        name: 'taught',
        model: { ...student, hidden_size: wide, num_attention_heads: wide / 32 },
        task: { name: 'sums', maximum: 9 },
        stages: [
          { id: 'sft', kind: 'sft', steps: 20, batch: 16, schedule: { kind: 'constant' } },
          {
            id: 'distill',
            kind: 'distill',
            model: student,
            sampling: { steps: 2, prompts: 8, samples: 4, maxTokens: 48 },
            steps: 30,
            batch: 16,
            schedule: { kind: 'constant' },
          },
          { id: 'after', kind: 'eval', problems: 20, maxTokens: 48 },
        ],
        ...more,
      },
      'taught.json',
    );

  it('is planned model by model: the teacher samples, the student learns and is evaluated', () => {
    const published = [
      { what: 'distillation', stages: ['distill'], gpuHours: 1, source: 'a test' },
    ];
    const plan = planRecipe(small(128, { published }), readTarget('h100x8'));
    expect(plan.stages.map(({ id, kind }) => `${id} ${kind}`)).toEqual([
      'sft sft',
      'distill.sampling distill',
      'distill distill',
      'after eval',
    ]);
    const [, sampling, learning] = plan.stages;
    expect([sampling.samplingShare, learning.samplingShare]).toEqual([1, 0]);
    // The student's 30 steps of 16 examples: a prompt and a completion that was right, which is
    // longer than others.
    const ratio = learning.tokens / 480 / (sampling.tokens / 64);
    expect(ratio).toBeGreaterThan(1);
    expect(ratio).toBeLessThan(1.3);
    const [group] = plan.published;
    // Medians do not add up exactly.
    expect(group.predicted.value / (sampling.gpuHours.value + learning.gpuHours.value)).toBeCloseTo(
      1,
      1,
    );
  });

  it("has each stage's own model: a larger teacher changes its own part and not the student's", () => {
    const works = [128, 256].map((wide) => workOf(small(wide)));
    const [narrow, wide] = works.map(({ stages }) => stages);
    expect(narrow.map(({ architecture }) => architecture !== undefined)).toEqual([
      false,
      false,
      true,
      true,
    ]);
    expect(wide.slice(2)).toEqual(narrow.slice(2));
    expect(works[0].architecture).not.toEqual(works[1].architecture);
  });

  it('may be one that can only be planned', () => {
    const hints = { promptTokens: 250, completionTokens: 5000 };
    const stage = {
      id: 'distill',
      kind: 'distill',
      teacher: { from: 'sft' },
      model: { ...student, vocab_size: 1000 },
      sampling: { steps: 2, prompts: 8, samples: 4, maxTokens: 8192 },
      steps: 30,
      batch: 16,
      schedule: { kind: 'constant' },
    };
    const sft = {
      id: 'sft',
      kind: 'sft',
      steps: 2,
      batch: 8,
      schedule: { kind: 'constant' },
      plan: { sequenceTokens: 4096 },
    };
    const recipe = {
      name: 'x',
      model: { ...student, hidden_size: 128, vocab_size: 1000 },
      stages: [sft, { ...stage, plan: hints }],
    };
    expect(workOf(parseRecipe(recipe, 'x.json')).stages[2]).toMatchObject({
      id: 'distill',
      training: { sequenceTokens: 5250 },
    });
    expect(() => parseRecipe({ ...recipe, stages: [sft, stage] }, 'x.json')).toThrow(
      'stages.1 needs plan.promptTokens and plan.completionTokens',
    );
  });
});

it.each([
  ['r1-mini', 'h100x8'],
  ['deepseek-r1', 'h800x512'],
])('%s planned from its work as JSON gives the same plan', (name, on) => {
  const recipe = loadRecipe(name);
  const target = readTarget(on);
  const sent = JSON.parse(JSON.stringify(workOf(recipe)));
  expect(planWork(sent, target)).toEqual(planRecipe(recipe, target));
});

it('plans a stage without a schedule, which it does not read', () => {
  const stage = { id: 'pretrain', kind: 'pretrain', steps: 10, batch: 64 };
  const recipe = parseRecipe(
    {
      name: 'small',
      model: {
        model_type: 'llama',
        hidden_size: 1024,
        intermediate_size: 2048,
        num_hidden_layers: 4,
        num_attention_heads: 8,
        vocab_size: 32_000,
      },
      stages: [{ ...stage, plan: { sequenceTokens: 2048 } }],
    },
    'small.json',
  );
  expect(planRecipe(recipe, readTarget('h100x8')).stages[0].tokens).toBe(10 * 64 * 2048);
});

describe('what a plan must tell apart', () => {
  const hours = (change: (recipe: Record<string, unknown>) => void): Plan => {
    const recipe = structuredClone(loadRecipe('r1-mini')) as unknown as Record<string, unknown>;
    change(recipe);
    return planRecipe(recipe as never, readTarget('h100x1'));
  };
  const grpoOf = (recipe: Record<string, unknown>): Record<string, unknown> =>
    (recipe.stages as Record<string, unknown>[]).find(({ kind }) => kind === 'grpo') as never;
  const stageOf = ({ stages }: Plan) =>
    stages.find(({ kind }) => kind === 'grpo') as never as {
      gpuHours: Quantity;
      tokens: number;
    };

  it('sampling groups without signal anew takes longer, the oftener the more', () => {
    const [none, three, sixteen] = [0, 3, 16].map((resample) =>
      stageOf(hours((recipe) => void Object.assign(grpoOf(recipe), { resample }))),
    );
    expect(three.gpuHours.value).toBeGreaterThan(1.05 * none.gpuHours.value);
    expect(sixteen.gpuHours.value).toBeGreaterThan(three.gpuHours.value);
    expect(three.tokens).toBeGreaterThan(1.05 * none.tokens);
  });

  it("a reference policy's pass costs time, and the policy itself makes none", () => {
    const at = (klCoefficient: number): number | undefined => {
      const recipe = structuredClone(loadRecipe('r1-mini')) as unknown as Record<string, unknown>;
      Object.assign(grpoOf(recipe), { klCoefficient });
      const grpo = workOf(recipe as never).stages.find(({ kind }) => kind === 'grpo');
      return grpo?.rollout?.forwardPasses;
    };
    expect(at(0)).toBe(0);
    expect(at(0.1)).toBe(1);
  });

  it('an adapter of DeepSeek-V3 takes less time and memory than training all of it', () => {
    const adapter = { kind: 'lora', rank: 8, alpha: 16, targets: ['q_b_proj', 'o_proj'] };
    const change = (more: object) => (recipe: ReturnType<typeof loadRecipe>) => {
      pretraining(recipe);
      Object.assign(recipe, more);
    };
    const layout = 'tp1 pp16 ep64 mb1 selective dualpipe zero1';
    const full = planned('deepseek-v3', 'h800x2048', layout, change({}));
    const low = planned('deepseek-v3', 'h800x2048', layout, change({ adapter }));
    const [all, lora] = [full.stages[0], low.stages[0]];
    // Two passes of three of the products; what is exchanged between experts stays.
    expect(lora.gpuHours.value / all.gpuHours.value).toBeLessThan(0.9);
    expect(lora.gpuHours.value / all.gpuHours.value).toBeGreaterThan(0.5);
    expect(lora.memoryBytesPerGpu?.value).toBeLessThan(all.memoryBytesPerGpu?.value as number);
    const [work] = workOf(
      Object.assign(structuredClone(loadRecipe('deepseek-v3')), { adapter }) as never,
    ).stages;
    // 61 layers of rank 8: A and B of q_b_proj (1536 to 24576) and of o_proj (16384 to 7168).
    expect(work.training?.trains).toEqual({
      what: 'adapter',
      parameters: 61 * 8 * (1536 + 24_576 + 16_384 + 7168),
    });
  });
});
