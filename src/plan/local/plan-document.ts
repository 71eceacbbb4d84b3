/**
 * @file `plan --on local`: this machine, timed for a moment at the recipe's own work, in the words
 * of a plan for a cluster.
 *
 * A worker is a core, or drives the GPU. What is predicted, and how, is `predict.ts`; utilisation
 * is against the best matrix products that were seen here.
 */

import { cpus } from 'node:os';
import { UserError } from '../../base/errors.js';
import { priceOf } from '../../catalog/catalog.js';
import type { Quantity } from '../../planner/cluster.js';
import { medianOf } from '../../planner/distribution.js';
import { countParameters, modelFlopsPerToken } from '../../planner/index.js';
import type { BackendKind } from '../../policy/local/backend.js';
import { isTrainable, type Recipe } from '../../recipe/index.js';
import { stepsOf } from '../../stages/index.js';
import type { Products } from '../../tensor/backends/wasm/index.js';
import type { Precision } from '../../tensor/backends/webgpu/index.js';
import { workOf } from '../cluster/cluster-work.js';
import { PLAN_SCHEMA_VERSION, type Plan, type PlannedStage } from '../cluster/plan.js';
import { calibrateLocal, type LocalCalibration, predictLocal } from './local-plan.js';
import type { DescribedRecipe } from './local-work.js';

/** What computes: a core of the processor, or a GPU. */
export interface LocalDevice {
  name: string;
  gpu: boolean;
  /** FLOP/s seen at large matrix products. */
  peakFlops: number;
}

export interface LocalOptions {
  /** Measures a core, or the GPU that `--backend webgpu` takes. */
  measureDevice: () => Promise<LocalDevice>;
  backend?: BackendKind;
  precision?: Precision;
  workers?: number;
  products?: Products;
}

/** The cluster of such a plan on a GPU; on cores it is `local`. */
export const LOCAL_GPU = 'the local GPU';

/** A core of this machine, as it is called in a plan. */
export const coreName = (): string => `${cpus()[0]?.model.trim() || process.arch}, one core`;

const exactly = (value: number): Quantity => ({ value, low: value, high: value });
const times = ({ value, low, high }: Quantity, factor: number): Quantity => ({
  value: value * factor,
  low: low * factor,
  high: high * factor,
});
/** A rate: what takes longest is slowest. */
const per = (amount: number, { value, low, high }: Quantity): Quantity =>
  amount === 0 ? exactly(0) : { value: amount / value, low: amount / high, high: amount / low };

/** @throws UserError for a recipe that cannot run here */
export async function planLocal(
  recipe: Recipe,
  { measureDevice, ...options }: LocalOptions,
): Promise<Plan> {
  if (!isTrainable(recipe)) {
    const message = `${recipe.name} cannot run on this machine: it has no task, for its data is not here; say --on h800x2048, or another cluster`;
    throw new UserError('usage', message, '--on');
  }
  const device = await measureDevice();
  const { calibration, described } = await calibrateLocal(recipe, options);
  return localPlan(recipe, calibration, described, device);
}

/** The plan that follows from what was measured. */
export function localPlan(
  recipe: Recipe,
  calibration: LocalCalibration,
  described: DescribedRecipe,
  { name, gpu, peakFlops }: LocalDevice,
): Plan {
  const plan = predictLocal(recipe, calibration, { described });
  const count = plan.workers;
  const steps = new Map(recipe.stages.map((stage) => [stage.id, stepsOf(stage)]));
  const { architecture, stages: works } = workOf(recipe);
  /** Operations with attention counted in full, over those with half of it. */
  const fullOverCausal = new Map(
    works.map((work) => {
      const tokens =
        'batch' in work
          ? work.sequenceTokens
          : Math.round(medianOf(work.promptTokens) + medianOf(work.meanTokens));
      const own = work.architecture ?? architecture;
      return [
        work.id,
        modelFlopsPerToken(own, tokens, 'full') / modelFlopsPerToken(own, tokens, 'causal'),
      ];
    }),
  );
  const stages = plan.stages.map(
    ({ id, kind, seconds, tokens, modelFlops, energyKwh, usd, usage }): PlannedStage => {
      const utilisation = per(modelFlops.value / count / peakFlops, seconds);
      return {
        id,
        kind: kind as PlannedStage['kind'],
        layout: gpu ? 'one GPU' : `${count} ${count === 1 ? 'worker' : 'workers'}`,
        tokens: tokens.value,
        gpuHours: times(seconds, count / 3600),
        days: times(seconds, 1 / 86400),
        stepSeconds: times(seconds, 1 / (steps.get(id) ?? 1)),
        tokensPerSecondPerGpu: per(tokens.value / count, seconds),
        mfuCausal: utilisation,
        mfuNonCausal: times(utilisation, fullOverCausal.get(id) ?? 1),
        hfu: utilisation,
        memoryBytesPerGpu: null,
        energyKwh,
        usd,
        samplingShare:
          kind === 'grpo' ? null : kind === 'eval' || kind === 'rejection-sample' ? 1 : 0,
        usage,
      };
    },
  );
  const { total, active, mtp } = countParameters(architecture);
  const { value, low, high, source, date } = priceOf('cpu.rent.core-hour');
  return {
    schemaVersion: PLAN_SCHEMA_VERSION,
    recipe: recipe.name,
    cluster: {
      name: gpu ? LOCAL_GPU : 'local',
      // A GPU's fingerprint begins with its name.
      accelerator: `${name} (${calibration.fingerprint.replace(`webgpu ${name}, `, '')})`,
      count,
      usdPerHour: { value, low, high, source, date },
      pue: exactly(1),
      loadFactor: exactly(1),
      goodput: exactly(1),
    },
    model: { name: recipe.name, parameters: { total, active, mtp } },
    stages,
    rejected: [],
    total: {
      gpuHours: times(plan.total.seconds, count / 3600),
      days: times(plan.total.seconds, 1 / 86400),
      energyKwh: plan.total.energyKwh,
      usd: plan.total.usd,
    },
    sensitivity: [],
    published: [],
    notes: plan.notes,
  };
}
