/**
 * @file JSON exports, as flat copies: one CSV record an entry, nested names joined by dots.
 *
 * `sacct --json` and OpenCost's API answer with one object that holds everything, which no reader
 * can take line by line. It is parsed here once and written as text beside the database. Numbers
 * are never made binary: their digits are put in quotes before parsing, so that `0.30` stays
 * `0.30`.
 */
import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { UserError } from '../../base/errors.js';
import { jsonErrorPlace } from '../../base/json.js';
import { csvLine, type TextFormat } from './text.js';

/** JavaScript strings end near 512 MiB. */
const MAX_BYTES = 400e6;

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;

/**
 * Parsed JSON in which every number is a string of its digits. @throws UserError (data) that says
 * where it is broken.
 */
export function readExactJson(path: string): unknown {
  if (statSync(path).size > MAX_BYTES) {
    throw new UserError(
      'data',
      `${path}: JSON of more than ${MAX_BYTES / 1e6} MB; export CSV (sacct --parsable2) instead`,
      path,
    );
  }
  const content = readFileSync(path, 'utf8').replace(/^\ufeff/, '');
  try {
    JSON.parse(content);
    return JSON.parse(
      content.replace(STRING_OR_NUMBER, (token) => (token[0] === '"' ? token : `"${token}"`)),
    );
  } catch {
    const { line, column } = jsonErrorPlace(content);
    throw new UserError(
      'data',
      `${path}: not JSON: line ${line}, column ${column}; export it again`,
      path,
    );
  }
}

export type Fields = Record<string, string | null>;

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Scalars by dotted name; lists as JSON. `leave` names top-level keys that are read elsewhere. */
export function flatten(
  entry: Record<string, unknown>,
  leave: readonly string[] = [],
  depth = 4,
): Fields {
  const out: Fields = {};
  const visit = (value: unknown, path: string, left: number): void => {
    if (isObject(value) && left > 0) {
      for (const [key, inner] of Object.entries(value))
        visit(inner, path === '' ? key : `${path}.${key}`, left - 1);
    } else if (value !== null && value !== undefined)
      out[path] = typeof value === 'object' ? JSON.stringify(value) : String(value);
  };
  for (const [key, value] of Object.entries(entry))
    if (!leave.includes(key)) visit(value, key, depth);
  return out;
}

export const RECORD = '__record';
export const FLAT: TextFormat = { delimiter: ',', quote: '"', gzip: false };

/** Writes the flat copy. @returns its columns, `__record` (from 1) first. */
export function writeFlat(
  path: string,
  entries: readonly { record: number; fields: Fields }[],
): string[] {
  const names = [...new Set(entries.flatMap(({ fields }) => Object.keys(fields)))];
  const lines = entries.map(({ record, fields }) =>
    csvLine([String(record), ...names.map((key) => fields[key] ?? null)]),
  );
  writeFileSync(path, csvLine([RECORD, ...names]) + lines.join(''));
  return [RECORD, ...names];
}
