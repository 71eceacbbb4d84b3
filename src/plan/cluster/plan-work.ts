/**
 * @file `plan`: the interpreter of a recipe that predicts what it will take, on any cluster.
 *
 * Layouts are searched for each stage at the medians of all inputs; then the inputs are drawn
 * together a few thousand times (errors of the planner, price, goodput, power, lengths of
 * completions, and whatever a cluster's file leaves open), and every quantity is the median of what
 * comes out with its 5% and 95% quantiles. One draw prices all stages, so their errors add up as
 * they would.
 */
import type { Quantity } from '../../planner/cluster.js';
import { medianOf, quantityOfDistribution } from '../../planner/distribution.js';
import {
  countParameters,
  type LossReason,
  lossText,
  type Parameters,
  type Sensitivity,
} from '../../planner/index.js';
import type { Usage } from '../../usage/usage.js';
import type { Target } from './cluster-target.js';
import { inputsOf, simulate } from './monte-carlo.js';
import { calibrationOf, createStageCosts, type StageCost } from './stage-cost.js';
import type { Numerics, PlannableRecipe, StageWork } from './stage-work.js';

export const PLAN_SCHEMA_VERSION = 1;

export interface PlannedStage {
  id: string;
  /** `overhead`: before the first and after the last stage, on a machine that was timed. */
  kind: StageWork['kind'] | 'overhead';
  layout: string;
  /** Of examples, or of prompts and completions; at the median of their lengths. */
  tokens: number;
  /** With what is lost to failures and waiting. */
  gpuHours: Quantity;
  days: Quantity;
  /** An optimizer step, or a round of sampling and learning, when nothing fails. */
  stepSeconds: Quantity;
  tokensPerSecondPerGpu: Quantity;
  /**
   * Of the 16-bit peak: attention counted causally, in full, and causally with what is recomputed.
   */
  mfuCausal: Quantity;
  mfuNonCausal: Quantity;
  hfu: Quantity;
  /** Null where it is not predicted (this machine). */
  memoryBytesPerGpu: Quantity | null;
  energyKwh: Quantity;
  usd: Quantity;
  /** Share of the time that goes to sampling; null where it is not told apart. */
  samplingShare: number | null;
  /** The expected values as the record that a run writes, with basis `predicted`. */
  usage: Usage;
}

export interface PublishedComparison {
  what: string;
  stages: string[];
  gpuHours: number;
  predicted: Quantity;
  /** predicted / published − 1 */
  relativeError: number;
  source: string;
}

export interface Plan {
  schemaVersion: typeof PLAN_SCHEMA_VERSION;
  recipe: string;
  cluster: {
    name: string;
    accelerator: string;
    count: number;
    usdPerHour: Quantity & { source: string; date: string };
    pue: Quantity;
    loadFactor: Quantity;
    goodput: Quantity;
  };
  model: { name: string; parameters: Pick<Parameters, 'total' | 'active' | 'mtp'> };
  stages: PlannedStage[];
  rejected: { stage: string; layout: string; kind: LossReason; reason: string }[];
  total: { gpuHours: Quantity; days: Quantity; energyKwh: Quantity; usd: Quantity };
  /** What decides the total in USD, the most important first. */
  sensitivity: { input: string; what: string; share: number; rank: number }[];
  published: PublishedComparison[];
  notes: string[];
}

