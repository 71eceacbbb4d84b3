/**
 * @file What reinforcement learning costs at the size of a data centre: rollout, reward, reference
 * policy, training.
 *
 * The four take turns on the same accelerators (DeepSeek-R1, Nature 2025, supplementary section on
 * the RL infrastructure). A cycle rolls out `outputsPerRollout` answers and trains on them in one
 * or more optimizer steps.
 *
 * Rollout is a fluid limit of continuous batching. The answers' lengths are a distribution; where
 * more of them wait than the caches hold, the batch stays full; afterwards it thins out as answers
 * end, down to the one that is longest in the cluster, which decodes nearly alone. That tail, and
 * not throughput, is what decides when lengths are spread over orders of magnitude. Decoding and
 * prompts are timed by the serving planner's roofline, training and the forward passes by the
 * training planner's.
 */

import { type Architecture, countParameters } from '../architecture/index.js';
import { UserError } from '../base/errors.js';
import { formatScaled } from '../base/text/index.js';
import { intervalFactor as trainingFactor } from './calibration.js';
import type { Accelerator, Quantity } from './cluster.js';
import { type Distribution, quantileFunction } from './distribution.js';
import type { Layout, Precision } from './layout.js';
import type { MemoryOptions } from './memory.js';
import { searchLayouts } from './search.js';
import { SERVING_CALIBRATION, type ServingCalibration } from './serving/calibration.js';
import { intervalFactor as servingFactor } from './serving/interval.js';
import {
  layoutFault,
  replicaSize,
  type ServingLayout,
  servingLayoutName,
} from './serving/layout.js';
import { cacheMemory } from './serving/memory.js';
import { servingPrecision, type WeightFormat } from './serving/precision.js';
import { layoutsOf } from './serving/search.js';
import { type Deployment, deployment, passSeconds } from './serving/step.js';
import { promptSeconds } from './serving/throughput.js';
import { stepTime } from './step-time.js';

export interface ReinforcementQuestion {
  architecture: Architecture;
  accelerator: Accelerator;
  count: number;
  /** Answers of one rollout, over the cluster, and optimizer steps on them. */
  outputsPerRollout: number;
  stepsPerRollout: number;
  /** Answers to one question: their prompt is computed once. */
  outputsPerPrompt: number;
  promptTokens: number;
  /** Lengths of the answers; a number means that all are equally long. */
  responseTokens: Distribution;
  /** Where an answer is cut off. */
  maxResponseTokens: number;
  /** Optimizer steps of the stage. */
  steps: number;
  /** Weights and cache while rolling out; default the training precision's. */
  format?: WeightFormat;
  kv?: 'fp8' | 'bf16';
  precision: Precision;
  /**
   * Tokens a decoding pass yields: 1, or more with speculation by a multi-token-prediction module;
   * default 1.8 with one (DeepSeek-V3, section 5.4.3).
   */
  tokensPerPass?: number;
  /** Forward passes over the answers before training, such as the reference policy's; default 1. */
  forwardPasses?: number;
  /** Answers of a rollout that are trained on; default all. */
  trainedOutputs?: number;
  /** `adapters`: low-rank adapters on frozen weights are trained; default `full`. */
  training?: 'full' | 'adapters';
  /**
   * Seconds of a verifier for one answer and verifiers that run at once; those still running at the
   * end of a rollout wait.
   */
  reward?: { secondsPerOutput: number; parallel: number };
  memory?: Partial<Omit<MemoryOptions, 'sequenceTokens'>>;
  /** Given, not searched for. */
  rolloutLayout?: ServingLayout;
  trainingLayout?: Partial<Layout>;
  calibration?: ServingCalibration;
  /** Share of the time that makes progress; default 0.9. */
  goodput?: number;
}

