/**
 * @file YAML that a user names: a regular file of limited size, without cycles and alias bombs.
 */
import { parse } from 'yaml';
import { UserError } from './errors.js';
import { isDeeper, MAX_JSON_DEPTH } from './json.js';
import { readRegularText } from './regular.js';

const MAX_BYTES = 16 * 1024 * 1024;
/** Values that a document may have with its aliases expanded. */
const MAX_VALUES = 1_000_000;

const NESTED_LISTS = /(?:[-?] ){64}/;

/** The depth of a value; stops at cycles and bombs. @throws Error */
function check(value: unknown, depth = 0, count = { values: 0 }): void {
  if (depth > MAX_JSON_DEPTH) throw new Error(`is nested more than ${MAX_JSON_DEPTH} deep`);
  if (++count.values > MAX_VALUES) throw new Error('expands to too many values');
  if (typeof value !== 'object' || value === null) return;
  for (const inner of Object.values(value)) check(inner, depth + 1, count);
}

/** @param what the document in a word, for messages. @throws UserError (data) */
export function readYaml(path: string, what: string): unknown {
  const text = readRegularText(path, what, MAX_BYTES);
  const deep = `${what} ${path} is not valid YAML: it is nested more than ${MAX_JSON_DEPTH} deep`;
  // Before it is parsed: the parser takes seconds for a hundred thousand brackets.
  if (isDeeper(text, MAX_JSON_DEPTH) || NESTED_LISTS.test(text))
    throw new UserError('data', deep, path);
  try {
    const value: unknown = parse(text, { maxAliasCount: 100 });
    check(value);
    return value;
  } catch (error) {
    const [first] = (error as Error).message.split('\n');
    const why = error instanceof RangeError ? 'is nested too deep' : first.replace(/:$/, '');
    throw new UserError('data', `${what} ${path} is not valid YAML: ${why}`, path);
  }
}
