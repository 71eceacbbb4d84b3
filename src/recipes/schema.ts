/**
 * @file The recipe: what to train, on what, in which stages. Data, at any size; `train` executes it, `plan` prices it.
 *
 * A recipe with a task can be executed. One without (a published model, on data that nobody here has) can only be planned, and its
 * stages say what a task would: how long their sequences are.
 */
import { existsSync, readdirSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { hashOf, readJson } from '../base/files.js';
import { modelConfigSchema } from '../models/index.js';
import { architectureOf } from '../planner/config.js';
import type { Precision } from '../planner/layout.js';
import { createTask, evaluationProblems } from '../tasks/index.js';
import { problemAt, type Task } from '../tasks/task.js';
import { createCharacterTokenizer } from '../tokenizers/character.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';
import { createSchedule } from '../training/schedules.js';
import { stageSchema } from './stages.js';

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

export const recipeSchema = z
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
    /** A Hugging Face `config.json`; `vocab_size` may be left out. */
    model: recipeModelSchema,
    /** `{name, …options}`; stages may override options. Without it a recipe can be planned but not trained. */
    task: z.looseObject({ name: z.string() }).optional(),
    /** Start from the weights of a run or of a model folder of the same shape, instead of from random ones. */
    init: z.strictObject({ from: z.string().min(1) }).optional(),
    /** Most tokens a rank takes through the model at once. */
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
    stages: z.array(stageSchema).min(1),
  })
  .superRefine((recipe, context) => {
    const seen = new Map<string, string>();
    recipe.stages.forEach((stage, i) => {
      if (seen.has(stage.id)) {
        context.addIssue({ code: 'custom', path: ['stages', i, 'id'], message: `"${stage.id}" is used twice` });
      }
      if ((stage.kind === 'sft' || stage.kind === 'pretrain') && stage.from !== undefined) {
        if (seen.get(stage.from) !== 'rejection-sample') {
          const message = `"${stage.from}" is not the id of an earlier rejection-sample stage`;
          context.addIssue({ code: 'custom', path: ['stages', i, 'from'], message });
        }
      }
      if (stage.kind === 'grpo' && stage.minibatches > stage.prompts) {
        const message = `must be at most prompts (${stage.prompts}), is ${stage.minibatches}`;
        context.addIssue({ code: 'custom', path: ['stages', i, 'minibatches'], message });
      }
      if (stage.kind === 'eval' && stage.passAt > stage.samples) {
        const message = `must be at most samples (${stage.samples}), is ${stage.passAt}`;
        context.addIssue({ code: 'custom', path: ['stages', i, 'passAt'], message });
      }
      seen.set(stage.id, stage.kind);
    });
    for (const [i, { stages }] of (recipe.published ?? []).entries()) {
      const unknown = stages.find((id) => !seen.has(id));
      if (unknown === undefined) continue;
      const message = `"${unknown}" is not the id of a stage`;
      context.addIssue({ code: 'custom', path: ['published', i, 'stages'], message });
    }
  });

export type Recipe = z.infer<typeof recipeSchema>;

/** A recipe with everything made that its data describes. */
export interface ResolvedRecipe {
  recipe: Recipe;
  tokenizer: Tokenizer;
  /** One a stage. */
  tasks: Task[];
  /** Of the resolved recipe: changes when anything that matters does. */
  hash: string;
}

/** Where the shipped recipes are. */
const shippedFolder = fileURLToPath(new URL('../../recipes/', import.meta.url));

export function shippedRecipes(): string[] {
  if (!existsSync(shippedFolder)) return [];
  return readdirSync(shippedFolder)
    .filter((file) => file.endsWith('.json'))
    .map((file) => file.slice(0, -'.json'.length))
    .sort();
}

/** Those of the shipped recipes that `train` can execute. */
export function trainableRecipes(): string[] {
  return shippedRecipes().filter((name) => {
    const recipe = readJson(resolve(shippedFolder, `${name}.json`), 'recipe');
    return typeof recipe === 'object' && recipe !== null && 'task' in recipe;
  });
}

/**
 * Reads a recipe: a shipped one's name, or the path of a JSON file.
 * @throws UserError (usage) that names the file, the field and what was expected
 */
export function loadRecipe(nameOrPath: string): Recipe {
  const isPath = nameOrPath.endsWith('.json') || nameOrPath.includes('/') || nameOrPath.includes('\\');
  const file = isPath ? resolve(nameOrPath) : resolve(shippedFolder, `${nameOrPath}.json`);
  if (!existsSync(file)) {
    const known = shippedRecipes().join(', ');
    throw new UserError(
      'usage',
      isPath
        ? `recipe ${nameOrPath}: no such file`
        : `no recipe named "${nameOrPath}"; there are ${known}, or give the path of a .json file`,
      'recipe',
    );
  }
  return parseRecipe(readRecipe(file), basename(file));
}

/** A file that the user named is an argument: what is wrong with it is wrong usage. */
function readRecipe(file: string): unknown {
  try {
    return readJson(file, 'recipe');
  } catch (error) {
    throw error instanceof UserError ? new UserError('usage', error.message, 'recipe') : error;
  }
}

