/**
 * @file References of recipes and tasks to files: code of a user's own (`module`), problems
 * (`file`, `evaluationFile`), examples (`data`), and folders of weights (`init`, `teacher`).
 *
 * A recipe that the user named may refer to any file. A run or a model may come from a stranger, so
 * what it refers to is followed only where it is the user's already: inside the user's project (the
 * current directory, links resolved) and with the SHA-256 that the run recorded. Code must also lie
 * outside every run and model, and outside the part of the project that this one is in. Anything else needs `--trust`. See docs/threat-model.md.
 */
import { createHash } from 'node:crypto';
import { existsSync, realpathSync, statSync } from 'node:fs';
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { UserError } from '../base/errors.js';
import { grant } from '../base/grants.js';
import { isHubName } from '../base/hub-name.js';
import { isInside, MAX_TEXT_BYTES, readRegular } from '../base/regular.js';

type Json = Record<string, unknown>;

/** Fields of a task that name a file. */
const TASK_FIELDS = ['module', 'file', 'evaluationFile'];
/** Fields of a stage, and of a source in its `mix`. */
const STAGE_FIELDS = ['data'];
/** Objects whose `from` is the id of a stage, or a run or model folder. */
const STARTS = ['init', 'teacher'];

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** The objects of a recipe that may name `data`: its stages and their sources. */
function sourcesIn(recipe: unknown): Set<unknown> {
  const stages = isObject(recipe) && Array.isArray(recipe.stages) ? recipe.stages : [];
  const mixes = stages.flatMap((stage) => (isObject(stage) && stage.mix) || []);
  return new Set([...stages, ...mixes]);
}

/** A deep copy in which `change` has seen a copy of every object, with the original. */
function mapObjects<T>(value: T, change: (copy: Json, original: unknown) => void): T {
  if (Array.isArray(value)) return value.map((item) => mapObjects(item, change)) as T;
  if (typeof value !== 'object' || value === null) return value;
  const copy = Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, mapObjects(inner, change)]),
  );
  change(copy, value);
  return copy as T;
}

const namedIn = (object: Json, fields: readonly string[]): [field: string, path: string][] =>
  fields.flatMap((field): [string, string][] => {
    const path = object[field];
    return typeof path === 'string' ? [[field, path]] : [];
  });

/**
 * Every `module`, `file` and `evaluationFile` in a task reference made absolute, relative to
 * `folder`.
 */
export function anchorTask<T>(reference: T, folder: string): T {
  return mapObjects(reference, (object) => {
    for (const [field, path] of namedIn(object, TASK_FIELDS))
      if (!isAbsolute(path)) object[field] = resolve(folder, path);
  });
}

/**
 * The recipe or task with the hashes of the files that it names beside them, as `sha256`. @throws
 * UserError (usage)
 */
export function stampTask<T>(reference: T): T {
  const sources = sourcesIn(reference);
  return mapObjects(reference, (object, original) => {
    const named = namedIn(object, [...TASK_FIELDS, ...(sources.has(original) ? STAGE_FIELDS : [])]);
    if (named.length > 0) object.sha256 = hashFiles(named.map(([, path]) => path));
  });
}

interface Reference {
  /** Where it stands, `task.tasks.1.module`. */
  field: string;
  paths: string[];
  /** Recorded; undefined for a folder. */
  sha256?: unknown;
  kind: 'code' | 'data' | 'folder';
}

/** Everything that a recipe or a task refers to. */
function referencesIn(value: unknown): Reference[] {
  const sources = sourcesIn(value);
  const ids = new Set([...sources].map((stage) => (isObject(stage) ? stage.id : undefined)));
  const found: Reference[] = [];
  const visit = (at: unknown, path: string[]): void => {
    if (typeof at !== 'object' || at === null) return;
    if (isObject(at)) {
      const named = namedIn(at, [...TASK_FIELDS, ...(sources.has(at) ? STAGE_FIELDS : [])]);
      if (named.length > 0) {
        const [[field]] = named;
        found.push({
          field: [...path, field].join('.'),
          paths: named.map(([, file]) => file),
          sha256: at.sha256,
          kind: 'module' in at ? 'code' : 'data',
        });
      }
      for (const start of STARTS) {
        const from = isObject(at[start]) ? (at[start] as Json).from : undefined;
        if (typeof from !== 'string' || (path.length > 0 && ids.has(from))) continue;
        found.push({ field: [...path, start, 'from'].join('.'), paths: [from], kind: 'folder' });
      }
    }
    for (const [key, inner] of Object.entries(at)) visit(inner, [...path, key]);
  };
  visit(value, []);
  return found;
}

/** Lets this thread follow all that a reference names: the user named it. */
export function grantReferences(reference: unknown): void {
  for (const { paths } of referencesIn(reference)) for (const path of paths) grant(path);
}

