/**
 * @file Everything that a recipe's data describes, made: tokenizer, tasks, model configurations,
 * with every file named by its absolute path.
 */
import { resolve } from 'node:path';
import { UserError } from '../base/errors.js';
import { hashOf } from '../base/files.js';
import { demandGrant, grant } from '../base/grants.js';
import { pinnedName } from '../checkpoints/hub-cache.js';
import type { TokenizerFiles } from '../checkpoints/hugging-face.js';
import { checkModelConfig, type ModelConfig, parametersOf, planAdapter } from '../models/index.js';
import { kindOf, type StageSpec } from '../stages/index.js';
import { makeTask, stampTask } from '../tasks/index.js';
import type { Task } from '../tasks/task.js';
import { createCharacterTokenizer, tokenizerFiles } from '../tokenizers/character.js';
import { type Tokenizer, withUnusedIds } from '../tokenizers/tokenizer.js';
import { readExamples, textOf } from '../training/sources.js';
import { longestPrompt } from '../training/stage.js';
import type { Recipe } from './schema.js';
import { openBase } from './starting-point.js';

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

/** True for a recipe that `train` can execute. */
export const isTrainable = (recipe: Recipe): boolean => recipe.task !== undefined;

/** Calls `make`; what is wrong with it is then said of `path` in the recipe. */
export function partOf<T>(where: string, path: string, make: () => T): T {
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

/** @throws UserError (usage) for a recipe without a task: it cannot be trained here */
export function resolveRecipe(recipe: Recipe, where = recipe.name): ResolvedRecipe {
  const { task } = recipe;
  if (task === undefined) {
    const name = where.replace(/\.json$/, '');
    const message = `${name} cannot be trained here: it has no task; predict what it takes with "reckoner plan ${name} --on h800x2048"`;
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
    const sources = kindOf(stage).data?.sources(stage) ?? [];
    sources.forEach((source, s) => {
      const at = sources.length > 1 ? `stages.${i}.mix.${s}` : `stages.${i}`;
      if (source.task)
        for (const c of partOf(where, `${at}.task`, () => taskOf(source.task)).alphabet)
          characters.add(c);
      if (source.data === undefined) return;
      demandGrant(source.data, `${at}.data`);
      const text = partOf(where, at, () =>
        textOf(readExamples(source.data as string, source.columns)),
      );
      for (const c of text.replaceAll(/<\/?(?:think|answer)>/g, '')) characters.add(c);
      digests.push(hashOf(text));
    });
  });
  const { tokenizer, files, base } = startOf(recipe, [...characters].join(''), where);
  const modelAt = (given: Record<string, unknown>, path: string): ModelConfig => {
    const released = path === 'model' ? base : null;
    const vocabulary = given.vocab_size ?? released?.vocab_size ?? tokenizer.vocabularySize;
    const model = checkModelConfig({ ...given, vocab_size: vocabulary });
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
    const made = { model: models[i], longestPrompt: longestPrompt(tokenizer, tasks[i]) };
    try {
      kindOf(stage).fits?.(stage, made);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      const field = `stages.${i}.${error.field}`;
      throw new UserError('usage', `${where}: ${field}: ${error.message}`, field);
    }
  });
  if (recipe.adapter) planAdapter(parametersOf(own), recipe.adapter);
  // With the hashes of the files that tasks are in: a resume with others is then another recipe.
  const init = recipe.init && { from: pinnedName(recipe.init.from) };
  const resolved: Recipe = stampTask({ ...recipe, ...(init && { init }), model: own, stages });
  const hash = digests.length === 0 ? hashOf(resolved) : hashOf([resolved, ...digests]);
  return { recipe: resolved, tokenizer, tokenizerFiles: files, tasks, models, taskOf, hash };
}

/** Files are named from where the recipe was read; a run may be resumed from elsewhere. */
const absoluteData = (stage: StageSpec): StageSpec =>
  (kindOf(stage).data?.named(stage, (file) => resolve(file)) as StageSpec | undefined) ?? stage;

/**
 * The recipe with a file of examples for its supervised stages, in place of the task's
 * demonstrations. @throws UserError (usage)
 */
export function withData(recipe: Recipe, file: string): Recipe {
  let taken = 0;
  const stages = recipe.stages.map((stage) => {
    const learning = kindOf(stage).data?.from(stage, resolve(file)) as StageSpec | null | undefined;
    if (!learning) return stage;
    taken++;
    return learning;
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