/** Pure: runs in a browser. @throws UserError when a stage fits nowhere on the cluster */
export function planWork(recipe: PlannableRecipe, target: Target): Plan {
  const { architecture, stages: works, published } = recipe;
  const notes: string[] = [];
  const numerics = numericsOf(recipe, target, notes);
  const calibration = calibrationOf(target);
  const costs = createStageCosts({ architecture, numerics, target, calibration }, works);
  const refusals = costs.filter(({ refused }) => refused !== null);
  if (refusals.length > 0 && refusals.length === costs.length) throw refusals[0].refused;
  for (const { work, refused } of refusals) {
    notes.push(
      `Stage ${work.id} cannot take the layout that was given, and another was searched for: ${refused?.message}.`,
    );
  }
  const inputs = inputsOf(architecture, target, costs);
  const groups = published.map((group) => new Set(group.stages));
  const outcomes = simulate(inputs, { target, calibration, costs, groups });
  const quantity = (name: string): Quantity => {
    const { value, low, high } = outcomes[name];
    return { value, low, high };
  };
  const scaled = (name: string, factor: number): Quantity => {
    const { value, low, high } = outcomes[name];
    return { value: value * factor, low: low * factor, high: high * factor };
  };
  const { accelerator, count } = target;
  const peak =
    accelerator.peakFlops.bf16 ??
    accelerator.peakFlops.fp16 ??
    accelerator.peakFlops.fp32 ??
    Number.NaN;
  const stages = costs.map((cost): PlannedStage => {
    const { work, layout, steps, flops, memoryBytes } = cost;
    const at = work.id;
    const { trainingSeconds, samplingSeconds, tokens } = cost.draw(meanAtMedian(cost), null);
    const seconds = outcomes[`${at}.seconds`].value;
    const written = tokens * writtenShare(cost);
    const usage: Usage = {
      stage: work.id,
      purpose: work.purpose,
      wallSeconds: seconds,
      workerSeconds: 0,
      acceleratorSeconds: seconds * count,
      device: accelerator.id,
      tokensIn: tokens - written,
      tokensOut: written,
      modelFlops: tokens * flops.causal,
      energyJoules: outcomes[`${at}.energyKwh`].value * 3.6e6,
      energyBasis: 'predicted',
      peakMemoryBytes: memoryBytes.value,
      storedBytes: 0,
      basis: 'predicted',
    };
    return {
      id: work.id,
      kind: work.kind,
      layout,
      tokens,
      gpuHours: scaled(`${at}.seconds`, count / 3600),
      days: scaled(`${at}.seconds`, 1 / 86400),
      stepSeconds: scaled(`${at}.busySeconds`, 1 / steps),
      tokensPerSecondPerGpu: quantity(`${at}.rate`),
      mfuCausal: scaled(`${at}.rate`, flops.causal / peak),
      mfuNonCausal: scaled(`${at}.rate`, flops.nonCausal / peak),
      hfu: scaled(`${at}.rate`, flops.hardware / peak),
      memoryBytesPerGpu: memoryBytes,
      energyKwh: quantity(`${at}.energyKwh`),
      usd: quantity(`${at}.usd`),
      samplingShare: samplingSeconds / (samplingSeconds + trainingSeconds),
      usage,
    };
  });
  const { total, active, mtp } = countParameters(architecture);
  const { distribution, source, date } = target.usdPerHour;
  return {
    schemaVersion: PLAN_SCHEMA_VERSION,
    recipe: recipe.name,
    cluster: {
      name: target.name,
      accelerator: accelerator.name,
      count,
      usdPerHour: { ...quantityOfDistribution(distribution), source, date },
      pue: quantityOfDistribution(target.pue),
      loadFactor: quantityOfDistribution(target.loadFactor),
      goodput: quantityOfDistribution(target.goodput),
    },
    model: { name: architecture.name, parameters: { total, active, mtp } },
    stages,
    rejected: costs.flatMap(({ work, rejected }) =>
      rejected.map((loser) => ({
        stage: work.id,
        layout: loser.layout,
        kind: loser.kind,
        reason: lossText(loser),
      })),
    ),
    total: {
      gpuHours: scaled('total.seconds', count / 3600),
      days: scaled('total.seconds', 1 / 86400),
      energyKwh: quantity('total.energyKwh'),
      usd: quantity('total.usd'),
    },
    sensitivity: rankedInputs(outcomes['total.usd'].sensitivity),
    published: published.map(({ what, stages: parts, gpuHours, source: said }, i) => {
      const predicted = scaled(`group${i}.seconds`, count / 3600);
      return {
        what,
        stages: parts,
        gpuHours,
        predicted,
        relativeError: predicted.value / gpuHours - 1,
        source: said,
      };
    }),
    notes,
  };
}

const meanAtMedian = ({ work }: StageCost): number =>
  'batch' in work ? 0 : medianOf(work.meanTokens);

/** Of a stage's tokens, those that a model writes. */
function writtenShare({ work }: StageCost): number {
  if ('batch' in work) return 0;
  const mean = medianOf(work.meanTokens);
  return mean / (mean + medianOf(work.promptTokens));
}

/** What matrix products are computed in: what the recipe says where the machine has it. */
function numericsOf(recipe: PlannableRecipe, { accelerator }: Target, notes: string[]): Numerics {
  const { precision, optimizerBytes, fp8Activations } = recipe.numerics;
  const has = accelerator.peakFlops[precision] !== undefined;
  const used = has ? precision : accelerator.peakFlops.bf16 !== undefined ? 'bf16' : 'fp16';
  if (!has) notes.push(`${accelerator.name} has no ${precision}: planned in ${used}.`);
  return { precision: used, optimizerBytes, fp8Activations: fp8Activations && has };
}

const NAMES: Record<string, string> = {
  trainingTime: "the planner's own error in training time",
  samplingTime: "the planner's own error in sampling time",
  goodput: 'share of the time that makes progress',
  usdPerHour: 'price of an accelerator-hour',
  pue: "the building's overhead on energy (PUE)",
  loadFactor: 'power drawn, of nameplate',
};

function rankedInputs(sensitivity: readonly Sensitivity[]): Plan['sensitivity'] {
  return sensitivity
    .filter(({ share }) => share >= 0.005)
    .map(({ input, share, rank }) => {
      const [kind, name] = input.split(/\.(.*)/);
      const what =
        kind === 'completionTokens'
          ? `length of completions in ${name}`
          : kind === 'resampling'
            ? `groups of ${name} that are sampled anew`
            : (NAMES[input] ?? `${name} (${kind})`);
      return { input, what, share, rank };
    });
}
