/**
 * @file Reading recipes: a shipped one by its name, a JSON or YAML file, or a program whose default
 * export is a recipe; and what is wrong with one, in one line.
 */
import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { architectureOf } from '../architecture/index.js';
import { UserError } from '../base/errors.js';
import { hashOf, readJson } from '../base/files.js';
import { grant } from '../base/grants.js';
import { isHubName } from '../base/hub-name.js';
import { readYaml } from '../base/yaml.js';
import { factsOfHints } from '../stages/facts.js';
import { kindOf } from '../stages/index.js';
import {
  admitReferences,
  anchorTask,
  evaluationProblems,
  type Foreign,
  grantReferences,
  importDefault,
} from '../tasks/index.js';
import { problemAt } from '../tasks/task.js';
import { partOf, type ResolvedRecipe, resolveRecipe } from './resolve.js';
import { type Recipe, recipeSchema } from './schema.js';

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
  const file = fileOf(nameOrPath);
  // Files that it names are relative to it, wherever the command is given.
  const recipe = anchorTask(readRecipe(file), dirname(file));
  if (isOfRun(file)) admitReferences(recipe, { folder: dirname(file), trust });
  return parseRecipe(recipe, basename(file));
}

/** The models of the hub that a recipe names: to be downloaded before it is loaded. */
export function hubModelsOf(nameOrPath: string): string[] {
  const raw = readRecipe(fileOf(nameOrPath)) as {
    init?: { from?: unknown };
    stages?: { teacher?: { from?: unknown } }[];
  } | null;
  const stages = Array.isArray(raw?.stages) ? raw.stages : [];
  const names = [raw?.init?.from, ...stages.map((stage) => stage?.teacher?.from)];
  return names.filter((name) => typeof name === 'string' && isHubName(name)) as string[];
}

/** The file of a recipe. @throws UserError (usage) when there is none */
function fileOf(nameOrPath: string): string {
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
  return file;
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
    return file.endsWith('.json')
      ? readJson(file, 'recipe')
      : readYaml(file, 'recipe', 'usage', 'recipe');
  } catch (error) {
    throw error instanceof UserError ? new UserError('usage', error.message, 'recipe') : error;
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
  const result = recipeSchema().safeParse(value);
  if (!result.success) {
    const issue = result.error.issues[0];
    const unknownKeys = issue.code === 'unrecognized_keys' ? issue.keys : [];
    const field = [...issue.path, ...unknownKeys.slice(0, 1)].join('.');
    const said = issue.message.replace(/^Invalid input: /, '');
    const message =
      unknownKeys.length > 0
        ? 'is not a known field here'
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

/** Without a task, the stages must say what they work on. */
function checkPlannable(recipe: Recipe, where: string): void {
  partOf(where, 'model', () => architectureOf(recipe.model, recipe.name));
  recipe.stages.forEach((stage, i) => {
    const { model, plan = {} } = stage;
    if (model !== undefined)
      partOf(where, `stages.${i}.model`, () => architectureOf(model, recipe.name));
    const given = { adapter: recipe.adapter !== undefined, predictsFurther: false };
    const hints = factsOfHints(plan, given, null, `stages.${i}`);
    try {
      kindOf(stage).work(stage, hints);
    } catch (error) {
      if (!(error instanceof UserError) || error.field !== 'task') throw error;
      throw new UserError('usage', `${where}: task: ${error.message}`, 'task');
    }
  });
}

/**
 * Draws problems for every stage, so that a task with too few is refused now and not after hours of
 * training.
 */
function checkProblems({ recipe, tasks }: ResolvedRecipe, where: string): void {
  const seen = new Set<string>();
  recipe.stages.forEach((stage, i) => {
    const evaluated = kindOf(stage).evaluates?.(stage);
    const key = hashOf([stage.task, evaluated ?? null]);
    if (seen.has(key)) return;
    seen.add(key);
    if (evaluated !== undefined) {
      partOf(where, `stages.${i}`, () => evaluationProblems(tasks[i], recipe.seed, evaluated));
    } else {
      partOf(where, stage.task ? `stages.${i}.task` : 'task', () =>
        problemAt(tasks[i], recipe.seed, 'train', 0),
      );
    }
  });
}
