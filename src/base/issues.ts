/**
 * @file The first fault of a document that a zod schema found, as one line for its author: the
 * field, what is wrong, and for an unknown key the known one that was probably meant.
 */
import type { z } from 'zod';
import { UserError } from './errors.js';
import { didYouMean } from './text/index.js';

/** A schema without the wrappers around it. */
function bare(schema: unknown): { def: Record<string, unknown>; shape?: Record<string, unknown> } {
  let at = schema as { def: Record<string, unknown>; shape?: Record<string, unknown> };
  for (;;) {
    const { type, innerType, in: from, out } = at.def;
    if (innerType !== undefined) at = innerType as typeof at;
    else if (type === 'pipe')
      at = ((from as typeof at).def.type === 'transform' ? out : from) as typeof at;
    else return at;
  }
}

/** The keys that an object has at a path of a schema; empty where it is no object. */
function keysAt(schema: unknown, path: readonly PropertyKey[]): string[] {
  let at = bare(schema);
  for (const part of path) {
    const { type, element, valueType } = at.def;
    const next =
      type === 'object'
        ? at.shape?.[String(part)]
        : type === 'array'
          ? element
          : type === 'record'
            ? valueType
            : undefined;
    if (next === undefined) return [];
    at = bare(next);
  }
  return at.shape === undefined ? [] : Object.keys(at.shape);
}

/**
 * @param what the document in words, with its name
 * @returns an error (usage) that names the field
 */
export function issueError(schema: z.ZodType, error: z.ZodError, what: string): UserError {
  // A misspelt key is the cause, and the key that it leaves missing the effect.
  const issue = error.issues.find(({ code }) => code === 'unrecognized_keys') ?? error.issues[0];
  const unknown = issue.code === 'unrecognized_keys' ? issue.keys[0] : undefined;
  const field = [...issue.path.map(String), ...(unknown === undefined ? [] : [unknown])].join('.');
  let why = issue.message;
  if (unknown !== undefined) {
    const known = keysAt(schema, issue.path);
    why = `no such field${didYouMean(unknown, known) || (known.length > 0 ? `; there are ${known.join(', ')}` : '')}`;
  } else if (issue.code === 'invalid_value' && typeof issue.input === 'string')
    why += didYouMean(issue.input, issue.values.map(String));
  return new UserError('usage', `${what}: ${field || 'it'}: ${why}`, field || undefined);
}
