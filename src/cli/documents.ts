/**
 * @file The documents that `--json` prints, as schemas. `scripts/schemas.mjs` writes them to
 * `docs/schema/`, and the tests hold real outputs to them.
 *
 * `schemaVersion` rises when a field changes its meaning or goes away; new fields may come at any
 * time.
 */
import { z } from 'zod';
import { claimDocument, claimListDocument } from '../ledger/claims/index.js';
import { statementDocument } from '../ledger/statement/schema.js';
import { planDocument } from '../plan/schema.js';
import { servingPlanDocument } from './plan-serve-document.js';

export const SCHEMA_VERSION = 1;

const schemaVersion = z
  .literal(SCHEMA_VERSION)
  .describe('Rises when a field changes its meaning or goes away.');
const count = z.int().min(0);
const share = z.number().min(0).max(1);

export const errorDocument = z
  .object({
    error: z.object({
      code: z
        .enum(['usage', 'data', 'state', 'interrupted', 'diverged', 'disk', 'internal'])
        .describe(
          'What kind of failure: wrong arguments, a bad file, a run that cannot go on, Ctrl-C, …, or a bug.',
        ),
      field: z.string().optional().describe('The option, recipe field or file that was wrong.'),
      message: z.string().describe('One line: what was wrong, where, and what to do.'),
    }),
  })
  .describe(
    'What every command prints with --json when it fails; the exit code is 1, 2 (usage) or 130 (interrupted).',
  );

const stopReason = z
  .enum(['eos', 'length'])
  .describe('eos: the model ended; length: it was cut off.');
const tokens = z.object({ prompt: count, completion: count });

export const chatDocument = z
  .object({
    schemaVersion,
    model: z.string().describe('The model as it was named, a folder or a run.'),
    prompt: z.string(),
    thinking: z
      .string()
      .nullable()
      .describe('What stands between <think> and </think>; null where there is none.'),
    answer: z
      .string()
      .nullable()
      .describe('What stands between <answer> and </answer>; null where there is none.'),
    text: z.string().describe('The whole completion as it was written.'),
    tokens,
    stopReason,
    seconds: z.number().min(0).describe('Wall seconds of generation, loading not included.'),
    usd: z
      .number()
      .min(0)
      .describe(
        'Those seconds on one core at the prices of the catalog, as in the full column of the bill.',
      ),
  })
  .describe('reckoner chat <model|run> --prompt TEXT --json');

const estimate = z.object({
  mean: share,
  low: share.describe('Lower end of the 95% interval.'),
  high: share.describe('Upper end of the 95% interval.'),
});

const priceOfTokens = z
  .object({
    inputUsdPerMtok: z.number(),
    cachedInputUsdPerMtok: z.number(),
    outputUsdPerMtok: z.number(),
    source: z.string(),
    date: z.string().nullable(),
  })
  .nullable()
  .describe(
    "Of an endpoint's tokens; null where each completion's dollars were measured, or are unknown.",
  );

export const evalDocument = z
  .object({
    schemaVersion,
    model: z.string(),
    endpoint: z.string().nullable().describe('Its address; null for a local model.'),
    task: z.string(),
    seed: z.int().describe('Chooses the problems, all from the evaluation split, and the samples.'),
    problems: count.describe('Distinct problems.'),
    samples: count.describe('Sampled completions of each problem.'),
    temperature: z.number().min(0),
    maxTokens: count.nullable().describe('Null leaves it to the endpoint.'),
    pass1: estimate.describe(
      'Share of sampled completions that are correct, averaged over samples; interval over problems.',
    ),
    passAtK: z
      .array(estimate.extend({ k: count }))
      .describe(
        'Unbiased pass@k (Chen et al. 2021) for k = 1, 2, 4, … up to the number of samples; interval over problems.',
      ),
    majority: estimate.describe(
      'Share of problems whose most frequent sampled answer is correct; Wilson interval.',
    ),
    greedy: estimate
      .nullable()
      .describe(
        'Share of problems that are solved at temperature 0; Wilson interval. Null where none was asked for.',
      ),
    format: estimate.describe(
      'Share of sampled completions of the form <think>…</think><answer>…</answer>; interval over problems.',
    ),
    length: z
      .object({ mean: z.number(), low: z.number(), high: z.number() })
      .nullable()
      .describe(
        'Mean tokens of a sampled completion, 95% interval over problems; null where an endpoint does not say.',
      ),
    stopReasons: z
      .object({ eos: share, length: share, refused: share })
      .describe(
        'Shares of sampled completions; refused: the endpoint would not answer the problem.',
      ),
    parts: z
      .array(z.object({ part: z.string(), problems: count, pass1: estimate }))
      .describe('Of a mix or a curriculum: pass@1 of each part.'),
    tokens: tokens
      .extend({ cached: count.describe("Of the prompts, what was found in the endpoint's cache.") })
      .nullable()
      .describe(
        'Over all completions, greedy ones included; with a local model a prompt counts once for all its samples.',
      ),
    seconds: z
      .number()
      .min(0)
      .describe(
        'Of work here, on all workers at once; of an endpoint, of all requests, which overlap.',
      ),
    usd: z.number().min(0).nullable().describe('Null where the price is not known.'),
    usdPerProblem: z.number().min(0).nullable().describe('For all its completions.'),
    usdPerCorrectAnswer: z
      .number()
      .min(0)
      .nullable()
      .describe(
        'Cost over the number of correct completions, greedy ones included; null when there is none.',
      ),
    pricing: priceOfTokens,
    answers: z
      .object({ have: count, of: count })
      .describe('Completions in the file, and those of the whole evaluation.'),
    stopped: z
      .enum(['max-usd'])
      .nullable()
      .describe('Why answers are missing; the same command with more to spend goes on.'),
    transcripts: z.string().describe('The file with every completion and its verdict.'),
  })
  .describe('reckoner eval <model|run|url> --task NAME --json');

