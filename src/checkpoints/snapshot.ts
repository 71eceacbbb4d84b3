/**
 * @file Snapshots: everything that a run needs to go on as if it had never stopped.
 *
 * A snapshot is a folder named by its step, `checkpoints/000400/`:
 *
 *   weights.safetensors     what is trained, float32, under the model's Hugging Face names
 *   optimizer.safetensors   the optimizer's moments
 *   config.json, …          small JSON files, so that the folder can be chatted with before the run has ended
 *   snapshot.json           the position (stage, step, seed), what the results rest on, and the size and SHA-256 of each file
 *
 * It is written under a temporary name, flushed and renamed, so it exists whole or not at all;
 * `snapshot.json` carries a digest of itself. What a disk did to it later is found on loading, and
 * the snapshot before it is used instead.
 *
 * Bit-for-bit resumption rests on more than these numbers: backend, worker count, Node, processor.
 * `checkDrift` names what differs, for the refusal that `--allow-drift` lifts.
 */
import { readdirSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { faultPoint } from '../base/faults.js';
import {
  canonicalJson,
  cleanFolder,
  hashOf,
  readJson,
  recoverFolder,
  removeFolderAtomic,
  sha256File,
  type Written,
  writeFileDurably,
  writeFolderAtomic,
} from '../base/files.js';
import { statPlain } from '../base/regular.js';
import { type NamedTensor, openSafetensors, type SafetensorsFile } from './safetensors.js';
import { writeSafetensors } from './safetensors-writer.js';

export const SNAPSHOT_SCHEMA_VERSION = 1;

/** What the bits of a run rest on besides its recipe's numbers. */
export interface Foundation {
  /** Reckoner's version. */
  version: string;
  /** `hashOf` the resolved recipe. */
  recipeHash: string;
  seed: number;
  workers: number;
  /** `Backend.fingerprint`. */
  fingerprint: string;
  /** `process.version`. */
  node: string;
  /** For example `linux x64`. */
  platform: string;
  cpu: string;
  /** SHA-256 of the frozen weights under an adapter. */
  base?: string;
}

/**
 * A position in a run. Trainers add what else they need, as JSON: finite numbers, text, lists,
 * objects.
 */
export interface SnapshotState extends Foundation {
  /** Global step: optimizer or rollout steps done so far, over all stages. */
  step: number;
  stageIndex: number;
  /** Steps done within the stage. */
  stageStep: number;
  attempt: number;
  [extra: string]: unknown;
}

/** Tensors by file: `weights`, `optimizer`, `reference`; each becomes `<file>.safetensors`. */
export type SnapshotTensors = Record<string, readonly NamedTensor[]>;

export interface SnapshotContent {
  state: SnapshotState;
  tensors: SnapshotTensors;
  /** Further files by name, as JSON: `config.json`, `tokenizer.json`. */
  json?: Record<string, unknown>;
}

/** A snapshot whose sizes and hashes were found right. */
export interface Snapshot {
  readonly folder: string;
  readonly state: SnapshotState;
  readonly bytes: number;
  /** The digest of `snapshot.json`, which covers the hash of every file. */
  readonly sha256: string;
  /** Names of its tensor files, without `.safetensors`. */
  readonly files: readonly string[];
  has(file: string): boolean;
  /** Opens a tensor file; close it when done. @throws UserError (data) */
  open(file: string): SafetensorsFile;
  /** All tensors of a file, in the order in which they were saved. @throws UserError (data) */
  read(file: string): NamedTensor[];
}

interface Manifest {
  schemaVersion: number;
  state: SnapshotState;
  files: Record<string, Written>;
  digest: string;
}

const MANIFEST = 'snapshot.json';
const FILE_NAME = /^[a-z][\w-]*(\.[a-z]+)?$/;

/** The folder of a step, `000400`: six digits or more, so that names sort as numbers do. */
export function snapshotName(step: number): string {
  return String(step).padStart(6, '0');
}

/**
 * What this process's results rest on; the caller knows recipe, seed, workers, backend and version.
 */
export function foundationHere(
  known: Pick<Foundation, 'version' | 'recipeHash' | 'seed' | 'workers' | 'fingerprint' | 'base'>,
): Foundation {
  return {
    ...known,
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
  };
}

/** JSON has no NaN and no infinity; losing one silently would make a resumed run differ. */
function assertFinite(value: unknown, where: string): void {
  if (typeof value === 'number' && !Number.isFinite(value))
    throw new Error(`snapshot state ${where} is ${value}, which JSON cannot hold`);
  if (value !== null && typeof value === 'object') {
    for (const [key, part] of Object.entries(value)) assertFinite(part, `${where}.${key}`);
  }
}

/**
 * Writes a snapshot in one step; one of the same name is replaced.
 * @throws UserError (disk); earlier snapshots are then untouched.
 */
export async function saveSnapshot(folder: string, content: SnapshotContent): Promise<Written> {
  const { state, tensors, json = {} } = content;
  assertFinite(state, 'state');
  const write = (temporary: string): Written => {
    const files: Record<string, Written> = {};
    for (const [file, list] of Object.entries(tensors)) {
      if (!FILE_NAME.test(file) || file.includes('.'))
        throw new Error(`snapshot: ${file} is not a usable file name`);
      const name = `${file}.safetensors`;
      files[name] = writeSafetensors(join(temporary, name), list, {
        label: 'checkpoint',
        metadata: { format: 'pt' },
      });
    }
    for (const [name, value] of Object.entries(json)) {
      if (!FILE_NAME.test(name) || name === MANIFEST)
        throw new Error(`snapshot: ${name} is not a usable file name`);
      files[name] = writeFileDurably(
        join(temporary, name),
        `${JSON.stringify(value, null, 2)}\n`,
        'checkpoint',
      );
    }
    const body = { schemaVersion: SNAPSHOT_SCHEMA_VERSION, state, files };
    const digest = hashOf(canonicalJson(body));
    const manifest = writeFileDurably(
      join(temporary, MANIFEST),
      `${JSON.stringify({ ...body, digest }, null, 2)}\n`,
      'checkpoint',
    );
    const bytes = Object.values(files).reduce((sum, file) => sum + file.bytes, manifest.bytes);
    return { bytes, sha256: digest };
  };
  return writeFolderAtomic(folder, write, 'checkpoint');
}

const MAX_MANIFEST_BYTES = 16 * 1024 * 1024;
/** The engine's memory ends at 4 GiB. */
const MAX_FILE_BYTES = 8 * 1024 ** 3;

function readManifest(folder: string): Manifest {
  const path = join(folder, MANIFEST);
  const manifest = readJson(
    path,
    'snapshot',
    MAX_MANIFEST_BYTES,
    false,
  ) as Partial<Manifest> | null;
  const refuse = (why: string): never => {
    throw new UserError('data', `snapshot ${folder} cannot be used: ${why}`, path);
  };
  if (
    typeof manifest !== 'object' ||
    manifest === null ||
    typeof manifest.schemaVersion !== 'number'
  )
    return refuse(`${MANIFEST} is not one of Reckoner's`);
  if (manifest.schemaVersion !== SNAPSHOT_SCHEMA_VERSION) {
    return refuse(
      `its format is version ${manifest.schemaVersion}, and this Reckoner reads version ${SNAPSHOT_SCHEMA_VERSION}`,
    );
  }
  const { digest, ...body } = manifest;
  if (digest !== hashOf(canonicalJson(body)))
    return refuse(`${MANIFEST} was altered (its digest does not match)`);
  const isObject = (part: unknown): boolean => typeof part === 'object' && part !== null;
  if (
    !isObject(manifest.state) ||
    !isObject(manifest.files) ||
    !Object.values(manifest.files ?? {}).every(isObject)
  ) {
    return refuse(`${MANIFEST} lacks its state or its files`);
  }
  const wrong = wrongField(manifest.state as Record<string, unknown>);
  if (wrong) return refuse(`${MANIFEST} has no usable state.${wrong}`);
  return manifest as Manifest;
}

const COUNTS = ['step', 'stageIndex', 'stageStep', 'attempt', 'seed', 'workers'];
const TEXTS = ['version', 'recipeHash', 'fingerprint', 'node', 'platform', 'cpu'];

/** The first field of a state that is not what it must be. */
const wrongField = (state: Record<string, unknown>): string | undefined =>
  COUNTS.find((name) => !Number.isSafeInteger(state[name]) || (state[name] as number) < 0) ??
  TEXTS.find((name) => typeof state[name] !== 'string');

/**
 * Opens a snapshot after checking every file's size and hash.
 * @throws UserError (data) when it is missing, truncated or altered; the message says which file.
 */
export function loadSnapshot(folder: string): Snapshot {
  recoverFolder(folder);
  const manifest = readManifest(folder);
  const refuse = (name: string, why: string): never => {
    throw new UserError(
      'data',
      `snapshot ${folder} cannot be used: ${name} ${why}`,
      join(folder, name),
    );
  };
  let bytes = statPlain(join(folder, MANIFEST))?.size ?? 0;
  for (const [name, expected] of Object.entries(manifest.files)) {
    if (!FILE_NAME.test(name)) refuse(name, 'is not a usable file name');
    const path = join(folder, name);
    const size = statPlain(path)?.size;
    if (size === undefined) return refuse(name, 'is missing, or is no regular file');
    if (size > MAX_FILE_BYTES) refuse(name, `has ${size} bytes, more than a run can have written`);
    if (size !== expected.bytes)
      refuse(name, `has ${size} bytes instead of ${expected.bytes}: it was truncated or altered`);
    let actual: Written;
    try {
      actual = sha256File(path);
    } catch (error) {
      return refuse(name, `cannot be read (${(error as Error).message})`);
    }
    if (actual.sha256 !== expected.sha256) refuse(name, 'was altered (its SHA-256 does not match)');
    bytes += expected.bytes;
  }
  const files = Object.keys(manifest.files)
    .filter((name) => name.endsWith('.safetensors'))
    .map((name) => name.slice(0, -'.safetensors'.length));
  const open = (file: string): SafetensorsFile => {
    if (!files.includes(file))
      throw new UserError('data', `snapshot ${folder} has no ${file}.safetensors`, folder);
    return openSafetensors(join(folder, `${file}.safetensors`));
  };
  return {
    folder,
    state: manifest.state,
    bytes,
    sha256: manifest.digest,
    files,
    has: (file) => files.includes(file),
    open,
    read(file) {
      const opened = open(file);
      try {
        return [...opened.tensors.keys()].map((name) => opened.read(name));
      } finally {
        opened.close();
      }
    },
  };
}

/** The snapshots' folders, oldest first, unchecked. */
export function listSnapshots(checkpoints: string): { step: number; folder: string }[] {
  cleanFolder(checkpoints);
  let names: string[];
  try {
    names = readdirSync(checkpoints);
  } catch {
    return [];
  }
  return names
    .filter((name) => /^\d{6,}$/.test(name))
    .map((name) => ({ step: Number(name), folder: join(checkpoints, name) }))
    .sort((a, b) => a.step - b.step);
}

/**
 * The newest snapshot that passes its checks, or null when there is none.
 * @param onRejected told about each newer one that does not.
 */
export function latestSnapshot(
  checkpoints: string,
  onRejected: (folder: string, message: string) => void = () => {},
): Snapshot | null {
  for (const { folder } of listSnapshots(checkpoints).reverse()) {
    try {
      return loadSnapshot(folder);
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      onRejected(folder, error.message);
    }
  }
  return null;
}

/**
 * Removes all but the newest `keep` snapshots (at least one) up to `currentStep`, and every later
 * one: after a resume those are of a future that did not happen, or were refused, and must not push
 * out the good ones. Each is first renamed, so that a crash leaves no half snapshot under a
 * snapshot's name. @returns the folders removed.
 */
export function pruneSnapshots(
  checkpoints: string,
  keep: number,
  currentStep = Number.POSITIVE_INFINITY,
): string[] {
  const list = listSnapshots(checkpoints);
  const kept = new Set(list.filter(({ step }) => step <= currentStep).slice(-Math.max(1, keep)));
  const removed: string[] = [];
  for (const entry of list) {
    if (kept.has(entry)) continue;
    const { folder } = entry;
    faultPoint('checkpoint.prune.before');
    removeFolderAtomic(folder);
    faultPoint('checkpoint.prune.after');
    removed.push(folder);
  }
  return removed;
}

export interface Drift {
  name: keyof Foundation;
  saved: string | number | undefined;
  now: string | number | undefined;
}

const FOUNDATION_WORDS: Record<keyof Foundation, string> = {
  version: 'Reckoner version',
  recipeHash: 'recipe',
  seed: 'seed',
  workers: 'workers',
  fingerprint: 'backend',
  node: 'Node',
  platform: 'platform',
  cpu: 'processor',
  base: 'the base model',
};

/**
 * What results rest on and differs between a snapshot and now; empty when a resumed run will have
 * the same bits.
 */
export function checkDrift(saved: Foundation, now: Foundation): Drift[] {
  const names = Object.keys(FOUNDATION_WORDS) as (keyof Foundation)[];
  return names
    .filter((name) => saved[name] !== now[name])
    .map((name) => ({ name, saved: saved[name], now: now[name] }));
}

/** What differs, in words. */
export function describeDrift(drift: readonly Drift[]): string {
  const parts = drift.map(({ name, saved, now }) =>
    name === 'recipeHash'
      ? 'the recipe was changed'
      : `${FOUNDATION_WORDS[name]} was ${saved} and is ${now}`,
  );
  return parts.join('; ');
}

/** The refusal of a resume that would not have the same bits. */
export function driftMessage(drift: readonly Drift[]): string {
  return `resuming here would not give the same result: ${describeDrift(drift)}. Restore what changed, or add --allow-drift to go on all the same`;
}

/** @throws UserError (state) when something differs and `allow` is false. @returns what differs. */
export function refuseDrift(saved: Foundation, now: Foundation, allow: boolean): Drift[] {
  const drift = checkDrift(saved, now);
  if (drift.length > 0 && !allow) throw new UserError('state', driftMessage(drift), 'resume');
  return drift;
}
