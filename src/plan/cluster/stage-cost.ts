/**
 * @file One stage on a cluster: its layout, and its seconds as a function of what is not known.
 *
 * Layouts are searched for once, at the medians of all inputs. Then a stage is a closed form:
 * passes over examples take their step time, which changes with the machine's rates; sampling takes
 * a rollout and a rest (forward passes, training, moving weights), which change with how long
 * completions are. Both are computed at three lengths and interpolated in between, so that
 * thousands of samples cost nothing.
 */
import { UserError } from '../../base/errors.js';
import { formatCount, formatScaled } from '../../base/text/index.js';
import { CALIBRATION, type Calibration } from '../../planner/calibration.js';
import type { Accelerator, Quantity } from '../../planner/cluster.js';
import { type Distribution, medianOf, quantileFunction } from '../../planner/distribution.js';
import {
  type Architecture,
  type AttentionConvention,
  hardwareFlopsPerToken,
  type LayoutSearch,
  lossText,
  MEMORY_CALIBRATION,
  modelFlopsPerToken,
  planReinforcement,
  planRollout,
  type ReinforcementPlan,
  type ReinforcementQuestion,
  type RejectedLayout,
  searchLayouts,
  selectiveShare,
  stepTime,
  type TrainingWork,
  trainingFlops,
} from '../../planner/index.js';
import { SERVING_CALIBRATION } from '../../planner/serving/calibration.js';
import type { Target } from './cluster-target.js';
import { layoutText } from './layout-text.js';
import {
  lengthsAround,
  type Numerics,
  type RolloutWork,
  type StageWork,
  type Trained,
  type TrainingPasses,
} from './stage-work.js';

/** Model operations a token, as utilisations count them. */
interface TokenFlops {
  causal: number;
  nonCausal: number;
  /** With what the backward pass computes again; causal. */
  hardware: number;
}

/** What a stage takes for one draw of the inputs. */
export interface StageDraw {
  /**
   * Of optimizer steps or rounds, when nothing fails; factors for the planner's own errors not yet
   * applied.
   */
  trainingSeconds: number;
  samplingSeconds: number;
  tokens: number;
}

export interface StageCost {
  work: StageWork;
  layout: string;
  /** Steps, or rounds of sampling. */
  steps: number;
  flops: TokenFlops;
  memoryBytes: Quantity;
  /** Why the layout that was given was not taken, and another searched for; null where it was. */
  refused: UserError | null;
  rejected: readonly RejectedLayout[];
  tried: number;
  /** Factor of the sampling seconds: how often groups are sampled anew is not known. */
  resampling: Distribution;
  /**
   * @param meanTokens of a completion; @param machine with the rates of this draw, null at the
   * medians
   */
  draw: (
    meanTokens: number,
    machine: { accelerator: Accelerator; calibration: Calibration } | null,
  ) => StageDraw;
}

export interface StageQuestion {
  architecture: Architecture;
  numerics: Numerics;
  target: Target;
  /** With the medians of what the target says. */
  calibration: Calibration;
}

const same = (value: number): Quantity => ({ value, low: value, high: value });

function memoryQuantity({ moe }: Architecture, bytes: number): Quantity {
  const factor = moe === null ? MEMORY_CALIBRATION.factor90 : MEMORY_CALIBRATION.moeFactor90;
  return { value: bytes, low: bytes / factor, high: bytes * factor };
}

/**
 * Results of recent layout searches: while a price is dragged, the same layouts are needed again.
 */
const recent = new Map<string, StageCost[]>();
const MOST_RECENT = 8;

/** @throws UserError when nothing fits */
export function createStageCosts(
  question: StageQuestion,
  works: readonly StageWork[],
): StageCost[] {
  const { target, ...rest } = question;
  // What a layout costs in seconds does not depend on prices.
  const accelerator = { ...target.accelerator, usdPerHour: null };
  const key = JSON.stringify([rest, accelerator, target.count, target.layout, target.name, works]);
  const known = recent.get(key) ?? computeStageCosts(question, works);
  recent.delete(key);
  recent.set(key, known);
  if (recent.size > MOST_RECENT) recent.delete(recent.keys().next().value as string);
  return known;
}

function computeStageCosts(question: StageQuestion, works: readonly StageWork[]): StageCost[] {
  const searches = new Map<string, LayoutSearch>();
  const samplings = new Map<string, StageCost>();
  return works.map((work) => {
    if (work.rollout === null) return passesCost(question, work, searches);
    const { id: _, ...rest } = work;
    const key = JSON.stringify(rest);
    const known = samplings.get(key) ?? rolloutCost(question, work, work.rollout);
    samplings.set(key, known);
    return { ...known, work };
  });
}