export interface RolloutPlan {
  layout: ServingLayout;
  name: string;
  prefillSeconds: number;
  /** Until the last answer ends. */
  decodeSeconds: number;
  /** The part of `decodeSeconds` in which fewer than a tenth of the answers still run. */
  tailSeconds: number;
  /** Of the longest answer. */
  longestTokens: number;
  meanTokens: number;
  tokensPerSecondPerAccelerator: number;
}

export interface ReinforcementPlan {
  rollout: RolloutPlan;
  /** Seconds of a cycle, by what is done. */
  cycle: {
    rollout: number;
    reward: number;
    forward: number;
    training: number;
    weights: number;
    total: number;
  };
  trainingLayout: Layout;
  /**
   * What the training passes take: packed sequences of so many tokens, so many an optimizer step,
   * bytes an accelerator.
   */
  packing: { sequenceTokens: number; globalBatch: number; memoryBytes: number };
  /** Tokens of answers of the whole stage. */
  responseTokens: number;
  seconds: number;
  gpuHours: number;
  /** `gpuHours` with its 90% interval. */
  interval: Quantity;
}

interface LengthStep {
  /** Tokens written when the share of answers that still run falls below `running`. */
  tokens: number;
  running: number;
}

/** Lengths by the share of answers that are longer: 1, 2^−⅛, 2^−¼, … down to one answer of all. */
function survival(question: ReinforcementQuestion): LengthStep[] {
  const { responseTokens, maxResponseTokens, outputsPerRollout } = question;
  const quantile = quantileFunction(responseTokens, 'responseTokens');
  const steps: LengthStep[] = [];
  const last = Math.ceil(8 * Math.log2(2 * outputsPerRollout));
  for (let k = 1; k <= last; k++) {
    // The middle of the slice of answers between two shares.
    const longer = 2 ** (-(k - 0.5) / 8);
    const tokens = Math.min(maxResponseTokens, Math.max(1, quantile(1 - longer)));
    steps.push({ tokens, running: 2 ** (-(k - 1) / 8) });
  }
  return steps;
}

/**
 * Mean of the lengths, and of their squares over it: the length of the answer that a token lies in.
 */
function meanLengths(steps: readonly LengthStep[]): { mean: number; ofTokens: number } {
  let sum = 0;
  let squares = 0;
  steps.forEach(({ tokens, running }, k) => {
    const share = running - (steps[k + 1]?.running ?? 0);
    sum += share * tokens;
    squares += share * tokens * tokens;
  });
  return { mean: sum, ofTokens: squares / sum };
}

function rolloutOn(
  served: Deployment,
  question: ReinforcementQuestion,
  steps: readonly LengthStep[],
  calibration: ServingCalibration,
): RolloutPlan | null {
  const { outputsPerRollout, outputsPerPrompt, promptTokens, count, architecture } = question;
  const { mean } = meanLengths(steps);
  const replicas = Math.floor(count / replicaSize(served.layout));
  if (replicas < 1) return null;
  const { sequences } = cacheMemory(served, { input: promptTokens, output: mean }, calibration);
  const longest = steps[steps.length - 1].tokens;
  const alone = cacheMemory(served, { input: promptTokens + longest, output: 0 }, calibration);
  if (sequences < 1 || alone.sequences < 1) return null;
  const each = outputsPerRollout / replicas;
  const speculation = architecture.mtpLayers > 0 ? 1.8 : 1;
  const yielded = question.tokensPerPass ?? speculation;
  // A speculating pass checks one more token a sequence and runs the module that proposed it.
  const proposed = yielded > 1 ? 2 : 1;
  const module = yielded > 1 ? 1 + 1 / architecture.layers : 1;
  /** Seconds in which every one of `batch` answers grows by one token. */
  const tokenSeconds = (batch: number, context: number): number =>
    (passSeconds(
      served,
      { tokens: proposed * batch, sequences: proposed * batch, context, prompt: 0 },
      calibration,
    ).total *
      module) /
    yielded;

  // While answers wait for room, as many run as the caches hold.
  const batch = Math.min(each, sequences);
  let decode =
    each > batch
      ? ((each - batch) * mean * tokenSeconds(batch, promptTokens + mean / 2)) / batch
      : 0;
  let tail = 0;
  let written = 0;
  for (const { tokens, running } of steps) {
    // An answer that runs alone in the cluster has a replica for itself.
    const active = Math.max(1, batch * running);
    const seconds =
      (tokens - written) * tokenSeconds(active, promptTokens + (written + tokens) / 2);
    decode += seconds;
    if (running < 0.1) tail += seconds;
    written = tokens;
  }
  const prompts = each / outputsPerPrompt;
  const prefill = prompts * promptSeconds(served, promptTokens, prompts, calibration).each;
  return {
    layout: served.layout,
    name: servingLayoutName(served.layout),
    prefillSeconds: prefill,
    decodeSeconds: decode,
    tailSeconds: tail,
    longestTokens: longest,
    meanTokens: mean,
    tokensPerSecondPerAccelerator: (outputsPerRollout * mean) / (prefill + decode) / count,
  };
}

