/**
 * @file The plan of a cluster: `planWork`, pure, so that a browser can call it.
 *
 * Layouts are searched for each stage at the medians of all inputs; then the inputs are drawn
 * together a few thousand times (errors of the planner, price, goodput, power, lengths of
 * completions, and whatever a cluster's file leaves open). A time is the median of what comes out
 * with its 5% and 95% quantiles; dollars are the ledger's price of the expected usage, with the
 * quantiles of its price of each draw. One draw prices all stages, so their errors add up as they
 * would.
 */
import { type Quantity, scaled } from '../../base/quantity.js';
import { formatScaled } from '../../base/text/index.js';
import { deviceUsd } from '../../ledger/book/device-price.js';
import { medianOf, quantityOfDistribution } from '../../planner/distribution.js';
import { countParameters, lossText, type Outcome, type Sensitivity } from '../../planner/index.js';
import type { Usage } from '../../usage/usage.js';
import { PLAN_SCHEMA_VERSION, type Plan, type PlannedStage, totalOf } from '../plan.js';
import type { Target } from './cluster-target.js';
import { inputsOf, simulate } from './monte-carlo.js';
import { calibrationOf, createStageCosts, type StageCost } from './stage-cost.js';
import type { Numerics, PlannableRecipe } from './stage-work.js';

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
  notes.push(...memoryNotes(costs, target));
  const inputs = inputsOf(architecture, target, costs);
  const groups = published.map((group) => new Set(group.stages));
  const outcomes = simulate(inputs, { target, calibration, costs, groups });
  const stages = costs.map((cost) => plannedStage(cost, target, outcomes));
  const { total, active, mtp } = countParameters(architecture);
  const { accelerator, count } = target;
  return {
    schemaVersion: PLAN_SCHEMA_VERSION,
    recipe: recipe.name,
    cluster: {
      name: target.name,
      accelerator: accelerator.name,
      count,
      usdPerHour: hourPriceOf(target),
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
    total: totalWithEnds(stages, count, outcomes),
    sensitivity: rankedInputs(outcomes['total.usd'].sensitivity),
    published: published.map(({ what, stages: parts, gpuHours, source }, i) => {
      const predicted = scaled(endsOf(outcomes[`group${i}.seconds`]), count / 3600);
      const relativeError = predicted.value / gpuHours - 1;
      return { what, stages: parts, gpuHours, predicted, relativeError, source };
    }),
    notes,
  };
}

/** A layout that fits by the expected memory may not fit at the end of its interval. */
function memoryNotes(costs: readonly StageCost[], { accelerator }: Target): string[] {
  const close = costs.filter(({ memoryBytes }) => memoryBytes.high > accelerator.memoryBytes);
  if (close.length === 0) return [];
  const most = Math.max(...close.map(({ memoryBytes }) => memoryBytes.high));
  const stages = close.map(({ work }) => work.id).join(', ');
  return [
    `${close.length === 1 ? 'Stage' : 'Stages'} ${stages} may not fit: the 90% interval of the memory ends at ${formatScaled(most, 'B')}, and ${accelerator.name} has ${formatScaled(accelerator.memoryBytes, 'B')}.`,
  ];
}

type Outcomes = Record<string, Outcome>;

const endsOf = ({ value, low, high }: Quantity): Quantity => ({ value, low, high });

const hourPriceOf = ({ usdPerHour: { distribution, source, date } }: Target) => ({
  ...quantityOfDistribution(distribution),
  source,
  date,
});

/** The sums of stages; their errors go together only as far as the draws say. */
function totalWithEnds(
  stages: readonly PlannedStage[],
  count: number,
  outcomes: Outcomes,
): Plan['total'] {
  const total = totalOf(stages);
  const withEnds = (name: keyof Plan['total'], from: string, factor = 1): Quantity => {
    const { low, high } = scaled(outcomes[from], factor);
    return { value: total[name].value, low, high };
  };
  return {
    seconds: withEnds('seconds', 'total.seconds'),
    days: withEnds('days', 'total.seconds', 1 / 86_400),
    gpuHours: withEnds('gpuHours', 'total.seconds', count / 3600),
    energyKwh: withEnds('energyKwh', 'total.energyKwh'),
    usd: withEnds('usd', 'total.usd'),
  };
}

function plannedStage(cost: StageCost, target: Target, outcomes: Outcomes): PlannedStage {
  const { work, layout, steps, flops, memoryBytes } = cost;
  const { accelerator, count } = target;
  const { peakFlops } = accelerator;
  const peak = peakFlops.bf16 ?? peakFlops.fp16 ?? peakFlops.fp32 ?? Number.NaN;
  const quantity = (name: string): Quantity => endsOf(outcomes[`${work.id}.${name}`]);
  const { trainingSeconds, samplingSeconds, tokens } = cost.draw(meanAtMedian(cost), null);
  const [seconds, rate, energyKwh, usd] = ['seconds', 'rate', 'energyKwh', 'usd'].map(quantity);
  const written = tokens * writtenShare(cost);
  const usage: Usage = {
    stage: work.id,
    purpose: work.purpose,
    wallSeconds: seconds.value,
    workerSeconds: 0,
    acceleratorSeconds: seconds.value * count,
    device: accelerator.id,
    tokensIn: tokens - written,
    tokensOut: written,
    modelFlops: tokens * flops.causal,
    energyJoules: energyKwh.value * 3.6e6,
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
    seconds,
    days: scaled(seconds, 1 / 86_400),
    gpuHours: scaled(seconds, count / 3600),
    stepSeconds: scaled(quantity('busySeconds'), 1 / steps),
    tokensPerSecondPerGpu: rate,
    mfuCausal: scaled(rate, flops.causal / peak),
    mfuNonCausal: scaled(rate, flops.nonCausal / peak),
    hfu: scaled(rate, flops.hardware / peak),
    memoryBytesPerGpu: memoryBytes,
    energyKwh,
    usd: { ...usd, value: deviceUsd(usage, hourPriceOf(target).value) },
    samplingShare: samplingSeconds / (samplingSeconds + trainingSeconds),
    usage,
  };
}

const meanAtMedian = ({ work }: StageCost): number =>
  work.rollout === null ? 0 : medianOf(work.rollout.meanTokens);

/** Of a stage's tokens, those that a model writes. */
function writtenShare({ work: { rollout } }: StageCost): number {
  if (rollout === null) return 0;
  const mean = medianOf(rollout.meanTokens);
  return mean / (mean + medianOf(rollout.promptTokens));
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