/** Passes over examples. */
function passesCost(
  question: StageQuestion,
  work: StageWork,
  searches: Map<string, LayoutSearch>,
): StageCost {
  const { numerics, target, calibration } = question;
  const { architecture = question.architecture } = work;
  const { sequences: batch, sequenceTokens, trains } = work.training as TrainingPasses;
  const { accelerator, count } = target;
  const { precision, ...memory } = numerics;
  const mode = modeOf(trains);
  const key = JSON.stringify([sequenceTokens, batch, work.architecture, mode]);
  let search = searches.get(key);
  if (search === undefined) {
    const asked = {
      architecture,
      accelerator,
      count,
      sequenceTokens,
      globalBatch: batch,
      precision,
      work: { training: mode },
    };
    search = searchLayouts({ ...asked, memory, fixed: target.layout, calibration });
    searches.set(key, search);
  }
  let refused: UserError | null = null;
  if (search.best === null && Object.keys(target.layout).length > 0) {
    // A layout is given for the recipe; a stage of a smaller batch may not be able to take it.
    refused = nothingFits(architecture.name, work.id, target, search);
    search = searchLayouts({
      architecture,
      accelerator,
      count,
      sequenceTokens,
      globalBatch: batch,
      precision,
      memory,
      work: { training: mode },
      calibration,
    });
  }
  const { best } = search;
  if (best === null) throw refused ?? nothingFits(architecture.name, work.id, target, search);
  const { layout, stepSeconds } = best;
  const { recompute } = layout;
  const whole = modelFlopsPerToken(architecture, sequenceTokens, 'causal');
  const again =
    recompute === 'selective'
      ? selectiveShare(architecture, layout) * (whole / 3)
      : hardwareFlopsPerToken(architecture, sequenceTokens, 'causal', recompute) - whole;
  const causal = trainedFlops(architecture, sequenceTokens, trains, 'causal');
  const training: TrainingWork = {
    architecture,
    sequenceTokens,
    globalBatch: batch,
    training: mode,
    unfusedAttention: false,
    naturalRouting: true,
  };
  const median = stepTime(training, accelerator, layout, calibration).step;
  return {
    work,
    layout: layoutText(layout),
    steps: work.steps,
    flops: {
      causal,
      nonCausal: trainedFlops(architecture, sequenceTokens, trains, 'full'),
      hardware: causal + again,
    },
    memoryBytes: memoryQuantity(architecture, best.memoryBytes),
    refused,
    rejected: search.rejected,
    tried: search.tried,
    resampling: 1,
    draw: (_, machine) => {
      const here =
        machine === null
          ? median
          : stepTime(training, machine.accelerator, layout, machine.calibration).step;
      const trainingSeconds = (work.steps * stepSeconds * here) / median;
      return { trainingSeconds, samplingSeconds: 0, tokens: work.steps * batch * sequenceTokens };
    },
  };
}

const modeOf = (trains: Trained | undefined): TrainingWork['training'] =>
  trains?.what === 'adapter' ? 'adapters' : 'full';

/** Model FLOPs of training on a token; adapters are trained without a prediction module. */
function trainedFlops(
  architecture: Architecture,
  tokens: number,
  trains: Trained,
  attention: AttentionConvention,
): number {
  return trains.what === 'all'
    ? modelFlopsPerToken(architecture, tokens, attention)
    : trainingFlops(architecture, { tokens, attention }, trains.parameters) / tokens;
}

/** Why no layout fits: the least memory that would do, or the rules that the others break. */
function nothingFits(
  model: string,
  stage: string,
  { name, accelerator }: Target,
  { rejected, tried, leastMemory }: LayoutSearch,
): UserError {
  const where = `${model} on ${name}, stage ${stage}: none of ${formatCount(tried)} layouts fits`;
  if (leastMemory !== null) {
    const needed = formatScaled(leastMemory.neededBytes, 'B');
    const room = formatScaled(accelerator.memoryBytes, 'B');
    const message = `${where}: the least that one needs is ${needed} per accelerator (${leastMemory.layout}), and ${accelerator.id} has ${room}; take more accelerators, or some with more memory`;
    return new UserError('usage', message, '--on');
  }
  const [nearest] = rejected;
  const why = nearest === undefined ? '' : `: ${lossText(nearest)} (${nearest.layout})`;
  return new UserError('usage', `${where}${why}; take another count or batch`, '--on');
}

