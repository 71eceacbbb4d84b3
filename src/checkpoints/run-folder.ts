/**
 * @file A run is a folder: where its files are, how it is named and found, and who may write to it.
 *
 *   runs/2026-11-23-r1-mini-7f3a/   recipe.json  plan.json  events.jsonl  samples.jsonl  checkpoints/  stages/  model/  bill.json
 *
 * Everything that a command needs is in the folder, so runs are moved with `mv` and read with
 * `cat`. One process at a time trains in a run: it holds `run.lock`, which names the process; a
 * lock whose process is gone is taken over.
 */
import { existsSync, lstatSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { basename, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { UserError } from '../base/errors.js';
import { diskError, makeFolder, readJson, recoverFolder } from '../base/files.js';
import { isHubName } from '../base/hub-name.js';
import { holderOfLock, provenHolderOfLock, takeLock } from '../base/lock.js';
import { Random } from '../base/random.js';
import { fileWithin, MAX_DOCUMENT_BYTES, statPlain } from '../base/regular.js';
import { cachedModel } from './hub-cache.js';
import { isModel } from './load-model.js';
import { latestSnapshot } from './snapshot.js';

/** Where runs are, unless the user says otherwise. */
export const RUNS = 'runs';

/** The paths of a run. They need not exist. */
export interface RunFolder {
  /** The folder's own name, `2026-11-23-r1-mini-7f3a`. */
  name: string;
  root: string;
  recipe: string;
  plan: string;
  events: string;
  samples: string;
  checkpoints: string;
  /** Of each stage that trained, its model as a Hugging Face folder: `stages/<id>`. */
  stages: string;
  model: string;
  bill: string;
}

function pathsOf(root: string): RunFolder {
  return {
    name: basename(resolve(root)),
    root,
    recipe: join(root, 'recipe.json'),
    plan: join(root, 'plan.json'),
    events: join(root, 'events.jsonl'),
    samples: join(root, 'samples.jsonl'),
    checkpoints: join(root, 'checkpoints'),
    stages: join(root, 'stages'),
    model: join(root, 'model'),
    bill: join(root, 'bill.json'),
  };
}

/**
 * Makes a new run's folder (with `checkpoints/` in it), named by day (UTC), recipe and four
 * hexadecimal digits; never one that exists. @throws UserError (disk)
 */
export function createRunFolder(
  root: string,
  recipeName: string,
  now: Date,
  seed: number,
): RunFolder {
  makeFolder(root);
  removeNeverBegun(root, now);
  const recipe =
    recipeName
      .toLowerCase()
      .replace(/[^a-z0-9]+/g, '-')
      .replace(/^-+|-+$/g, '')
      .slice(0, 60) || 'run';
  const random = new Random(seed, 'run', now.getTime(), process.pid);
  for (let attempt = 0; attempt < 100_000; attempt++) {
    const digits = (random.uint32() >>> 16).toString(16).padStart(4, '0');
    const path = join(root, `${now.toISOString().slice(0, 10)}-${recipe}-${digits}`);
    try {
      mkdirSync(path);
      mkdirSync(join(path, 'checkpoints'));
      return pathsOf(path);
    } catch (error) {
      if ((error as { code?: string }).code !== 'EEXIST') throw diskError(error, path);
    }
  }
  throw new UserError(
    'state',
    `no free name for a run of ${recipe} in ${root}; remove old runs or use another folder with --runs`,
  );
}

/** What a run has before its recipe, which is written last. */
const BEFORE_RECIPE = /^(checkpoints|events\.jsonl|run\.lock|.*\.tmp-\d+.*)$/;
/** A run that has just got its folder takes the lock within moments. */
const BEGINS_WITHIN_MS = 60_000;

/** Removes what runs left that were killed before they had a recipe: they have nothing to resume. */
function removeNeverBegun(root: string, now: Date): void {
  for (const name of readdirSync(root)) {
    if (!/^\d{4}-\d\d-\d\d-.+-[0-9a-f]{4}$/.test(name)) continue;
    const run = pathsOf(join(root, name));
    try {
      const stat = lstatSync(run.root);
      if (!stat.isDirectory() || now.getTime() - stat.mtimeMs < BEGINS_WITHIN_MS) continue;
      const has = readdirSync(run.root);
      if (!has.every((file) => BEFORE_RECIPE.test(file)) || holderOf(run) !== null) continue;
      if (has.includes('checkpoints') && readdirSync(run.checkpoints).length > 0) continue;
      rmSync(run.root, { recursive: true });
    } catch {
      // Another process was quicker, or it is not ours to remove.
    }
  }
}

/** Folders of a run that are written to, one level deep. */
const WRITTEN = ['.', 'checkpoints', 'stages', 'data', 'model'];

/**
 * A run that is gone on with is written to, and a link in it would lead that elsewhere.
 * @throws UserError (data) when anything in it is no regular file and no folder
 */
export function refuseLinks({ root }: RunFolder): void {
  for (const folder of WRITTEN) {
    const path = join(root, folder);
    if (!existsSync(path)) continue;
    for (const entry of readdirSync(path, { withFileTypes: true })) {
      if (entry.isFile() || entry.isDirectory()) continue;
      const what = entry.isSymbolicLink() ? 'a link' : 'a device or a pipe';
      const name = join(path, entry.name);
      const message = `${name} is ${what}, through which the run would write elsewhere; remove it, or add --trust if you made it`;
      throw new UserError('data', message, name);
    }
  }
}

/** True for a folder with a recipe; a device, a FIFO or a link of that name is none. */
function isRun(path: string): boolean {
  return statPlain(join(path, 'recipe.json')) !== null;
}

/** A JSON file of a run. @throws UserError (data) when it is no regular file, or too large */
export const readRunJson = (run: Pick<RunFolder, 'root'>, name: string, what = name): unknown =>
  readJson(join(run.root, name), what, MAX_DOCUMENT_BYTES, false);

/** Opens a run by its path. @throws UserError (usage) when there is no run there. */
export function openRunFolder(path: string): RunFolder {
  if (!existsSync(path))
    throw new UserError('usage', `no run at ${path}; ls ${RUNS}/ shows the runs there are`, 'run');
  if (!isRun(path))
    throw new UserError('usage', `${path} is not a run: it has no recipe.json`, 'run');
  recoverFolder(join(path, 'model'));
  return pathsOf(path);
}

/** All runs under a folder, oldest first (by the time of their recipe.json, then by name). */
export function findRuns(root: string = RUNS): RunFolder[] {
  let names: string[];
  try {
    names = readdirSync(root);
  } catch {
    return [];
  }
  return names
    .filter((name) => isRun(join(root, name)))
    .map((name) => ({
      run: pathsOf(join(root, name)),
      time: statPlain(join(root, name, 'recipe.json'))?.mtimeMs ?? 0,
    }))
    .sort((a, b) => a.time - b.time || (a.run.name < b.run.name ? -1 : 1))
    .map(({ run }) => run);
}

/** A run that ended with a model. */
const isComplete = ({ model }: RunFolder): boolean => existsSync(join(model, 'config.json'));

/**
 * A run by path, by name under `root`, or by a part of its name; the newest when `which` is
 * omitted. Of several runs with that part the newest complete one is meant (of a recipe that was
 * run twice, the last), or the newest that can be resumed; `tell` is told which.
 * @throws UserError (usage)
 */
export function resolveRun(
  which: string | undefined,
  root: string = RUNS,
  { prefer = 'complete', tell = () => {} }: ResolveOptions = {},
): RunFolder {
  const runs = findRuns(root);
  if (which === undefined) {
    const newest = runs.at(-1);
    if (!newest)
      throw new UserError(
        'usage',
        `there is no run in ${root}/ yet; "reckoner train" makes one`,
        'run',
      );
    return newest;
  }
  if (isRun(which)) return openRunFolder(which);
  if (!isAbsolute(which) && !which.includes('/') && !which.includes(sep)) {
    const matches = runs.filter(({ name }) => name === which);
    if (matches.length === 0) matches.push(...runs.filter(({ name }) => name.includes(which)));
    if (matches.length === 1) return matches[0];
    if (matches.length > 1) {
      const wanted = matches.findLast((run) => isComplete(run) === (prefer === 'complete'));
      const run = wanted ?? (matches.at(-1) as RunFolder);
      const kind = wanted === undefined ? '' : prefer === 'complete' ? ' complete' : ' unfinished';
      tell(`${which} fits ${matches.length} runs; this is the newest${kind} one, ${run.name}`);
      return run;
    }
  }
  return openRunFolder(which);
}

export interface ResolveOptions {
  prefer?: 'complete' | 'unfinished';
  /** Takes a line for the user. */
  tell?: (line: string) => void;
}

export interface ResolvedModel {
  /**
   * What `loadModel` reads: a model folder, a GGUF file, or a snapshot with its `config.json`.
   */
  folder: string;
  kind: 'model' | 'snapshot';
  run: RunFolder | null;
  /** The step of a snapshot. */
  step: number | null;
  /**
   * What a user should know: that the run has not ended, or that a damaged snapshot was passed
   * over.
   */
  notes: string[];
}

/**
 * What a user means by a model: a Hugging Face folder or a GGUF file; `hf:org/name`, which must be
 * in the cache; a run (its `model/`, else its newest sound
 * snapshot) by path, name or part of a name; the newest run that has either, when `which` is
 * omitted.
 * @throws UserError (usage) when there is none.
 */
export function resolveModel(which?: string, root: string = RUNS): ResolvedModel {
  if (which === undefined) {
    const runs = findRuns(root).reverse();
    for (const run of runs) {
      const found = modelOf(run);
      if (found) return found;
    }
    const why =
      runs.length === 0 ? `there is no run in ${root}/ yet` : `no run in ${root}/ has a model yet`;
    throw new UserError(
      'usage',
      `${why}; "reckoner train" makes one, or give the path of a model folder`,
      'model',
    );
  }
  if (isHubName(which))
    return { folder: cachedModel(which), kind: 'model', run: null, step: null, notes: [] };
  if (isModel(which) || existsSync(join(which, 'adapter_config.json'))) {
    const snapshot = existsSync(join(which, 'snapshot.json'));
    return {
      folder: which,
      kind: snapshot ? 'snapshot' : 'model',
      run: null,
      step: snapshot ? Number(basename(resolve(which))) : null,
      notes: [],
    };
  }
  const told: string[] = [];
  let run: RunFolder;
  try {
    run = resolveRun(which, root, { tell: (line) => told.push(line) });
  } catch (error) {
    if (!(error instanceof UserError) || !existsSync(which)) throw error;
    throw new UserError(
      'usage',
      `${which} is neither a model (no config.json) nor a run (no recipe.json)`,
      'model',
    );
  }
  const found = modelOf(run);
  if (!found)
    throw new UserError(
      'usage',
      `${run.root} has no model and no usable checkpoint yet; "reckoner train --resume ${run.root}" resumes it`,
      'model',
    );
  return { ...found, notes: [...told, ...found.notes] };
}

function modelOf(run: RunFolder): ResolvedModel | null {
  recoverFolder(run.model);
  for (const name of ['model', 'checkpoints'])
    if (existsSync(join(run.root, name))) fileWithin(run.root, name);
  if (existsSync(join(run.model, 'config.json')))
    return { folder: run.model, kind: 'model', run, step: null, notes: [] };
  const notes: string[] = [];
  const snapshot = latestSnapshot(run.checkpoints, (_folder, message) => notes.push(message));
  if (!snapshot || !existsSync(join(snapshot.folder, 'config.json'))) return null;
  fileWithin(run.root, relative(run.root, snapshot.folder));
  notes.push(`${run.name} has not ended; this is its checkpoint of step ${snapshot.state.step}`);
  return { folder: snapshot.folder, kind: 'snapshot', run, step: snapshot.state.step, notes };
}

/** The process on this machine that writes to the run; null when there is none. */
export const holderOf = (run: RunFolder): number | null => holderOfLock(lockOf(run));

/** The same, proved to be a training of this run: the only process that may be signalled. */
export const provenHolderOf = (run: RunFolder): number | null => provenHolderOfLock(lockOf(run));

/**
 * Takes the run for this process. @returns a function that gives it back; it is also given back
 * when the process exits.
 * @throws UserError (state) when another process holds it.
 */
export const lockRun = (run: RunFolder): (() => void) => takeLock(lockOf(run), run.root, 'run');

const lockOf = (run: RunFolder): string => join(run.root, 'run.lock');
