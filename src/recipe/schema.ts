/**
 * @file The recipe: what to train, on what, in which stages. Data, at any size; `train` executes
 * it, `plan` prices it.
 *
 * A recipe with a task can be executed. One without (a published model, on data that nobody here
 * has) can only be planned, and its stages say what a task would: how long their sequences are.
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { architectureOf } from '../architecture/index.js';
import { UserError } from '../base/errors.js';
import { hashOf, readJson } from '../base/files.js';
import { demandGrant, grant } from '../base/grants.js';
import type { TokenizerFiles } from '../checkpoints/hugging-face.js';
import {
  adapterSchema,
  type ModelConfig,
  modelConfigSchema,
  parametersOf,
  planAdapter,
} from '../models/index.js';
import type { Precision } from '../planner/layout.js';
import { type StageSpec, samplingOf, stageSchema, teacherOf } from '../stages/index.js';
import {
  admitReferences,
  anchorTask,
  evaluationProblems,
  type Foreign,
  grantReferences,
  importDefault,
  makeTask,
  stampTask,
} from '../tasks/index.js';
import { problemAt, type Task } from '../tasks/task.js';
import { createCharacterTokenizer, tokenizerFiles } from '../tokenizers/character.js';
import { type Tokenizer, withUnusedIds } from '../tokenizers/tokenizer.js';
import { losses } from '../training/losses.js';
import { createSchedule } from '../training/schedules.js';
import { createLengthLimit } from '../training/shaping.js';
import { readExamples, sourcesOf, textOf } from '../training/sources.js';
import { longestPrompt } from '../training/stage.js';
import { openBase } from './starting-point.js';

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
    /** A Hugging Face `config.json`; `vocab_size` may be left out, and with `init` all of it. */
    model: recipeModelSchema.default({}),
    /**
     * `{name, …options}` or `{module, …options}`; stages may override options. Without it a recipe
     * can be planned but not trained.
     */
    task: z.looseObject({ name: z.string().optional(), module: z.string().optional() }).optional(),
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
    if (recipe.adapter && !recipe.init) {
      context.addIssue({
        code: 'custom',
        path: ['adapter'],
        message: 'needs init: the model whose weights stay as they are',
      });
    }
    if (Object.keys(recipe.model).length === 0 && !recipe.init) {
      context.addIssue({
        code: 'custom',
        path: ['model'],
        message: 'is missing; with init it may be',
      });
    }
    const seen = new Map<string, string>();
    recipe.stages.forEach((stage, i) => {
      if (seen.has(stage.id)) {
        context.addIssue({
          code: 'custom',
          path: ['stages', i, 'id'],
          message: `"${stage.id}" is used twice`,
        });
      }
      const refuse = (path: (string | number)[], message: string): void => {
        context.addIssue({ code: 'custom', path: ['stages', i, ...path], message });
      };
      if (stage.kind === 'sft' || stage.kind === 'pretrain') {
        const given = [stage.from, stage.data, stage.mix].filter(
          (source) => source !== undefined,
        ).length;
        if (given > 1)
          refuse(['mix'], 'from, data and mix exclude each other; put all sources into mix');
        sourcesOf(stage).forEach(({ from }, s) => {
          if (
            from === undefined ||
            seen.get(from) === 'rejection-sample' ||
            seen.get(from) === 'distill'
          )
            return;
          refuse(
            stage.mix ? ['mix', s, 'from'] : ['from'],
            `"${from}" is not the id of an earlier rejection-sample or distill stage`,
          );
        });
      }
      if (stage.kind === 'distill') {
        if (stage.model === undefined)
          refuse(['model'], 'is missing: the configuration of the student');
        if (teacherOf(recipe.stages, i) === null)
          refuse(['teacher'], 'is missing, and no stage before this one trains a model');
      }
      if (stage.kind === 'grpo')
        partOfSchema(refuse, () => createLengthLimit(stage.lengthSchedule, stage.maxTokens));
      if (
        stage.kind === 'grpo' &&
        stage.replaceReference &&
        (stage.klCoefficient ?? losses[stage.loss].klCoefficient) === 0
      ) {
        refuse(['replaceReference'], 'needs a KL weight; without one there is no reference policy');
      }
      if (stage.kind === 'grpo' && stage.minibatches > stage.prompts) {
        const message = `must be at most prompts (${stage.prompts}), is ${stage.minibatches}`;
        context.addIssue({ code: 'custom', path: ['stages', i, 'minibatches'], message });
      }
      if (stage.kind === 'eval' && stage.passAt > stage.samples) {
        const message = `must be at most samples (${stage.samples}), is ${stage.passAt}`;
        context.addIssue({ code: 'custom', path: ['stages', i, 'passAt'], message });
      }
      if (
        recipe.adapter &&
        (stage.kind === 'distill' || stage.model !== undefined || stage.init !== undefined)
      ) {
        refuse(
          [],
          'cannot bring another model into a recipe with an adapter; it is of the model of init',
        );
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

/**
 * For editors: what a recipe file may hold, as JSON Schema. Rules between fields are checked when
 * it is read.
 */
export function recipeJsonSchema(): Record<string, unknown> {
  const schema = z.toJSONSchema(recipeSchema, { io: 'input', unrepresentable: 'any' }) as Record<
    string,
    unknown
  >;
  return { ...schema, title: 'A recipe of Reckoner' };
}

/** What a part of a stage says when it is made, as an issue of the schema. */
function partOfSchema(
  refuse: (path: (string | number)[], message: string) => void,
  make: () => unknown,
): void {
  try {
    make();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    refuse((error.field ?? '').split('.').filter(Boolean), error.message);
  }
}

/** A recipe with everything made that its data describes. */
export interface ResolvedRecipe {
  recipe: Recipe;
  tokenizer: Tokenizer;
  /** What a folder has of it. */
  tokenizerFiles: TokenizerFiles;
  /** One a stage. */
  tasks: Task[];
  /** The model in force at each stage. */
  models: ModelConfig[];
  /** The recipe's task with other options. */
  taskOf(options: Record<string, unknown>): Task;
  /** Of the resolved recipe: changes when anything that matters does. */
  hash: string;
}

/** Where the shipped recipes are. */
const shippedFolder = fileURLToPath(new URL(/* @vite-ignore */ '../../recipes/', import.meta.url));

export function shippedRecipes(): string[] {
  if (!existsSync(shippedFolder)) return [];
  return readdirSync(shippedFolder)
    .filter((file) => RECIPE_FILE.test(file))
    .map((file) => file.replace(RECIPE_FILE, ''))
    .sort();
}

const RECIPE_FILE = /\.(json|ya?ml)$/;

/** The file of a shipped recipe; one that does not exist is named as JSON. */
function shippedFile(name: string): string {
  const files = ['json', 'yaml', 'yml'].map((ending) =>
    resolve(shippedFolder, `${name}.${ending}`),
  );
  return files.find((file) => existsSync(file)) ?? files[0];
}

/** Those of the shipped recipes that `train` can execute. */
export function trainableRecipes(): string[] {
  return shippedRecipes().filter((name) => {
    const recipe = readRecipe(shippedFile(name));
    return typeof recipe === 'object' && recipe !== null && 'task' in recipe;
  });
}

/**
 * Reads a recipe that the user names: a shipped one's name, or the path of a JSON, YAML or
 * TypeScript file. It may refer to code and files of the user's; the recipe of a run may not
 * (`admitReferences`) unless `trust` is given.
 * @throws UserError (usage) that names the file, the field and what was expected
 */
export function loadRecipe(nameOrPath: string, { trust = false } = {}): Recipe {
  const isPath =
    RECIPE_FILE.test(nameOrPath) ||
    PROGRAM.test(nameOrPath) ||
    nameOrPath.includes('/') ||
    nameOrPath.includes('\\');
  const file = isPath ? resolve(nameOrPath) : shippedFile(nameOrPath);
  if (!existsSync(file)) {
    const known = shippedRecipes().join(', ');
    throw new UserError(
      'usage',
      isPath
        ? `recipe ${nameOrPath}: no such file`
        : `no recipe named "${nameOrPath}"; there are ${known}, or give the path of a .json or .yaml file`,
      'recipe',
    );
  }
  // Files that it names are relative to it, wherever the command is given.
  const recipe = anchorTask(readRecipe(file), dirname(file));
  if (isOfRun(file)) admitReferences(recipe, { folder: dirname(file), trust });
  return parseRecipe(recipe, basename(file));
}

/** True for the `recipe.json` of a run, which may be a stranger's. */
const isOfRun = (file: string): boolean =>
  basename(file) === 'recipe.json' &&
  ['events.jsonl', 'checkpoints'].some((name) => existsSync(resolve(dirname(file), name)));

/** The recipe of a run. @throws UserError (state) when it refers to what is not the user's own */
export function recipeOfRun(value: unknown, where: string, foreign: Foreign): Recipe {
  admitReferences(value, foreign);
  return parseRecipe(value, where);
}

/**
 * A recipe that is computed: its default export. What it computes is written into the run's
 * `recipe.json`.
 */
const PROGRAM = /\.m?[jt]s$/;

/** A file that the user named is an argument: what is wrong with it is wrong usage. */
function readRecipe(file: string): unknown {
  try {
    if (PROGRAM.test(file)) {
      grant(file);
      return importDefault(file, 'recipe');
    }
    return file.endsWith('.json') ? readJson(file, 'recipe') : readYaml(file);
  } catch (error) {
    throw error instanceof UserError ? new UserError('usage', error.message, 'recipe') : error;
  }
}

function readYaml(file: string): unknown {
  try {
    return parseYaml(readFileSync(file, 'utf8'));
  } catch (error) {
    const [first] = (error as Error).message.split('\n');
    throw new UserError(
      'usage',
      `recipe ${file} is not valid YAML: ${first.replace(/:$/, '')}`,
      'recipe',
    );
  }
}

/** The value at a path; undefined where there is none. */
function valueAt(value: unknown, path: readonly PropertyKey[]): unknown {
  let at = value;
  for (const key of path) {
    if (typeof at !== 'object' || at === null) return undefined;
    at = (at as Record<PropertyKey, unknown>)[key];
  }
  return at;
}

/**
 * What stands there, for the end of a message; nothing for what is long or missing, or was said
 * already.
 */
function isText(value: unknown, message: string): string {
  if (value === undefined || typeof value === 'object' || / is \S+$/.test(message)) return '';
  const text = JSON.stringify(value);
  return text.length > 60 || message.includes(text) ? '' : `, is ${text}`;
}

/**
 * A recipe of the caller's own; what it refers to may be read and executed.
 * @throws UserError (usage) that names the first wrong field
 */
export function parseRecipe(value: unknown, where: string): Recipe {
  const result = recipeSchema.safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0];
    const unknownKeys = issue.code === 'unrecognized_keys' ? issue.keys : [];
    const field = [...issue.path, ...unknownKeys.slice(0, 1)].join('.');
    const said = issue.message.replace(/^Invalid input: /, '');
    const message =
      unknownKeys.length > 0
        ? 'is not a field that a recipe has here'
        : `${said}${isText(valueAt(value, issue.path), said)}`;
    throw new UserError('usage', `${where}: ${field || 'recipe'}: ${message}`, field);
  }
  const recipe = result.data;
  grantReferences(recipe);
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
    const { model } = stage;
    if (model !== undefined)
      partOf(where, `stages.${i}.model`, () => architectureOf(model, recipe.name));
    const samples = samplingOf(stage) !== null;
    if (
      samples
        ? promptTokens === undefined || completionTokens === undefined
        : sequenceTokens === undefined
    ) {
      const need = samples ? 'plan.promptTokens and plan.completionTokens' : 'plan.sequenceTokens';
      const message = `task: is missing; without one a recipe can only be planned, and then stages.${i} needs ${need}`;
      throw new UserError('usage', `${where}: ${message}`, 'task');
    }
    if ('schedule' in stage)
      partOf(where, `stages.${i}`, () => createSchedule(stage.schedule, stage.steps));
  });
}

