import { describe, expect, it } from 'vitest';
import { type Accelerator, type Architecture, acceleratorOf, publishedModel } from './index.js';
import { planReinforcement, type ReinforcementQuestion } from './rl.js';

const llama: ReinforcementQuestion = {
  architecture: publishedModel('Llama 3.1 8B')?.architecture as Architecture,
  accelerator: acceleratorOf('h100') as Accelerator,
  count: 16,
  outputsPerRollout: 1024,
  stepsPerRollout: 4,
  outputsPerPrompt: 16,
  promptTokens: 200,
  responseTokens: 2000,
  maxResponseTokens: 32768,
  steps: 400,
  precision: 'bf16',
  rolloutLayout: { tensor: 1, pipeline: 1, dataAttention: 1, expert: 1 },
  trainingLayout: { tensor: 2, pipeline: 1 },
};

describe('planReinforcement', () => {
  it('adds up a cycle and its stage', () => {
    const plan = planReinforcement({ ...llama, goodput: 1 });
    const { rollout, reward, forward, training, weights, total } = plan.cycle;
    expect(rollout + reward + forward + training + weights).toBeCloseTo(total, 9);
    expect(plan.seconds).toBeCloseTo(100 * total, 6);
    expect(plan.gpuHours).toBeCloseTo((plan.seconds * 16) / 3600, 6);
    expect(plan.responseTokens).toBeCloseTo(100 * 1024 * 2000, 0);
    expect(plan.rollout.longestTokens).toBe(2000);
    expect(planReinforcement({ ...llama, goodput: 0.5 }).seconds).toBeCloseTo(2 * plan.seconds, 6);
    expect(plan.interval.low).toBeLessThan(plan.gpuHours);
    expect(plan.interval.high).toBeGreaterThan(plan.gpuHours);
    // A forward pass costs a third of what three passes of training do, or less: training also
    // updates and recomputes.
    expect(forward).toBeLessThan((1 / 3) * training);
    expect(forward).toBeGreaterThan((1 / 8) * training);
  });

  it('takes longer where the same tokens are spread unevenly', () => {
    const even = planReinforcement(llama);
    const spread = planReinforcement({
      ...llama,
      responseTokens: { lognormal: { median: 2000 * Math.exp(-0.5), sigma: 1 } },
    });
    expect(spread.rollout.meanTokens / 2000).toBeCloseTo(1, 1);
    expect(spread.rollout.longestTokens).toBeGreaterThan(10 * 2000);
    expect(spread.rollout.decodeSeconds).toBeGreaterThan(2 * even.rollout.decodeSeconds);
    expect(spread.rollout.tailSeconds).toBeGreaterThan(0.3 * spread.rollout.decodeSeconds);
    // A limit on the length cuts the tail.
    const cut = planReinforcement({
      ...llama,
      responseTokens: { lognormal: { median: 2000 * Math.exp(-0.5), sigma: 1 } },
      maxResponseTokens: 8192,
    });
    expect(cut.rollout.longestTokens).toBe(8192);
    expect(cut.rollout.decodeSeconds).toBeLessThan(0.7 * spread.rollout.decodeSeconds);
  });

  it('waits for slow verifiers, and for none that keep up', () => {
    const rule = planReinforcement({ ...llama, reward: { secondsPerOutput: 0.5, parallel: 1024 } });
    expect(rule.cycle.reward).toBe(0.5);
    const slow = planReinforcement({ ...llama, reward: { secondsPerOutput: 10, parallel: 64 } });
    expect(slow.cycle.reward).toBeCloseTo(160 - slow.cycle.rollout, 6);
    expect(planReinforcement(llama).cycle.reward).toBe(0);
  });

  it('fills the caches and queues the rest', () => {
    const { rollout } = planReinforcement(llama);
    const twice = planReinforcement({ ...llama, outputsPerRollout: 16384 }).rollout;
    // 16 times the answers, beyond what the caches hold at once: more than batching alone would
    // take, less than 16 times.
    expect(twice.decodeSeconds).toBeGreaterThan(4 * rollout.decodeSeconds);
    expect(twice.decodeSeconds).toBeLessThan(16 * rollout.decodeSeconds);
  });

  it('says in one line what does not fit', () => {
    const large = publishedModel('DeepSeek-V3')?.architecture as Architecture;
    expect(() =>
      planReinforcement({ ...llama, architecture: large, rolloutLayout: undefined }),
    ).toThrowError(
      /no rollout layout on 16 h100 holds an answer of 2000 tokens; take more accelerators or shorter answers$/,
    );
    expect(() => planReinforcement({ ...llama, steps: 0 })).toThrowError(
      'steps must be above 0, is 0',
    );
  });

  it("covers R1-Zero's published hours from first principles", () => {
    // DeepSeek-R1 (arXiv:2501.12948v2): 10,400 steps of 32 × 16 answers, 8,192 answers a rollout,
    // cut at 32,768 tokens and from step 8,200 at 65,536; 198 hours on 512 H800. Mean lengths grow
    // to about 10,000 tokens (figure 1b); their spread is assumed.
    const v3 = publishedModel('DeepSeek-V3')?.architecture as Architecture;
    const sigma = 0.9;
    const phase = (steps: number, mean: number, maxResponseTokens: number) =>
      planReinforcement({
        architecture: v3,
        accelerator: acceleratorOf('h800') as Accelerator,
        count: 512,
        outputsPerRollout: 8192,
        stepsPerRollout: 16,
        outputsPerPrompt: 16,
        promptTokens: 150,
        responseTokens: { lognormal: { median: mean * Math.exp((-sigma * sigma) / 2), sigma } },
        maxResponseTokens,
        steps,
        precision: 'fp8',
        memory: { optimizerBytes: 8, fp8Activations: true },
      });
    const plans = [phase(8200, 4000, 32768), phase(2200, 9000, 65536)];
    const sum = (of: (plan: (typeof plans)[number]) => number) =>
      plans.reduce((total, plan) => total + of(plan), 0);
    const published = 512 * 198;
    expect(sum((plan) => plan.interval.low)).toBeLessThan(published);
    expect(sum((plan) => plan.interval.high)).toBeGreaterThan(published);
    expect(plans.map((plan) => plan.rollout.longestTokens)).toEqual([32768, 65536]);
    // The rollout, and in it the tail, is most of the time.
    for (const { cycle } of plans) expect(cycle.rollout).toBeGreaterThan(0.5 * cycle.total);
  });
});
