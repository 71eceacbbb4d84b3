/**
 * @file The files of a model folder that may come from a stranger: where they may lie, how large
 * they may be, what JSON may do.
 *
 * A folder speaks for itself alone: a name in an index, or a link, that leads out of it is refused,
 * so that unpacking a model cannot make another file of this machine part of it. One layout of
 * links is known and followed: the cache of the Hugging Face hub, where
 * `models--x/snapshots/<revision>/file` points into `models--x/blobs/`.
 */
import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join, sep } from 'node:path';
import { UserError } from '../base/errors.js';
import { findJsonFault, jsonErrorPlace } from '../base/json.js';
import { show } from './safetensors.js';

export type Json = Record<string, unknown>;

/** The largest `tokenizer.json` in use has some 40 MB; an index of 100,000 tensors has 10 MB. */
const MAX_JSON_BYTES = 256 * 1024 * 1024;
/** Post-processors and normalizers nest a dozen deep. */
const MAX_JSON_DEPTH = 64;

/**
 * True for the name of a file that stands in the folder itself: no separator, no `..`, nothing that
 * ends a path early.
 */
export function isPlainName(name: unknown): name is string {
  return (
    typeof name === 'string' &&
    name !== '' &&
    name !== '.' &&
    name !== '..' &&
    !/[/\\\0]/.test(name)
  );
}

/**
 * The path of a file of the folder, links followed.
 * @throws UserError (data) when there is none or it lies elsewhere
 */
export function fileIn(folder: string, name: string): string {
  const path = join(folder, name);
  let real: string;
  let root: string;
  try {
    root = realpathSync(folder);
    real = realpathSync(path);
  } catch (error) {
    const { code, message } = error as { code?: string; message: string };
    const why =
      code === 'ENOENT'
        ? 'it does not exist'
        : code === 'ELOOP'
          ? 'it is a link to itself'
          : message;
    throw new UserError('data', `cannot read ${path}: ${why}`, path);
  }
  const roots = [root];
  if (basename(dirname(root)) === 'snapshots') roots.push(join(dirname(dirname(root)), 'blobs'));
  if (roots.some((allowed) => real.startsWith(allowed.endsWith(sep) ? allowed : allowed + sep)))
    return real;
  throw new UserError(
    'data',
    `${path} is a link to ${show(real)}, outside the model's folder; put the file itself there if it belongs to the model`,
    path,
  );
}

/** The text of a file of the folder. @throws UserError (data) when it is too large or not UTF-8 */
export function readText(folder: string, name: string, what: string): string {
  const path = fileIn(folder, name);
  try {
    const stat = statSync(path);
    if (!stat.isFile())
      throw new UserError(
        'data',
        `cannot read ${what} ${join(folder, name)}: it is not a file`,
        path,
      );
    if (stat.size > MAX_JSON_BYTES) {
      const limit = `${stat.size} bytes, more than ${MAX_JSON_BYTES}`;
      throw new UserError(
        'data',
        `${what} ${join(folder, name)} has ${limit}; it is no such file`,
        path,
      );
    }
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(path));
  } catch (error) {
    if (error instanceof UserError) throw error;
    const why = error instanceof TypeError ? 'it is not UTF-8 text' : (error as Error).message;
    throw new UserError('data', `cannot read ${what} ${join(folder, name)}: ${why}`, path);
  }
}

/** A JSON object from a stranger's text. @throws UserError (data) in one line */
export function parseObject(text: string, path: string, what: string): Json {
  const fail = (why: string): never => {
    throw new UserError('data', `${what} ${path} ${why}`, path);
  };
  const fault = findJsonFault(text, MAX_JSON_DEPTH);
  if (fault?.kind === 'depth') return fail(`is nested more than ${MAX_JSON_DEPTH} deep`);
  if (fault?.kind === 'duplicate')
    return fail(`has the key ${show(fault.key)} twice in one object`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    const { line, column } = jsonErrorPlace(text);
    return fail(`is not valid JSON at line ${line}, column ${column}`);
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    return fail('is not a JSON object');
  return value as Json;
}

/** A JSON file of the folder. @throws UserError (data) */
export function readObject(folder: string, name: string, what = name): Json {
  return parseObject(readText(folder, name, what), join(folder, name), what);
}

/** The same, or null where the folder has no such file. */
export function readObjectIfAny(folder: string, name: string, what = name): Json | null {
  return existsSync(join(folder, name)) ? readObject(folder, name, what) : null;
}
