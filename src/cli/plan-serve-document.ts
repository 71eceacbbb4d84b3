/**
 * @file The document that `reckoner plan serve --json` prints, as a schema.
 */
import { z } from 'zod';
import { SERVING_PLAN_SCHEMA_VERSION } from '../plan/serving/serving-plan.js';
import { serving } from '../planner/index.js';

const quantity = z
  .object({ value: z.number(), low: z.number(), high: z.number() })
  .describe('Median, and the ends of the 90% interval.');
const seconds = z.number().positive();
const share = z.number().min(0).max(1);
const count = z.int().min(0);

const point = z.object({
  layout: z.string(),
  accelerators: count.describe('Of a replica.'),
  concurrency: z.number().describe('Requests in a replica.'),
  ttftSeconds: quantity,
  tpotSeconds: quantity,
  tokensPerSecondPerUser: quantity.describe('After the first token.'),
  requestsPerSecondPerReplica: quantity,
  outputTokensPerSecondPerAccelerator: quantity,
  meetsGoals: z.boolean(),
});

const usd = quantity.describe('USD per million tokens.');
const cost = z.object({
  usdPerMillionInput: usd,
  usdPerMillionCached: usd.describe('Input that a cache of earlier prompts holds.'),
  usdPerMillionOutput: usd,
  usdPerMillionAllOnOutput: usd.describe('When output pays for everything.'),
  usdPerMillionTotal: usd.describe('Input and output counted alike.'),
});

export const servingPlanDocument = z
  .object({
    schemaVersion: z
      .literal(SERVING_PLAN_SCHEMA_VERSION)
      .describe('Rises when a field changes its meaning or goes away.'),
    model: z.string(),
    cluster: z.object({
      name: z.string(),
      accelerator: z.string(),
      count,
      usdPerHour: quantity.extend({ source: z.string(), date: z.string() }),
    }),
    request: z.object({
      input: count,
      output: count,
      cachedShare: share,
      ttftSeconds: seconds.nullable(),
      tpotSeconds: seconds.nullable(),
      load: z.number().positive().nullable().describe('Requests per second.'),
      utilization: share.describe('Of the capacity, what a load may take.'),
      format: z.enum(Object.keys(serving.WEIGHT_BYTES) as [serving.WeightFormat]),
      kv: z.enum(['fp8', 'bf16']),
      elasticity: quantity,
      prices: z
        .object({ input: z.number(), inputCached: z.number(), output: z.number() })
        .nullable()
        .describe('List prices, USD per million tokens.'),
    }),
    parameters: z
      .object({ total: count, active: count, mtp: count })
      .describe('`total` and `active` are without the MTP module, `mtp` is its own.'),
    frontier: z.array(point).describe('No state beats another in both speed and throughput.'),
    operating: point.nullable().describe('The highest throughput within the target.'),
    cost: cost.nullable().describe('At the operating point; with a load, at its utilisation.'),
    cachedPriceShare: share.describe('Of the input, with which cached tokens are priced.'),
    pools: z
      .object({
        prefill: z.string(),
        decode: z.string(),
        prefillShare: share.describe('Of the accelerators.'),
        ttftSeconds: quantity,
        tpotSeconds: quantity,
        outputTokensPerSecondPerAccelerator: quantity,
        cost,
      })
      .nullable()
      .describe('Prompts and decoding on accelerators of their own.'),
    load: z
      .object({
        requestsPerSecond: z.number(),
        replicas: quantity,
        accelerators: quantity,
        fits: z.boolean().describe('The cluster has as many.'),
        utilisation: share,
        ttftSeconds: quantity,
        tpotSeconds: quantity,
        usdPerDay: quantity,
      })
      .nullable(),
    demand: z.array(
      z.object({
        priceRatio: z.number(),
        tokensRatio: quantity,
        spendingRatio: quantity,
        verdict: z.enum(['falls', 'unchanged', 'rises', 'either']),
        replicas: quantity.nullable(),
      }),
    ),
    rejected: z.array(z.object({ layout: z.string(), reason: z.string() })),
    revenue: z
      .object({ usdPerDay: z.number(), marginOverCost: z.number() })
      .nullable()
      .describe('Of the load at the list prices; (revenue - cost) / cost.'),
    published: z.array(
      z.object({
        metric: z.string(),
        unit: z.string(),
        engine: z.string(),
        layout: z.string(),
        inputTokens: z.number().nullable(),
        outputTokens: z.number().nullable(),
        concurrency: z.number().nullable(),
        measured: z.number(),
        predicted: quantity,
        relativeError: z.number().describe('predicted / measured - 1'),
        source: z.string(),
        note: z.string(),
      }),
    ),
  })
  .describe('reckoner plan serve <model> --on <cluster> --json');
