/**
 * @file Several JSON schemas that must hold at once, as one: what `allOf` says, and what stands
 * beside `anyOf` and `oneOf`.
 */
import { refuse } from './rules.js';

type Json = Record<string, unknown>;

/** The type of a value in JSON Schema's words; a whole number is an `integer`. */
export function typeOf(value: unknown): string {
  if (value === null) return 'null';
  if (Array.isArray(value)) return 'array';
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number';
  return typeof value;
}

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : [value]);
const same = (a: unknown, b: unknown): boolean => JSON.stringify(a) === JSON.stringify(b);
const most = (a: unknown, b: unknown): unknown => Math.max(a as number, b as number);
const least = (a: unknown, b: unknown): unknown => Math.min(a as number, b as number);

/** How two values of a keyword hold at once; those that are not here must be equal. */
const RULES: Record<string, (a: unknown, b: unknown, path: string) => unknown> = {
  type: (a, b) => listOf(a).filter((type) => listOf(b).includes(type)),
  enum: (a, b) => listOf(a).filter((value) => listOf(b).some((other) => same(value, other))),
  required: (a, b) => [...new Set([...listOf(a), ...listOf(b)])],
  properties(a, b, path) {
    const out: Json = { ...(a as Json) };
    for (const [name, schema] of Object.entries(b as Json)) {
      if (Object.hasOwn(out, name) && !same(out[name], schema))
        refuse(path, `the property ${JSON.stringify(name)} is described twice`);
      out[name] = schema;
    }
    return out;
  },
  additionalProperties: (a, b) => (a === false || b === false ? false : a === true ? b : a),
  minimum: most,
  exclusiveMinimum: most,
  minLength: most,
  minItems: most,
  maximum: least,
  exclusiveMaximum: least,
  maxLength: least,
  maxItems: least,
};

/** @throws UserError (usage) where two schemas cannot be one */
export function merged(
  schemas: readonly unknown[],
  annotations: ReadonlySet<string>,
  path: string,
): Json {
  const out: Json = {};
  for (const schema of schemas) {
    if (schema === true) continue;
    if (typeOf(schema) !== 'object') refuse(path, 'must be an object');
    for (const [key, value] of Object.entries(schema as Json)) {
      if (annotations.has(key)) continue;
      if (!Object.hasOwn(out, key) || same(out[key], value)) out[key] = value;
      else if (Object.hasOwn(RULES, key)) out[key] = RULES[key](out[key], value, path);
      else refuse(path, `${key} is said twice, which is not supported`);
    }
  }
  return out;
}
