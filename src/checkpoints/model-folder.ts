/**
 * @file The files of a model folder that may come from a stranger: where they may lie, how large
 * they may be, what JSON may do.
 *
 * A folder speaks for itself alone: a name in an index, or a link, that leads out of it is refused,
 * so that unpacking a model cannot make another file of this machine part of it. One layout of
 * links is known and followed: the cache of the Hugging Face hub, where
 * `models--x/snapshots/<revision>/file` points into `models--x/blobs/`.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { findJsonFault, jsonErrorPlace, MAX_JSON_DEPTH } from '../base/json.js';
import {
  fileWithin,
  MAX_DOCUMENT_BYTES,
  MAX_JSON_BYTES,
  readRegularText,
} from '../base/regular.js';
import { show } from './safetensors.js';

export type Json = Record<string, unknown>;

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

/** The path of a file of the folder, links followed. @throws UserError (data) */
export const fileIn = fileWithin;

/** The text of a file of the folder. @throws UserError (data) when it is too large or not UTF-8 */
export const readText = (folder: string, name: string, what: string): string =>
  readRegularText(
    fileWithin(folder, name),
    what,
    /config\.json$/.test(name) ? MAX_DOCUMENT_BYTES : MAX_JSON_BYTES,
  );

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
