/**
 * @file The plan as a document: the schema of `reckoner plan --json`, and of `plan.json` in a run's
 * folder.
 */
import { z } from 'zod';
import { type StageSpec, stageKinds } from '../stages/index.js';
import { usageSchema } from '../usage/schema.js';
import { PLAN_SCHEMA_VERSION } from './plan.js';

const count = z.int().min(0);
const share = z.number().min(0).max(1);
const predicted = z
  .object({ value: z.number(), low: z.number(), high: z.number() })
  .describe('The expected value, and the ends of the 90% interval.');
const utilisation = (how: string) =>
  predicted
    .nullable()
    .describe(
      `Model operations over the 16-bit peak, ${how}; null in a run's plan, whose peak is not measured.`,
    );

const trainingRate = z.object({
  kind: z.literal('training'),
  key: z.string().describe('The shape that was timed.'),
  tokens: z.number(),
  secondsPerToken: z.number(),
  secondsPerUpdate: z.number(),
});
const generationRate = z.object({
  kind: z.literal('generation'),
  key: z.string(),
  prefillSecondsPerPrompt: z.number(),
  decode: z.array(z.object({ sequences: z.number(), seconds: z.number() })),
  context: z.number(),
  secondsPerContextToken: z.number(),
});

export const planDocument = z
  .object({
    schemaVersion: z
      .literal(PLAN_SCHEMA_VERSION)
      .describe('Rises when a field changes its meaning or goes away.'),
    recipe: z.string(),
    cluster: z.object({
      name: z.string().describe('As --on names it.'),
      accelerator: z.string(),
      count,
      usdPerHour: predicted
        .extend({ source: z.string(), date: z.string() })
        .describe('Rent of one accelerator.'),
      pue: predicted,
      loadFactor: predicted.describe('Mean power over nameplate power.'),
      goodput: predicted.describe('Share of the time that makes progress.'),
    }),
    model: z.object({
      name: z.string(),
      parameters: z.object({
        total: count.describe('Without multi-token prediction.'),
        active: count.describe('That one token uses.'),
        mtp: count.describe('Of multi-token prediction.'),
      }),
    }),
    stages: z.array(
      z.object({
        id: z.string(),
        kind: z.enum([...(Object.keys(stageKinds) as StageSpec['kind'][]), 'overhead']),
        layout: z
          .string()
          .describe('As --layout takes it; where a stage samples, with the layout of the rollout.'),
        tokens: z
          .number()
          .min(0)
          .describe('Of examples, or of prompts and completions at the median of their lengths.'),
        seconds: predicted.describe('Wall time, with what is lost to failures and waiting.'),
        days: predicted.describe('The same in days.'),
        gpuHours: predicted.describe('Of accelerators; of cores where there are none.'),
        stepSeconds: predicted.describe(
          'An optimizer step, or a round of sampling and learning, when nothing fails.',
        ),
        tokensPerSecondPerGpu: predicted,
        mfuCausal: utilisation('attention counted causally'),
        mfuNonCausal: utilisation('attention counted in full'),
        hfu: utilisation('attention counted causally, with what the backward pass computes again'),
        memoryBytesPerGpu: predicted
          .nullable()
          .describe('At the peak, on the rank that needs most; null for local.'),
        energyKwh: predicted.describe("Of the servers and their share of the building's overhead."),
        usd: predicted.describe(
          'The price of the expected usage; the ends also have the errors of the price.',
        ),
        samplingShare: share.nullable().describe('Of the time; null where it is not told apart.'),
        usage: usageSchema.describe('The expected values, as a run records them; bill prices it.'),
        lengths: z
          .object({
            tokens: predicted,
            modelFlops: predicted,
            completionTokens: predicted.nullable().describe('Mean; null where nothing is sampled.'),
          })
          .optional()
          .describe('What the lengths of completions leave open; for local.'),
      }),
    ),
    rejected: z
      .array(
        z.object({
          stage: z.string(),
          layout: z.string(),
          kind: z.enum(['slower', 'memory', 'divisibility']),
          reason: z.string(),
        }),
      )
      .describe(
        'The nearest losers of each kind (slower, too large), and the rules that others break.',
      ),
    total: z
      .object({
        seconds: predicted,
        days: predicted,
        gpuHours: predicted,
        energyKwh: predicted,
        usd: predicted,
      })
      .describe('The sums of stages; the ends as far as errors go together.'),
    sensitivity: z
      .array(
        z.object({
          input: z.string(),
          what: z.string(),
          share: share.describe(
            "Of the variance of the total's ranks that this input alone explains.",
          ),
          rank: z.number().describe("Spearman's correlation with the total in USD."),
        }),
      )
      .describe('The most important first.'),
    published: z
      .array(
        z.object({
          what: z.string(),
          stages: z.array(z.string()),
          gpuHours: z.number(),
          predicted,
          relativeError: z.number().describe('predicted / published - 1; 0.1 is 10%'),
          source: z.string(),
        }),
      )
      .describe('What others say that stages took; no prediction reads it.'),
    machine: z
      .object({
        cpu: z.string(),
        cores: count,
        memoryBytes: z.number(),
        platform: z.string(),
        node: z.string(),
      })
      .optional()
      .describe('For local: the machine that was timed.'),
    calibration: z
      .object({
        recipe: z.string(),
        workers: count,
        backend: z.enum(['wasm', 'webgpu', 'reference']),
        fingerprint: z.string(),
        seconds: z.number().describe('That the calibration took.'),
        startSeconds: z.number().describe('Until the workers were ready.'),
        measured: z.array(z.union([trainingRate, generationRate])),
        slowdown: z
          .number()
          .describe('Wall seconds per second of work: others used the machine as well.'),
        disk: z.object({ secondsPerFile: z.number(), secondsPerByte: z.number() }),
      })
      .optional()
      .describe('For local: what was timed.'),
    notes: z.array(z.string()),
  })
  .describe('reckoner plan <recipe> --on <cluster> --json, and plan.json in a run folder');

export type PlanDocument = z.infer<typeof planDocument>;