export interface Foreign {
  /** The run or model that the reference came with. */
  folder: string;
  /** The user said `--trust`. */
  trust?: boolean;
  /** The user's own project; default: the current directory. */
  project?: string;
}

/**
 * Lets this thread follow what a run or a model refers to, as far as it is the user's own.
 * @throws UserError (state) that names the first file that is not, and what to do
 */
export function admitReferences(reference: unknown, { folder, trust, project }: Foreign): void {
  const references = referencesIn(reference);
  if (!trust) {
    for (const { field, paths, sha256, kind } of references) {
      const why = refusalOf(paths, sha256, kind, folder, project ?? process.cwd());
      if (why === null) continue;
      const what = kind === 'code' ? 'code' : kind === 'data' ? 'a file' : 'a model';
      const recorded = typeof sha256 === 'string' ? ` (SHA-256 ${sha256.slice(0, 64)})` : '';
      const message = `${folder}: ${field} names ${what} outside it, ${paths.join(' and ')}${recorded}, which is not opened: ${why}; add --trust if you know what is in it`;
      throw new UserError('state', message, field);
    }
  }
  grantReferences(reference);
}

/** Why a reference is not the user's own; null where it is. */
function refusalOf(
  paths: readonly string[],
  sha256: unknown,
  kind: Reference['kind'],
  folder: string,
  project: string,
): string | null {
  const own = realPath(project) ?? resolve(project);
  const theirs = realPath(folder) ?? resolve(folder);
  for (const path of paths) {
    if (kind === 'folder' && isHubName(path)) continue;
    const real = realPath(path);
    if (real === null) {
      // The name of a run of the user's.
      if (kind === 'folder' && !/[/\\]/.test(path)) continue;
      return 'it does not exist';
    }
    if (!isInside(real, own) && (kind === 'code' || !isInside(real, theirs)))
      return `it is not in your project, ${project}`;
    if (kind === 'code' && (isInside(real, cameWith(theirs, own)) || isInModel(real, own)))
      return 'it may have come with a run or a model';
    if (kind !== 'folder' && !statSync(real).isFile()) return 'it is not a regular file';
  }
  if (kind === 'folder') return null;
  if (typeof sha256 !== 'string') return 'its SHA-256 was not recorded';
  return hashFiles(paths) === sha256 ? null : 'its content has changed';
}

const realPath = (path: string): string | null => {
  try {
    return realpathSync(path);
  } catch {
    return null;
  }
};

/**
 * The part of a project that a run or model in it came with, as far as can be told: the folder
 * directly in the project through which it is reached, since an archive may hold more than the run.
 */
function cameWith(folder: string, project: string): string {
  if (isInside(project, folder) || !isInside(folder, project)) return folder;
  return join(project, relative(project, folder).split(sep)[0]);
}

/** True for a file in a model or a run, anywhere below the project. */
function isInModel(file: string, project: string): boolean {
  for (let at = dirname(file); at !== project && isInside(at, project); at = dirname(at)) {
    const has = (...names: string[]) => names.every((name) => existsSync(join(at, name)));
    if (MARKS.some((names) => has(...names))) return true;
  }
  return false;
}

/** Files by which a folder is known as a model, an adapter, a snapshot or a run. */
const MARKS = [
  ['config.json', 'tokenizer.json'],
  ['config.json', 'model.safetensors'],
  ['config.json', 'model.safetensors.index.json'],
  ['adapter_config.json'],
  ['snapshot.json'],
  ['recipe.json', 'events.jsonl'],
];

const ENDINGS = ['', '.ts', '.mts', '.js', '.mjs', '.json', '/index.ts', '/index.js'];

function hashFiles(paths: readonly string[]): string {
  const hash = createHash('sha256');
  for (const path of paths) for (const content of filesOf(resolve(path))) hash.update(content);
  return hash.digest('hex');
}

/**
 * The contents of a file and of all files that it imports by relative paths, in the order found.
 */
function filesOf(file: string, seen = new Set<string>()): Buffer[] {
  const bare = file.replace(/\.(js|mjs)$/, '');
  const found = [file, ...ENDINGS.flatMap((ending) => [file + ending, bare + ending])].find(
    (path) => existsSync(path) && statSync(path).isFile(),
  );
  if (found === undefined || seen.has(found)) return [];
  seen.add(found);
  const content = readRegular(found, 'file', MAX_TEXT_BYTES);
  if (!/\.[mc]?[jt]s$/.test(found)) return [content];
  const imports = [
    ...content.toString('utf8').matchAll(/(?:from|import|require)\s*\(?\s*['"](\.[^'"]+)['"]/g),
  ];
  return [content, ...imports.flatMap(([, path]) => filesOf(resolve(dirname(found), path), seen))];
}
