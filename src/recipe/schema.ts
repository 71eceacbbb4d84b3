/**
 * @file The recipe's schema: what to train, on what, in which stages. Data, at any size; `train`
 * executes it, `plan` prices it.
 *
 * A recipe with a task can be executed. One without (a published model, on data that is not here)
 * can only be planned, and its stages say what a task would: how long their sequences are. Options
 * of stages are the business of their kinds (`stages/`).
 */
import { z } from 'zod';
import { adapterSchema } from '../models/index.js';
import type { Precision } from '../planner/layout.js';
import { kindOf, type StageSpec, stageKinds, stageSchema } from '../stages/index.js';

export const RECIPE_SCHEMA_VERSION = 1;

const PRECISIONS = [
  'fp32',
  'tf32',
  'fp16',
  'bf16',
  'fp8',
  'nvfp4',
  'mxfp8',
  'int8',
  'int4',
] as const satisfies readonly Precision[];

/** The vocabulary comes from the tasks' alphabets, so a recipe may leave it out. */
const recipeModelSchema = z.record(z.string(), z.unknown());

const makeSchema = () =>
  z
    .strictObject({
      schemaVersion: z.literal(RECIPE_SCHEMA_VERSION).default(RECIPE_SCHEMA_VERSION),
      name: z
        .string()
        .regex(/^[a-z0-9][a-z0-9-]*$/, 'must be lower-case letters, digits and dashes')
        .max(40),
      description: z.string().default(''),
      /** Where figures are from, and what was assumed. */
      notes: z.array(z.string()).optional(),
      seed: z.number().int().min(0).max(0xffffffff).default(1),
      /** A Hugging Face `config.json`; `vocab_size` may be left out, and with `init` all of it. */
      model: recipeModelSchema.default({}),
      /**
       * `{name, …options}` or `{module, …options}`; stages may override options. Without it a recipe
       * can be planned but not trained.
       */
      task: z
        .looseObject({ name: z.string().optional(), module: z.string().optional() })
        .optional(),
      /**
       * Start from the weights of a run or of a model folder of the same shape, instead of from
       * random ones.
       */
      init: z.strictObject({ from: z.string().min(1) }).optional(),
      /** Train low-rank matrices beside the weights of `init`, which stay as they are. */
      adapter: adapterSchema.optional(),
      /**
       * Keep one hidden state a layer for the backward pass, and compute the rest of the layer again:
       * less memory, more time.
       */
      recompute: z.boolean().default(false),
      /**
       * What products with the hidden matrices read; `fp8` emulates E4M3, to see what it does to a
       * loss. Default f32.
       */
      numerics: z.enum(['f32', 'fp8']).optional(),
      /** Max tokens of a rank in one forward and backward pass. */
      microBatchTokens: z.number().int().positive().default(4096),
      checkpoints: z
        .strictObject({
          /** Steps between checkpoints; one is also written at the end of every stage. */
          every: z.number().int().positive().default(100),
          /** How many are kept. */
          keep: z.number().int().min(2).default(3),
        })
        .prefault({}),
      /** The numerics of a large run, for `plan` alone. */
      plan: z
        .strictObject({
          /** What matrix products are computed in. */
          precision: z.enum(PRECISIONS).default('bf16'),
          /** Master weights and moments: 12 is Adam in 32 bits, 8 with moments in 16. */
          optimizerBytesPerParameter: z.number().positive().default(12),
          /** Whether what is kept for the backward pass is kept in 8 bits. */
          activationsInFp8: z.boolean().default(false),
        })
        .optional(),
      /** What others say that stages took: shown beside a plan, never read by it. */
      published: z
        .array(
          z.strictObject({
            what: z.string().min(1),
            /** Ids of stages, together. */
            stages: z.array(z.string()).min(1),
            gpuHours: z.number().positive(),
            source: z.string().min(1),
          }),
        )
        .optional(),
      stages: z.array(stageSchema()).min(1),
    })
    .superRefine(checkRecipe);

let made: { kinds: string; schema: ReturnType<typeof makeSchema> } | null = null;

/** The schema of recipes whose stages are of the kinds in the table of `stages/`. */
export function recipeSchema(): ReturnType<typeof makeSchema> {
  const kinds = Object.keys(stageKinds).join();
  if (made?.kinds !== kinds) made = { kinds, schema: makeSchema() };
  return made.schema;
}

export type Recipe = z.infer<ReturnType<typeof makeSchema>>;

interface Checked {
  model: Record<string, unknown>;
  init?: unknown;
  adapter?: unknown;
  published?: readonly { stages: readonly string[] }[];
  stages: readonly StageSpec[];
}

/** What fields of their own schemas cannot see: whether the parts of a recipe go together. */
function checkRecipe(recipe: Checked, context: z.RefinementCtx): void {
  const refuse = (path: (string | number)[], message: string): void =>
    context.addIssue({ code: 'custom', path, message });
  if (recipe.adapter && !recipe.init)
    refuse(['adapter'], 'needs init: the model whose weights stay as they are');
  if (Object.keys(recipe.model).length === 0 && !recipe.init)
    refuse(['model'], 'is missing; with init it may be');
  const ids = recipe.stages.map(({ id }) => id);
  recipe.stages.forEach((stage, i) => {
    const at = (path: readonly (string | number)[], message: string): void =>
      refuse(['stages', i, ...path], message);
    if (ids.indexOf(stage.id) < i) at(['id'], `"${stage.id}" is used twice`);
    const before = recipe.stages
      .slice(0, i)
      .map(({ id, kind }) => ({ id, kind: kindOf({ kind }) }));
    kindOf(stage).check?.(stage, { before, adapter: recipe.adapter !== undefined, refuse: at });
    if (recipe.adapter && (stage.model !== undefined || stage.init !== undefined))
      at(
        [],
        'cannot bring another model into a recipe with an adapter; it is of the model of init',
      );
  });
  for (const [i, { stages }] of (recipe.published ?? []).entries()) {
    const unknown = stages.find((id) => !ids.includes(id));
    if (unknown !== undefined)
      refuse(['published', i, 'stages'], `"${unknown}" is not the id of a stage`);
  }
}

/**
 * JSON Schema of recipes, for editors. Options of tasks and models are open: their fields are checked when
 * it is read.
 */
export function recipeJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(recipeSchema(), { io: 'input', unrepresentable: 'any' }) as Record<
    string,
    unknown
  >;
  return { ...schema, title: 'A recipe of Reckoner' };
}