/** Sampling, and training on the samples where the stage does. */
function rolloutCost(question: StageQuestion, work: StageWork, sampled: RolloutWork): StageCost {
  const { numerics, target, calibration } = question;
  const { architecture = question.architecture, steps: rounds, training } = work;
  const { accelerator, count } = target;
  const { precision, ...memory } = numerics;
  const { prompts, samples, maxTokens, resampling } = sampled;
  const outputs = prompts * samples;
  const promptTokens = medianOf(sampled.promptTokens);
  // The planner takes a step of an optimizer a rollout where nothing is trained, and skips it.
  const updates = training?.updates ?? 1;
  const ask = (mean: number): ReinforcementQuestion => ({
    architecture,
    accelerator,
    count,
    outputsPerRollout: outputs,
    stepsPerRollout: updates,
    outputsPerPrompt: samples,
    promptTokens,
    responseTokens: lengthsAround(sampled, mean),
    maxResponseTokens: maxTokens,
    steps: rounds * updates,
    precision,
    forwardPasses: sampled.forwardPasses,
    trainedOutputs: training?.sequences ?? 0,
    training: modeOf(training?.trains),
    memory,
    goodput: 1,
  });
  const median = medianOf(sampled.meanTokens);
  let refused: UserError | null = null;
  const atGiven = (): ReinforcementPlan => {
    try {
      return planReinforcement({ ...ask(median), trainingLayout: target.layout });
    } catch (error) {
      if (!(error instanceof UserError) || Object.keys(target.layout).length === 0) throw error;
      refused = error;
      return planReinforcement(ask(median));
    }
  };
  const atMedian = training === null ? null : atGiven();
  const rollout = atMedian?.rollout ?? planRollout(ask(median));
  const resampled = resamplingOf(sampled, (mean) => ({
    ...ask(mean),
    rolloutLayout: rollout.layout,
  }));
  const pointOf = (mean: number): Point => {
    const asked = { ...ask(mean), rolloutLayout: rollout.layout };
    const plan =
      mean === median || training === null ? atMedian : trainedAt(asked, atMedian?.trainingLayout);
    const rolled = plan?.rollout ?? planRollout(asked);
    const first = rounds * (rolled.prefillSeconds + rolled.decodeSeconds);
    const trainingSeconds = plan === null ? 0 : plan.seconds - first;
    return {
      mean,
      samplingSeconds: first + rounds * resampled.seconds(mean, resampling.replaced.value),
      trainingSeconds,
      tokens: rounds * outputs * sampledOver(resampling) * (promptTokens + rolled.meanTokens),
    };
  };
  const quantile = quantileFunction(sampled.meanTokens, 'completionTokens');
  const points = [...new Set([quantile(0.05), median, quantile(0.95)])].map(pointOf);

  const context = Math.max(1, Math.round(promptTokens + rollout.meanTokens));
  const recompute = atMedian?.trainingLayout.recompute ?? 'none';
  const bytes = atMedian?.packing.memoryBytes;
  const named = `rollout ${rollout.name.toLowerCase()}`;
  return {
    work,
    layout: atMedian === null ? named : `${layoutText(atMedian.trainingLayout)}, ${named}`,
    steps: rounds,
    flops: samplingFlops(architecture, sampled, training, context, recompute),
    memoryBytes:
      bytes === undefined
        ? same(SERVING_CALIBRATION.memoryFraction * accelerator.memoryBytes)
        : memoryQuantity(architecture, bytes),
    refused,
    rejected: [],
    tried: 0,
    resampling: resampled.factor(median, rollout),
    draw: (mean, machine) => {
      const point = interpolate(points, mean);
      if (machine === null || atMedian === null) return point;
      // The machine's rates move the training passes; a rollout's own calibration has an interval
      // of its own.
      const { sequenceTokens, globalBatch } = atMedian.packing;
      const shape = { architecture, sequenceTokens, globalBatch };
      const passes: TrainingWork = {
        ...shape,
        training: modeOf(training?.trains),
        unfusedAttention: false,
        naturalRouting: true,
      };
      const { trainingLayout: layout } = atMedian;
      const before = stepTime(passes, accelerator, layout, calibration).step;
      const after = stepTime(passes, machine.accelerator, layout, machine.calibration).step;
      return { ...point, trainingSeconds: (point.trainingSeconds * after) / before };
    },
  };
}

