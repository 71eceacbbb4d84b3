/**
 * @file The recipe: what to train, on what, in which stages. Data, at any size; `train` executes it, `plan` prices it.
 */
import { existsSync, readdirSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { hashOf, readJson } from '../base/files.js';
import { modelConfigSchema } from '../models/index.js';
import { createTask, evaluationProblems } from '../tasks/index.js';
import { problemAt, type Task } from '../tasks/task.js';
import { createCharacterTokenizer } from '../tokenizers/character.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';
import { createSchedule } from '../training/schedules.js';
import { stageSchema } from './stages.js';

export const RECIPE_SCHEMA_VERSION = 1;

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
    seed: z.number().int().min(0).max(0xffffffff).default(1),
    /** A Hugging Face `config.json`; `vocab_size` may be left out. */
    model: recipeModelSchema,
    /** `{name, …options}`; stages may override options. */
    task: z.looseObject({ name: z.string() }),
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
  checkProblems(resolveRecipe(recipe, where), where);
  return recipe;
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

export function resolveRecipe(recipe: Recipe, where = recipe.name): ResolvedRecipe {
  const tasks = recipe.stages.map((stage, i) =>
    partOf(where, stage.task ? `stages.${i}.task` : 'task', () => createTask({ ...recipe.task, ...stage.task })),
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