export const evalCompareDocument = z
  .object({
    schemaVersion,
    rows: z.array(
      z.object({
        model: z.string(),
        benchmark: z.string(),
        kind: z.enum(['measured', 'published']),
        accuracy: estimate
          .nullable()
          .describe('A share; without an interval where none was published. Null for a rating.'),
        score: z.string().describe('As it is said: a percentage or a rating.'),
        usdPerProblem: z
          .number()
          .nullable()
          .describe('Of answers: what the completions of one problem cost.'),
        trainingUsd: z
          .number()
          .nullable()
          .describe('Of the final training runs, where it was published.'),
        definition: z.string(),
        date: z.string(),
        source: z.string(),
      }),
    ),
    out: z.string().nullable().describe('The file that was written.'),
  })
  .describe('reckoner eval compare <transcripts…> --json');

export const doctorDocument = z
  .object({
    schemaVersion,
    version: z.string(),
    node: z.object({ version: z.string(), supported: z.boolean() }),
    machine: z.object({
      cpu: z.string(),
      cores: count.describe('Logical processors that this process may use.'),
      memoryBytes: count,
      freeMemoryBytes: count,
      platform: z.string(),
    }),
    wasm: z.object({ simd: z.boolean(), relaxedSimd: z.boolean() }),
    matmul: z.object({
      size: count.describe('Side of the square matrices.'),
      native: z
        .object({ name: z.string(), gflops: z.number() })
        .nullable()
        .describe('Our machine code, one core; null where this machine does not run it.'),
      kernel: z
        .object({ name: z.string(), gflops: z.number() })
        .describe('Our WASM kernel, one core.'),
      blas: z
        .object({ name: z.string(), gflops: z.number() })
        .nullable()
        .describe('The system BLAS, one core; null where none was found.'),
      used: z.string().describe('What training takes.'),
    }),
    workers: count.describe('Workers that training takes by default.'),
    gpus: z
      .array(
        z.object({
          name: z.string(),
          hardware: z.boolean().describe('False for a software adapter (SwiftShader, llvmpipe).'),
          halfPrecision: z.boolean(),
          subgroups: z.boolean(),
          matrixUnits: z.boolean(),
          largestTensorBytes: count,
          gflops: z.number().describe('A square product in f32.'),
          gigabytesPerSecond: z.number().describe('Read and written by a copy.'),
        }),
      )
      .describe('The adapters of WebGPU, measured; --backend webgpu takes the first.'),
    training: z
      .object({
        recipe: z.string().describe('Whose model and batches were timed.'),
        secondsPerStep: z
          .number()
          .describe('Of the first supervised stage: forward, backward and update; on all workers.'),
        trainingTokensPerSecond: z
          .number()
          .describe('Forward, backward and update, all workers together.'),
        trainingGflops: z.number().describe('Model FLOPs of that, all workers together.'),
        decoding: z
          .array(z.object({ sequences: count, tokensPerSecond: z.number() }))
          .describe('Tokens drawn, all workers together, by sequences decoded at once on each.'),
        slowdown: z
          .number()
          .describe(
            'Wall seconds a second of work while it was timed; above 1 others use the machine.',
          ),
        wholeRun: z
          .object({ value: z.number(), low: z.number(), high: z.number() })
          .describe('Seconds of the recipe, 90%.'),
      })
      .describe(
        'What the machine achieves at work rather than at its best, timed for a second or two.',
      ),
    energy: z.object({ measured: z.boolean(), source: z.string() }),
    runs: z.object({ folder: z.string(), writable: z.boolean(), freeBytes: count.nullable() }),
    terminal: z.object({ interactive: z.boolean(), columns: count.nullable(), color: z.boolean() }),
    advice: z
      .array(z.string())
      .describe(
        'What would make it faster or better, most useful first; empty when nothing would.',
      ),
  })
  .describe('reckoner doctor --json');