/** The fastest way to roll out, over every serving layout that divides the cluster. */
function bestRollout(question: ReinforcementQuestion, steps: readonly LengthStep[]): RolloutPlan {
  const {
    architecture,
    accelerator,
    count,
    precision,
    calibration = SERVING_CALIBRATION,
  } = question;
  const format = question.format ?? (precision === 'fp8' ? 'fp8' : 'bf16');
  const stored = servingPrecision(format, question.kv ?? 'bf16', architecture, accelerator);
  let best: RolloutPlan | null = null;
  const layouts =
    question.rolloutLayout === undefined
      ? layoutsOf(architecture, count)
      : [question.rolloutLayout];
  for (const layout of layouts) {
    if (count % replicaSize(layout) !== 0 || layoutFault(layout, architecture) !== null) continue;
    const plan = rolloutOn(
      deployment(architecture, accelerator, stored, layout),
      question,
      steps,
      calibration,
    );
    if (plan === null) continue;
    if (
      best === null ||
      plan.prefillSeconds + plan.decodeSeconds < best.prefillSeconds + best.decodeSeconds
    )
      best = plan;
  }
  if (best === null) {
    const longest = Math.round(steps[steps.length - 1].tokens);
    throw new UserError(
      'usage',
      `${architecture.name}: no rollout layout on ${count} ${accelerator.id} holds an answer of ${longest} tokens; take more accelerators or shorter answers`,
      'maxResponseTokens',
    );
  }
  return best;
}

/**
 * The rollout alone: evaluation, and samples for a later stage to imitate.
 * @throws UserError when no layout holds the longest answer
 */
export function planRollout(question: ReinforcementQuestion): RolloutPlan {
  return bestRollout(question, survival(question));
}

/**
 * Seconds and accelerator-hours of a stage of group-relative policy optimization (or any other
 * on-policy algorithm of its kind).
 * @throws UserError when the model does not fit, rolling out or training
 */