/** Calls `make`; what is wrong with it is then said of `path` in the recipe. */
function partOf<T>(where: string, path: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(
      'usage',
      `${where}: ${path}: ${error.message}`,
      [path, error.field].filter((part) => part).join('.'),
    );
  }
}

/**
 * Draws problems for every stage, so that a task with too few is refused now and not after hours of
 * training.
 */
function checkProblems({ recipe, tasks }: ResolvedRecipe, where: string): void {
  const seen = new Set<string>();
  recipe.stages.forEach((stage, i) => {
    const key = hashOf([stage.task, stage.kind === 'eval' ? stage.problems : null]);
    if (seen.has(key)) return;
    seen.add(key);
    if (stage.kind === 'eval') {
      partOf(where, `stages.${i}`, () => evaluationProblems(tasks[i], recipe.seed, stage.problems));
    } else {
      partOf(where, stage.task ? `stages.${i}.task` : 'task', () =>
        problemAt(tasks[i], recipe.seed, 'train', 0),
      );
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
  const taskOf = (options: Record<string, unknown> = {}): Task => makeTask({ ...task, ...options });
  const tasks = recipe.stages.map((stage, i) =>
    partOf(where, stage.task ? `stages.${i}.task` : 'task', () => taskOf(stage.task)),
  );
  // The vocabulary is what all tasks and files may write.
  const characters = new Set(tasks.flatMap((task) => [...task.alphabet]));
  const digests: string[] = [];
  recipe.stages.forEach((stage, i) => {
    if (stage.kind !== 'sft' && stage.kind !== 'pretrain') return;
    sourcesOf(stage).forEach((source, s) => {
      const at = stage.mix ? `stages.${i}.mix.${s}` : `stages.${i}`;
      if (source.task)
        for (const c of partOf(where, `${at}.task`, () => taskOf(source.task)).alphabet)
          characters.add(c);
      if (source.data === undefined) return;
      demandGrant(source.data, `${at}.data`);
      const text = partOf(where, at, () => textOf(readExamples(source.data as string)));
      for (const c of text.replaceAll(/<\/?(?:think|answer)>/g, '')) characters.add(c);
      digests.push(hashOf(text));
    });
  });
  const { tokenizer, files, base } = startOf(recipe, [...characters].join(''), where);
  const modelAt = (given: Record<string, unknown>, path: string): ModelConfig => {
    const released = path === 'model' ? base : null;
    const vocabulary = given.vocab_size ?? released?.vocab_size ?? tokenizer.vocabularySize;
    const model = modelConfigSchema.safeParse({ ...given, vocab_size: vocabulary });
    if (!model.success) {
      const issue = model.error.issues[0];
      const field = [path, ...issue.path].join('.');
      throw new UserError('usage', `${where}: ${field}: ${issue.message}`, field);
    }
    // A larger one would let the model draw tokens that spell nothing; released models have such,
    // and hardly ever draw them.
    const { vocab_size: size } = model.data;
    if (released ? size < tokenizer.vocabularySize : size !== tokenizer.vocabularySize) {
      const message = `must be ${tokenizer.vocabularySize}, the tokens that the tasks need, is ${size}; leave it out`;
      throw new UserError(
        'usage',
        `${where}: ${path}.vocab_size: ${message}`,
        `${path}.vocab_size`,
      );
    }
    return model.data;
  };
  const own = modelAt(Object.keys(recipe.model).length > 0 ? recipe.model : (base ?? {}), 'model');
  const models: ModelConfig[] = [];
  const stages = recipe.stages.map((stage, i): StageSpec => {
    if (stage.model === undefined) {
      models.push(models[i - 1] ?? own);
      return absoluteData(stage);
    }
    models.push(modelAt(stage.model, `stages.${i}.model`));
    return { ...absoluteData(stage), model: models[i] };
  });
  recipe.stages.forEach((stage, i) => {
    if ('schedule' in stage)
      partOf(where, `stages.${i}`, () => createSchedule(stage.schedule, stage.steps));
    if (stage.kind === 'grpo' && stage.draft && !models[i].num_nextn_predict_layers) {
      const message = `draft: "mtp" needs a model with num_nextn_predict_layers: 1; leave it out`;
      throw new UserError('usage', `${where}: stages.${i}.${message}`, `stages.${i}.draft`);
    }
    const sampling = samplingOf(stage);
    if (sampling === null) return;
    const longest = longestPrompt(tokenizer, tasks[i]) + sampling.maxTokens;
    const positions = models[i].max_position_embeddings;
    if (longest > positions) {
      const field = `stages.${i}.${stage.kind === 'distill' ? 'sampling.' : ''}maxTokens`;
      const message = `prompt and completion may have ${longest} tokens, more than model.max_position_embeddings (${positions})`;
      throw new UserError('usage', `${where}: ${field}: ${message}`, field);
    }
  });
  if (recipe.adapter) planAdapter(parametersOf(own), recipe.adapter);
  // With the hashes of the files that tasks are in: a resume with others is then another recipe.
  const resolved: Recipe = stampTask({ ...recipe, model: own, stages });
  const hash = digests.length === 0 ? hashOf(resolved) : hashOf([resolved, ...digests]);
  return { recipe: resolved, tokenizer, tokenizerFiles: files, tasks, models, taskOf, hash };
}

/** Files are named from where the recipe was read; a run may be resumed from elsewhere. */
function absoluteData(stage: StageSpec): StageSpec {
  if (stage.kind !== 'sft' && stage.kind !== 'pretrain') return stage;
  const { data, mix } = stage;
  return {
    ...stage,
    ...(data === undefined ? {} : { data: resolve(data) }),
    ...(mix === undefined
      ? {}
      : {
          mix: mix.map((source) =>
            'data' in source ? { ...source, data: resolve(source.data) } : source,
          ),
        }),
  };
}

/**
 * The recipe with a file of examples for its supervised stages, in place of the task's
 * demonstrations. @throws UserError (usage)
 */
export function withData(recipe: Recipe, file: string): Recipe {
  let taken = 0;
  const stages = recipe.stages.map((stage) => {
    const open = (stage.kind === 'sft' || stage.kind === 'pretrain') && !stage.from && !stage.mix;
    if (!open) return stage;
    taken++;
    return { ...stage, data: resolve(file) };
  });
  grant(file);
  if (taken > 0) return { ...recipe, stages };
  throw new UserError(
    'usage',
    `${recipe.name} has no pretrain or sft stage that could learn from ${file}`,
    '--data',
  );
}

/**
 * The tokenizer, and the configuration of the model that a recipe starts from; null where it starts
 * from nothing.
 */
function startOf(
  { init, adapter, model }: Recipe,
  alphabet: string,
  where: string,
): { tokenizer: Tokenizer; files: TokenizerFiles; base: Record<string, unknown> | null } {
  const own = () => {
    const tokenizer = createCharacterTokenizer(alphabet);
    return { tokenizer, files: tokenizerFiles(tokenizer), base: null };
  };
  if (!init) return own();
  try {
    const { folder, config, tokenizer, tokenizerFiles: files } = openBase(init.from);
    try {
      tokenizer.encode(alphabet);
    } catch (error) {
      const message = `init.from: ${folder} has another vocabulary than the recipe's tasks: ${(error as Error).message}`;
      throw new UserError('data', message, 'init.from');
    }
    return { tokenizer: withUnusedIds(tokenizer), files, base: config };
  } catch (error) {
    // A run that has begun has the weights in its checkpoints, and the model in its recipe.
    const gone =
      error instanceof UserError &&
      error.code === 'usage' &&
      !adapter &&
      Object.keys(model).length > 0;
    if (gone) return own();
    return partOf(where, 'init.from', () => {
      throw error;
    });
  }
}