export type ChatDocument = z.infer<typeof chatDocument>;
export type EvalDocument = z.infer<typeof evalDocument>;
export type EvalCompareDocument = z.infer<typeof evalCompareDocument>;
export type DoctorDocument = z.infer<typeof doctorDocument>;

export const trainDocument = z
  .object({
    schemaVersion,
    run: z.object({ name: z.string(), folder: z.string() }),
    recipe: z.string(),
    seed: count,
    reason: z
      .enum(['completed', 'interrupted', 'max-usd', 'max-minutes', 'diverged', 'failed'])
      .describe('Why it stopped; all but completed can be resumed with --resume.'),
    message: z.string().optional(),
    step: count.describe('Steps done, over all stages.'),
    seconds: z.number().min(0).describe('Wall seconds of this attempt.'),
    workers: count,
    backend: z.string().describe('What computed: backend, kernel build, matrix-product library.'),
    memory: z
      .looseObject({ localHighWaterBytes: count, sharedHighWaterBytes: count })
      .nullable()
      .describe("High-water marks of rank 0's own memory and of the shared one."),
    evaluations: z
      .array(
        z.object({
          stage: z.string(),
          task: z.string(),
          results: z.record(z.string(), z.number()),
        }),
      )
      .describe('In the order in which they were made.'),
    totals: z
      .object({ headlineUsd: z.string(), fullUsd: z.string() })
      .describe("Totals of the bill, exact decimals; see the run's bill.json."),
  })
  .describe('reckoner train --json');

export const exportDocument = z
  .object({
    schemaVersion,
    format: z.string(),
    source: z.string().describe('The model folder or snapshot that was exported.'),
    out: z.string(),
    dtype: z.string(),
    tensors: count,
    parameters: count,
    bytes: count,
    files: z.record(z.string(), z.object({ bytes: count, sha256: z.string() })),
  })
  .describe('reckoner export --json');

const fraction = z.number().describe('A fraction: 0.1 is 10%.');

export const validateDocument = z
  .object({
    schemaVersion,
    rows: count.describe('Rows of the table, without its header.'),
    predicted: count.describe('Rows that were predicted; with those skipped it makes rows.'),
    skipped: z.array(
      z.object({ row: count.describe('From 1, without the header.'), reason: z.string() }),
    ),
    groups: z.array(
      z.object({
        by: z.enum(['metric', 'family', 'gpu', 'source']),
        key: z.string(),
        n: count,
        medianAbsError: fraction,
        p90AbsError: fraction,
        bias: fraction.describe(
          'Median of predicted / measured - 1; positive when predictions are too high.',
        ),
        coverage90: share.describe(
          'Share of the figures that lie inside the stated 90% intervals.',
        ),
      }),
    ),
    predictions: z
      .array(
        z.object({
          row: count,
          metric: z.string(),
          measured: z.number(),
          predicted: z.number(),
          low: z.number(),
          high: z.number(),
        }),
      )
      .describe("In the row's own unit, with the 90% interval."),
  })
  .describe('reckoner validate <rows.csv> --json');

export type ValidateDocument = z.infer<typeof validateDocument>;

export const studioDocument = z
  .object({
    schemaVersion,
    url: z.string().describe('Where the web application is.'),
    pid: z.int().min(1).describe('Of the server; SIGINT or SIGTERM stops it.'),
  })
  .describe('reckoner studio --json, once the server answers.');

export type StudioDocument = z.infer<typeof studioDocument>;

export const serveDocument = z
  .object({
    schemaVersion,
    url: z.string().describe('Where it listens; the API is under /v1.'),
    pid: count,
    model: z.string().describe('What clients call the model.'),
  })
  .describe('reckoner serve <model|run> --json: printed once it is ready');

export type ServeDocument = z.infer<typeof serveDocument>;

/** By the name of the file in docs/schema/. */
export const documents = {
  train: trainDocument,
  chat: chatDocument,
  eval: evalDocument,
  'eval-compare': evalCompareDocument,
  serve: serveDocument,
  claim: claimDocument,
  'claim-list': claimListDocument,
  export: exportDocument,
  doctor: doctorDocument,
  validate: validateDocument,
  plan: planDocument,
  'plan-serve': servingPlanDocument,
  studio: studioDocument,
  bill: statementDocument,
  error: errorDocument,
};

/**
 * The JSON Schema (draft 2020-12) of each document. New fields are allowed, as `schemaVersion`
 * promises.
 */
export function jsonSchemas(): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(documents).map(([name, schema]) => [
      name,
      z.toJSONSchema(schema, { io: 'input' }),
    ]),
  );
}