export function planReinforcement(question: ReinforcementQuestion): ReinforcementPlan {
  const {
    architecture,
    accelerator,
    count,
    outputsPerRollout,
    stepsPerRollout,
    promptTokens,
    precision,
  } = question;
  for (const name of [
    'count',
    'outputsPerRollout',
    'stepsPerRollout',
    'outputsPerPrompt',
    'promptTokens',
    'steps',
  ] as const) {
    if (!(question[name] > 0))
      throw new UserError('usage', `${name} must be above 0, is ${question[name]}`, name);
  }
  const lengths = survival(question);
  const rollout = bestRollout(question, lengths);
  const { mean, ofTokens } = meanLengths(lengths);

  // Training packs answers into sequences about as long as the answer that the mean token lies in;
  // time goes with tokens.
  const packed = 2 ** Math.max(4, Math.round(Math.log2(promptTokens + ofTokens)));
  const { trainedOutputs = outputsPerRollout, training = 'full' } = question;
  const tokens = (trainedOutputs * (promptTokens + mean)) / stepsPerRollout;
  const globalBatch = 2 ** Math.max(0, Math.round(Math.log2(tokens / packed)));
  const scale = tokens / (packed * globalBatch);
  const shape = { architecture, sequenceTokens: packed, globalBatch };
  const { memory, trainingLayout: fixed } = question;
  const { best, leastMemory } = searchLayouts({
    ...shape,
    accelerator,
    count,
    precision,
    memory,
    fixed,
    work: { training },
    keep: 0,
  });
  if (best === null) {
    throw new UserError(
      'usage',
      leastMemory === null
        ? `${architecture.name}: no layout divides ${count} ${accelerator.id}; take another count`
        : `${architecture.name}: no layout on ${count} ${accelerator.id} trains sequences of ${packed} tokens: the least that one needs is ${formatScaled(leastMemory.neededBytes, 'B')} per accelerator (${leastMemory.layout}), and ${accelerator.id} has ${formatScaled(accelerator.memoryBytes, 'B')}; take more accelerators`,
      'count',
    );
  }
  const work = {
    ...shape,
    training,
    unfusedAttention: false,
    naturalRouting: true,
  } as const;
  const forwardTime = stepTime(work, accelerator, { ...best.layout, recompute: 'none' });
  const forward =
    ((forwardTime.step - forwardTime.data - forwardTime.optimizer) / 3) * scale * stepsPerRollout;

  // New weights travel to the replicas over the scale-out network once a cycle.
  // An adapter is so small that moving it takes no time beside a step.
  const moved = training === 'adapters' ? 0 : countParameters(architecture).total;
  const bytes = moved * (precision === 'fp8' ? 1 : 2);
  const weights = bytes / replicaSize(rollout.layout) / (accelerator.scaleOutBandwidth * 0.7);
  const { secondsPerOutput = 0, parallel = 1 } = question.reward ?? {};
  const rolloutSeconds = rollout.prefillSeconds + rollout.decodeSeconds;
  const cycle = {
    rollout: rolloutSeconds,
    // Verifiers work while answers are written; at least the last answer's comes after.
    reward:
      secondsPerOutput === 0
        ? 0
        : Math.max(
            secondsPerOutput,
            (outputsPerRollout * secondsPerOutput) / parallel - rolloutSeconds,
          ),
    forward: (question.forwardPasses ?? 1) * forward,
    training: best.stepSeconds * scale * stepsPerRollout,
    weights,
    total: 0,
  };
  cycle.total = cycle.rollout + cycle.reward + cycle.forward + cycle.training + cycle.weights;
  const cycles = question.steps / stepsPerRollout;
  const seconds = (cycles * cycle.total) / (question.goodput ?? 0.9);
  const gpuHours = (seconds * count) / 3600;
  // Rollout and training err independently, each by the factor that its own planner found.
  const rolls = servingFactor({
    regime: 'search',
    pool: false,
    tuned: false,
    experts: architecture.moe !== null,
    early: false,
    assumed: 0,
    price: null,
  });
  const trains = trainingFactor('speed', architecture.moe === null ? 'dense' : 'moe', 0);
  const share = cycle.rollout / cycle.total;
  const above = Math.hypot(share * (rolls - 1), (1 - share) * (trains - 1));
  const below = Math.hypot(share * (1 - 1 / rolls), (1 - share) * (1 - 1 / trains));
  return {
    rollout,
    cycle,
    trainingLayout: best.layout,
    packing: { sequenceTokens: packed, globalBatch, memoryBytes: best.memoryBytes },
    responseTokens: cycles * outputsPerRollout * mean,
    seconds,
    gpuHours,
    interval: { value: gpuHours, low: gpuHours * (1 - below), high: gpuHours * (1 + above) },
  };
}