/** @throws UserError (usage) that names the first wrong field */
export function parseRecipe(value: unknown, where: string): Recipe {
  const result = recipeSchema.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0];
    const unknownKeys = issue.code === 'unrecognized_keys' ? issue.keys : [];
    const field = [...issue.path, ...unknownKeys.slice(0, 1)].join('.');
    const message = unknownKeys.length > 0 ? 'is not a field that a recipe has here' : issue.message;
    throw new UserError('usage', `${where}: ${field || 'recipe'}: ${message}`, field);
  }
  const recipe = result.data;
  // Making the parts checks what the schema cannot: task options and the model's fields.
  if (recipe.task === undefined) checkPlannable(recipe, where);
  else checkProblems(resolveRecipe(recipe, where), where);
  return recipe;
}

/** True for a recipe that `train` can execute. */
export const isTrainable = (recipe: Recipe): boolean => recipe.task !== undefined;

/** Without a task, the stages must say what they work on. */
function checkPlannable(recipe: Recipe, where: string): void {
  partOf(where, 'model', () => architectureOf(recipe.model, recipe.name));
  recipe.stages.forEach((stage, i) => {
    const { sequenceTokens, promptTokens, completionTokens } = stage.plan ?? {};
    const samples = 'maxTokens' in stage;
    if (samples ? promptTokens === undefined || completionTokens === undefined : sequenceTokens === undefined) {
      const need = samples ? 'plan.promptTokens and plan.completionTokens' : 'plan.sequenceTokens';
      const message = `task: is missing; without one a recipe can only be planned, and then stages.${i} needs ${need}`;
      throw new UserError('usage', `${where}: ${message}`, 'task');
    }
    if ('schedule' in stage) partOf(where, `stages.${i}`, () => createSchedule(stage.schedule, stage.steps));
  });
}

/** Calls `make`; what is wrong with it is then said of `path` in the recipe. */
function partOf<T>(where: string, path: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError('usage', `${where}: ${path}: ${error.message}`, [path, error.field].filter((part) => part).join('.'));
  }
}

/** Draws problems for every stage, so that a task with too few is refused now and not after hours of training. */
function checkProblems({ recipe, tasks }: ResolvedRecipe, where: string): void {
  const seen = new Set<string>();
  recipe.stages.forEach((stage, i) => {
    const key = hashOf([stage.task, stage.kind === 'eval' ? stage.problems : null]);
    if (seen.has(key)) return;
    seen.add(key);
    if (stage.kind === 'eval') {
      partOf(where, `stages.${i}`, () => evaluationProblems(tasks[i], recipe.seed, stage.problems));
    } else {
      partOf(where, stage.task ? `stages.${i}.task` : 'task', () => problemAt(tasks[i], recipe.seed, 'train', 0));
    }
  });
}

/** @throws UserError (usage) for a recipe without a task: it cannot be trained here */
export function resolveRecipe(recipe: Recipe, where = recipe.name): ResolvedRecipe {
  const { task } = recipe;
  if (task === undefined) {
    const name = where.replace(/\.json$/, '');
    const message = `${name} cannot be trained here: it has no task, for its data is not here; see what it takes with "reckoner plan ${name} --on h800x2048"`;
    throw new UserError('usage', message, 'recipe');
  }
  const tasks = recipe.stages.map((stage, i) =>
    partOf(where, stage.task ? `stages.${i}.task` : 'task', () => createTask({ ...task, ...stage.task })),
  );
  const tokenizer = createCharacterTokenizer([...new Set(tasks.flatMap((task) => [...task.alphabet]))].join(''));
  const model = modelConfigSchema.safeParse({ ...recipe.model, vocab_size: recipe.model.vocab_size ?? tokenizer.vocabularySize });
  if (!model.success) {
    const issue = model.error.issues[0];
    const field = ['model', ...issue.path].join('.');
    throw new UserError('usage', `${where}: ${field}: ${issue.message}`, field);
  }
  // A larger one would let the model draw tokens that spell nothing.
  if (model.data.vocab_size !== tokenizer.vocabularySize) {
    const message = `must be ${tokenizer.vocabularySize}, the tokens that the tasks need, is ${model.data.vocab_size}; leave it out`;
    throw new UserError('usage', `${where}: model.vocab_size: ${message}`, 'model.vocab_size');
  }
  recipe.stages.forEach((stage, i) => {
    if ('schedule' in stage) partOf(where, `stages.${i}`, () => createSchedule(stage.schedule, stage.steps));
    if (!('maxTokens' in stage)) return;
    const longest = tasks[i].maxPromptLength + 1 + stage.maxTokens;
    if (longest > model.data.max_position_embeddings) {
      const message = `prompt and completion may have ${longest} tokens, more than model.max_position_embeddings (${model.data.max_position_embeddings})`;
      throw new UserError('usage', `${where}: stages.${i}.maxTokens: ${message}`, `stages.${i}.maxTokens`);
    }
  });
  const resolved: Recipe = { ...recipe, model: model.data };
  return { recipe: resolved, tokenizer, tasks, hash: hashOf(resolved) };
}
