/**
 * @file The interface of a stage kind: one object holds its options, its checks, what it does in
 * tokens and how it runs.
 *
 * Everything else that reads stages (the recipe's schema, `train`, both planners, the command line,
 * the studio, the browser page) asks this object. Adding a kind is a folder and a row of the table
 * in `index.ts`; docs/reference/stages.md walks through one.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import type { ModelConfig } from '../models/index.js';
import { distributionSchema } from '../planner/distribution.js';
import type { SourceSpec } from '../training/sources.js';
import type { Purpose } from '../usage/usage.js';
import type { Facts } from './facts.js';
import type { Stage, StageContext } from './stage.js';
import type { Work } from './work.js';

/** What `plan` reads where it cannot ask a task; `train` does not read it. */
const planHintsSchema = z.strictObject({
  /** Of one example of `pretrain` and `sft`. */
  sequenceTokens: z.number().int().positive().optional(),
  /** Mean of a prompt, where a stage samples. */
  promptTokens: distributionSchema.optional(),
  /** Mean of a completion, where a stage samples. */
  completionTokens: distributionSchema.optional(),
  /** Share of groups whose rewards are all equal, where a stage samples again in their place. */
  zeroAdvantageShare: distributionSchema.optional(),
});

/** Fields that every stage has. */
export const stageFields = {
  /** Name of the stage, unique in the recipe; results and costs are reported under it. */
  id: z
    .string()
    .regex(/^[a-z0-9][a-z0-9-]*$/, 'must be lower-case letters, digits and dashes')
    .max(40)
    // The bill has lines of these names for the time before, after and lost between the stages.
    .refine((id) => !['start', 'finish', 'lost'].includes(id), 'must not be start, finish or lost'),
  /** Overrides fields of the recipe's task for this stage. */
  task: z.record(z.string(), z.unknown()).optional(),
  /**
   * A model of its own for this stage and the later ones: it starts from `init`, or from random
   * weights.
   */
  model: z.record(z.string(), z.unknown()).optional(),
  /**
   * Start the stage from the weights of an earlier stage (by its id), of a run or of a model
   * folder.
   */
  init: z.strictObject({ from: z.string().min(1) }).optional(),
  plan: planHintsSchema.optional(),
};

const fieldsSchema = z.strictObject(stageFields);
export type StageFields = z.infer<typeof fieldsSchema> & { kind: string };

/** Options of a kind with the fields that every stage has. */
export type Spec<Options> = Options & StageFields;

/** What a kind's `check` sees of the recipe around a stage. */
export interface RecipeAround {
  /** The stages before this one, in order. */
  before: readonly { id: string; kind: StageKind }[];
  adapter: boolean;
  /** Reports that a field, by its path in the stage, is wrong. */
  refuse(path: readonly (string | number)[], message: string): void;
}

/** What a stage runs on, once the recipe's task, tokenizer and models are made. */
export interface MadeOf {
  model: ModelConfig;
  /** Max tokens of a prompt. */
  longestPrompt: number;
}

// biome-ignore lint/suspicious/noExplicitAny: the table holds kinds of different options.
export interface StageKind<Options = any> {
  readonly kind: string;
  /** Of the kind's own options, without the fields that every stage has. */
  readonly schema: z.ZodObject;
  /** True when it changes weights; its model is kept in the run. */
  readonly trains: boolean;
  /** What its time is billed as. */
  readonly purpose: Purpose;
  /** True when later stages can learn from `data/<id>.jsonl`, which it leaves. */
  readonly keepsSamples?: boolean;
  /** Fills in what an option stands for, such as a preset; once, when the recipe is parsed. */
  resolve?(options: never): Options;
  steps(spec: Spec<Options>): number;
  /** Refuses what the schema cannot: fields that contradict each other or the recipe. */
  check?(spec: Spec<Options>, around: RecipeAround): void;
  /** @throws UserError for a stage that its model cannot run; `field` is a path in the stage */
  fits?(spec: Spec<Options>, made: MadeOf): void;
  /** Problems of the evaluation split that it needs. */
  evaluates?(spec: Spec<Options>): number;
  /** For kinds that learn from examples. */
  readonly data?: {
    sources(spec: Spec<Options>): readonly SourceSpec[];
    /** The stage with every file named by `name`. */
    named(spec: Spec<Options>, name: (file: string) => string): Spec<Options>;
    /** The stage learning from `file`; null where the recipe says what it learns from. */
    from(spec: Spec<Options>, file: string): Spec<Options> | null;
  };
  /**
   * For kinds that imitate another model: the id of a stage, a run or a model folder.
   * @param lastTrained the id of the last stage before this one that trained
   */
  teacher?(spec: Spec<Options>, lastTrained: string | null): string | null;
  /** What it does, one `Work` a phase: the only statement of it, which planners price. */
  work(spec: Spec<Options>, facts: Facts): Work[];
  /** Opens the policy that the stage needs. All ranks call it together. */
  create(context: StageContext, spec: Spec<Options>): Promise<Stage>;
}

/** The table's row for options that are inferred from its schema or its `resolve`. */
export const defineStage = <Options>(kind: StageKind<Options>): StageKind<Options> => kind;

/** Runs `make`, and reports its UserError as a refusal of that field. */
export function refuseWhere(
  { refuse }: Pick<RecipeAround, 'refuse'>,
  make: () => unknown,
  path: readonly (string | number)[] = [],
): void {
  try {
    make();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    refuse([...path, ...(error.field ?? '').split('.').filter(Boolean)], error.message);
  }
}

/** @throws UserError when prompt and completion may be longer than the model's positions */
export function needPositions(
  { model, longestPrompt }: MadeOf,
  maxTokens: number,
  field: string,
): void {
  const longest = longestPrompt + maxTokens;
  const positions = model.max_position_embeddings;
  if (longest <= positions) return;
  const message = `prompt and completion may have ${longest} tokens, more than model.max_position_embeddings (${positions})`;
  throw new UserError('usage', message, field);
}
