/**
 * @file `plan serve`: a service of a model on a cluster, from names and targets to a plan beside
 * what was published of the same model and accelerator. Pure; runs in a browser.
 */
import { type Architecture, publishedModel } from '../../architecture/index.js';
import { UserError } from '../../base/errors.js';
import { didYouMean } from '../../base/text/index.js';
import { MODELS } from '../../catalog/data/models.js';
import {
  SERVING_MEASUREMENTS,
  type ServingMeasurement,
} from '../../catalog/data/published-serving.js';
import type { Quantity } from '../../planner/cluster.js';
import { quantityOfDistribution } from '../../planner/distribution.js';
import { acceleratorOf, serving } from '../../planner/index.js';
import type { Target } from '../cluster/cluster-target.js';

export const SERVING_PLAN_SCHEMA_VERSION = 2;

/** What is asked of a service, beside the model and the cluster. */
export interface ServiceRequest {
  /** Tokens of the mean prompt and answer. */
  input: number;
  output: number;
  /** Of the input, the share that a cache of earlier prompts holds. */
  cachedShare: number;
  /** Upper bounds in seconds; null: none. */
  ttftSeconds: number | null;
  tpotSeconds: number | null;
  /** Requests a second; null: as many as the cluster answers. */
  load: number | null;
  /** Share of the capacity that a load may take. */
  utilization: number;
  format: serving.WeightFormat | null;
  kv: 'fp8' | 'bf16';
  /** Price elasticity of demand. */
  elasticity: Quantity;
  /** List prices, USD a million tokens; null: no revenue is computed. */
  prices: serving.TokenPrices | null;
}

export const SERVICE_DEFAULTS: ServiceRequest = {
  input: 2000,
  output: 500,
  cachedShare: 0,
  ttftSeconds: null,
  tpotSeconds: null,
  load: null,
  utilization: 0.8,
  format: null,
  kv: 'bf16',
  elasticity: { low: 0.5, value: 1, high: 2 },
  prices: null,
};

/** A published figure beside its prediction, in the row's own unit. */
export interface ServingComparison {
  metric: string;
  unit: string;
  engine: string;
  layout: string;
  inputTokens: number | null;
  outputTokens: number | null;
  concurrency: number | null;
  measured: number;
  predicted: Quantity;
  /** predicted / measured − 1 */
  relativeError: number;
  source: string;
  note: string;
}

export interface ServingPlanDocument extends serving.ServingPlan {
  schemaVersion: typeof SERVING_PLAN_SCHEMA_VERSION;
  model: string;
  cluster: {
    name: string;
    accelerator: string;
    count: number;
    usdPerHour: Quantity & { source: string; date: string };
  };
  request: ServiceRequest & { format: serving.WeightFormat };
  /** At list prices and the load, per day; null without prices or a load. */
  revenue: { usdPerDay: number; marginOverCost: number } | null;
  published: ServingComparison[];
}

/** The architecture of a catalogued model. @throws UserError (usage) with the nearest name */
export function servedModel(name: string): Architecture {
  const found = publishedModel(name);
  if (found !== undefined) return found.architecture;
  const names = MODELS.map((model) => model.name);
  throw new UserError(
    'usage',
    `${name}: no model of this name is catalogued${didYouMean(name, names)}; give the path of a model folder, or one of ${names.slice(0, 8).join(', ')}, …`,
    'model',
  );
}

/** The format that most engines serve: FP8 where the accelerator has it, MXFP4 for GPT-OSS. */
function defaultFormat(architecture: Architecture, { accelerator }: Target): serving.WeightFormat {
  if (/gpt-?oss/i.test(architecture.name)) return 'mxfp4';
  return accelerator.peakFlops.fp8 === undefined ? 'bf16' : 'fp8';
}

/** @throws UserError (usage) when the model does not fit, or a number makes no sense */
export function planService(
  architecture: Architecture,
  target: Target,
  request: ServiceRequest,
): ServingPlanDocument {
  const { input, output, cachedShare, ttftSeconds, tpotSeconds, load, prices } = request;
  if (!(cachedShare >= 0 && cachedShare < 1))
    throw new UserError('usage', `cached: must be at least 0 and below 1, is ${cachedShare}`);
  const format = request.format ?? defaultFormat(architecture, target);
  const usdPerHour = quantityOfDistribution(target.usdPerHour.distribution);
  const plan = serving.planServing({
    architecture,
    accelerator: target.accelerator,
    count: target.count,
    usdPerHour,
    format,
    kv: request.kv,
    lengths: { input, output, cached: Math.floor(cachedShare * input) },
    goals: {
      ...(ttftSeconds === null ? {} : { ttftSeconds }),
      ...(tpotSeconds === null ? {} : { tpotSeconds }),
    },
    load,
    utilisation: request.utilization,
    elasticity: request.elasticity,
  });
  return {
    schemaVersion: SERVING_PLAN_SCHEMA_VERSION,
    model: architecture.name,
    cluster: {
      name: target.name,
      accelerator: target.accelerator.name,
      count: target.count,
      usdPerHour: {
        ...usdPerHour,
        source: target.usdPerHour.source,
        date: target.usdPerHour.date,
      },
    },
    request: { ...request, format },
    ...plan,
    revenue: plan.load === null || prices === null ? null : revenueOf(request, prices, plan.load),
    published: comparisonsOf(architecture, target.accelerator.id),
  };
}

function revenueOf(
  { input, output, cachedShare }: ServiceRequest,
  prices: serving.TokenPrices,
  load: serving.ServedLoad,
): ServingPlanDocument['revenue'] {
  const requestsPerDay = load.requestsPerSecond * 86_400;
  const { revenueUsdPerDay, marginOverCost } = serving.theoreticalMargin(
    { inputTokensPerDay: requestsPerDay * input, outputTokensPerDay: requestsPerDay * output },
    cachedShare,
    prices,
    load.usdPerDay.value,
  );
  return { usdPerDay: revenueUsdPerDay, marginOverCost };
}

const numberOf = (text: string): number | null => (text === '' ? null : Number(text));

/** Published figures of a model of the same shape on the same accelerator, predicted. */
export function comparisonsOf(
  architecture: Architecture,
  acceleratorId: string,
): ServingComparison[] {
  const shape = JSON.stringify({ ...architecture, name: '' });
  return SERVING_MEASUREMENTS.flatMap((row: ServingMeasurement): ServingComparison[] => {
    const model = publishedModel(row.model)?.architecture;
    if (model === undefined || JSON.stringify({ ...model, name: '' }) !== shape) return [];
    if (acceleratorOf(row.gpu)?.id !== acceleratorId) return [];
    const prediction = serving.predictServingRow(row);
    if ('skipped' in prediction) return [];
    const measured = Number(row.value);
    const { predicted: value, low, high } = prediction;
    return [
      {
        metric: row.metric,
        unit: row.unit,
        engine: row.engine,
        layout: row.parallelism,
        inputTokens: numberOf(row.isl),
        outputTokens: numberOf(row.osl),
        concurrency: numberOf(row.concurrency),
        measured,
        predicted: { value, low, high },
        relativeError: value / measured - 1,
        source: row.source,
        note: row.note,
      },
    ];
  });
}