/**
 * Model operations a token: it is written once; of those that count, it is read by each forward
 * pass and trained on.
 */
function samplingFlops(
  architecture: Architecture,
  { prompts, samples, resampling, forwardPasses }: RolloutWork,
  training: TrainingPasses | null,
  context: number,
  recompute: Recompute,
): TokenFlops {
  const trained = training === null ? 0 : training.sequences / (prompts * samples);
  const learned = trained / sampledOver(resampling);
  const forward = (attention: AttentionConvention): number =>
    modelFlopsPerToken(architecture, context, attention) / 3;
  const flopsOf = (attention: AttentionConvention): number =>
    (1 + learned * forwardPasses) * forward(attention) +
    (training === null
      ? 0
      : learned * trainedFlops(architecture, context, training.trains, attention));
  const causal = flopsOf('causal');
  const share =
    recompute === 'selective'
      ? selectiveShare(architecture, { sharding: 'optimizer' })
      : Number(recompute === 'full');
  const again = learned * forward('causal') * share;
  return { causal, nonCausal: flopsOf('full'), hardware: causal + again };
}

type Recompute = ReinforcementPlan['trainingLayout']['recompute'];

/** What sampling groups without signal anew takes. @param ask with the layout of the rollout */
function resamplingOf(
  { prompts, samples, resampling }: RolloutWork,
  ask: (mean: number) => ReinforcementQuestion,
) {
  const { most, replaced } = resampling;
  /** Seconds a round, one round after the other. @param share of the groups that are replaced */
  const seconds = (mean: number, share: number): number => {
    let total = 0;
    let open = prompts * share;
    for (let i = 0; i < most && open > 1e-3; i++, open *= share) {
      // Less than one group is a group in that share of the rounds.
      const again = planRollout({ ...ask(mean), outputsPerRollout: Math.max(1, open) * samples });
      total += Math.min(1, open) * (again.prefillSeconds + again.decodeSeconds);
    }
    return total;
  };
  /** What an unknown share of groups without signal does to the seconds of sampling. */
  const factor = (median: number, first: RolloutSeconds): Distribution => {
    if (most === 0 || replaced.low === replaced.high) return 1;
    const secondsAt = (share: number): number =>
      first.prefillSeconds + first.decodeSeconds + seconds(median, share);
    const middle = secondsAt(replaced.value);
    return {
      low: secondsAt(replaced.low) / middle,
      value: 1,
      high: secondsAt(replaced.high) / middle,
    };
  };
  return { seconds, factor };
}

type RolloutSeconds = Pick<ReinforcementPlan['rollout'], 'prefillSeconds' | 'decodeSeconds'>;

/** Samples of a round over those of its first problems. */
function sampledOver({ most, replaced }: RolloutWork['resampling']): number {
  let all = 1;
  for (let i = 1; i <= most; i++) all += replaced.value ** i;
  return all;
}

interface Point extends StageDraw {
  mean: number;
}

/** With the layout of the median where its batch divides, else with the best of its own. */
function trainedAt(question: ReinforcementQuestion, layout: Partial<TrainingLayout> | undefined) {
  try {
    return planReinforcement({ ...question, trainingLayout: layout });
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    return planReinforcement(question);
  }
}

type TrainingLayout = NonNullable<ReinforcementQuestion['trainingLayout']>;

/** Between points, and beyond the last two, along a power of the mean. */
function interpolate(points: readonly Point[], mean: number): StageDraw {
  if (points.length === 1) return points[0];
  const at = Math.min(
    points.length - 2,
    Math.max(0, points.findIndex((point) => point.mean >= mean) - 1),
  );
  const beyond = mean > points[points.length - 1].mean;
  const [from, to] = beyond ? points.slice(-2) : points.slice(at, at + 2);
  const share = Math.log(mean / from.mean) / Math.log(to.mean / from.mean);
  const power = (a: number, b: number): number =>
    a > 0 && b > 0 ? a * (b / a) ** share : a + share * (b - a);
  return {
    trainingSeconds: power(from.trainingSeconds, to.trainingSeconds),
    samplingSeconds: power(from.samplingSeconds, to.samplingSeconds),
    tokens: power(from.tokens, to.tokens),
  };
}

/** The calibration with a target's medians. */
export function calibrationOf(target: Target): Calibration {
  const out = { ...CALIBRATION };
  for (const [name, distribution] of Object.entries(target.calibration)) {
    if (distribution !== undefined) out[name as keyof Calibration] = medianOf(distribution);
  }
  return out;
}
