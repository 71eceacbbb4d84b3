/**
 * @file API keys: a JSON file of names and hashes. A key is shown once, when it is made.
 *
 * A key is 192 random bits, so a plain SHA-256 is as good a hash as a slow one: there is nothing to
 * guess.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import { chmodSync, existsSync } from 'node:fs';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { readJson, writeFileAtomic } from '../base/files.js';

const fileSchema = z.object({
  schemaVersion: z.literal(1),
  keys: z.array(
    z.object({
      name: z.string(),
      /** Hexadecimal. */
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
      /** ISO 8601. */
      created: z.string(),
      /** Overrides the server's limit. */
      requestsPerMinute: z.number().positive().optional(),
    }),
  ),
});

export type ApiKey = z.infer<typeof fileSchema>['keys'][number];

const hash = (key: string): string => createHash('sha256').update(key).digest('hex');

/** The keys of a file. @throws UserError (data) */
export function readKeys(file: string): ApiKey[] {
  const result = fileSchema.safeParse(readJson(file, 'keys file'));
  if (result.success) return result.data.keys;
  const { path, message } = result.error.issues[0];
  throw new UserError(
    'data',
    `${file}: ${path.join('.')}: ${message}; "reckoner serve keys add" writes such a file`,
    file,
  );
}

function writeKeys(file: string, keys: readonly ApiKey[]): void {
  writeFileAtomic(file, `${JSON.stringify({ schemaVersion: 1, keys }, null, 2)}\n`, 'keys');
  chmodSync(file, 0o600);
}

/** Adds a key, making the file if need be. @returns the key itself, which is kept nowhere. */
export function addKey(file: string, name: string, now: Date, requestsPerMinute?: number): string {
  const keys = existsSync(file) ? readKeys(file) : [];
  if (keys.some((key) => key.name === name)) {
    throw new UserError(
      'usage',
      `${file} has a key named ${name}; remove it first, or choose another name`,
      'name',
    );
  }
  const key = `rk-${randomBytes(24).toString('base64url')}`;
  const limit = requestsPerMinute === undefined ? {} : { requestsPerMinute };
  writeKeys(file, [...keys, { name, sha256: hash(key), created: now.toISOString(), ...limit }]);
  return key;
}

/** @throws UserError (usage) when there is no such key */
export function removeKey(file: string, name: string): void {
  const keys = readKeys(file);
  const left = keys.filter((key) => key.name !== name);
  if (left.length === keys.length)
    throw new UserError('usage', `${file} has no key named ${name}`, 'name');
  writeKeys(file, left);
}

/** The entry of the key in an `Authorization: Bearer …` header; null when it is none of them. */
export function findKey(keys: readonly ApiKey[], authorization: string | undefined): ApiKey | null {
  const given = /^Bearer +(\S+)$/i.exec(authorization ?? '')?.[1];
  if (given === undefined) return null;
  const digest = Buffer.from(hash(given), 'hex');
  let found: ApiKey | null = null;
  for (const key of keys) if (timingSafeEqual(digest, Buffer.from(key.sha256, 'hex'))) found = key;
  return found;
}
