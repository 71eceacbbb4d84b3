/**
 * @file Files that a crash cannot tear.
 *
 * A file or folder is written under a temporary name beside its place, flushed to the disk, then
 * renamed: a rename within one folder happens or does not (POSIX rename). Flushing the folder makes
 * the new name survive a power cut as well. A reader therefore sees the old content or the new,
 * never a part. Temporaries that a killed process left behind carry its process id in their name
 * and are removed by the next writer of the same path.
 *
 * A folder cannot be renamed over another one that has files in it, so a folder that is replaced
 * first steps aside as
 * `….old-<pid>`; a crash between the two renames is repaired by the next `recoverFolder` (every
 * writer and opener calls it).
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { threadId } from 'node:worker_threads';
import { UserError } from './errors.js';
import { faultPoint, faultsActive } from './faults.js';
import { isDeeper, jsonErrorPlace, MAX_JSON_DEPTH } from './json.js';
import { MAX_DOCUMENT_BYTES, openRegular, readRegularText } from './regular.js';

/** What was written. */
export interface Written {
  bytes: number;
  /** Hexadecimal. */
  sha256: string;
}

/** File content: text (UTF-8), bytes, or a stream of bytes. */
export type Content = string | Uint8Array | Iterable<Uint8Array>;

const HASH_CHUNK_BYTES = 1 << 20;

/** Temporaries of this process that are in use, so that cleaning leaves them alone. */
const inUse = new Set<string>();

/** One line for a person when the disk is the matter; any other error comes back as it is. */
export function diskError(error: unknown, path: string): unknown {
  const code = (error as { code?: unknown } | null)?.code;
  const why: Record<string, string> = {
    ENOSPC: 'the disk is full; free some space, then try again',
    EDQUOT: 'your disk quota is used up; free some space, then try again',
    EIO: 'the disk reported an input/output error; check the disk, or choose a folder on another one',
    EROFS: 'the file system is read-only; choose another folder',
    EACCES: 'permission denied; choose another folder or change its permissions',
    EPERM: 'not permitted; choose another folder or change its permissions',
    EFBIG: 'the file is too large for this file system; choose a folder on another one',
    EMFILE: 'too many files are open; raise the limit with ulimit -n',
    ENAMETOOLONG: 'the name is too long; choose a shorter one',
    EBUSY: 'it is a mount point or in use; choose a folder inside it',
    ENOENT: 'its folder is gone; was it moved or removed meanwhile?',
    ENOTDIR: 'a part of the path is a file, not a folder; choose another path',
  };
  if (typeof code !== 'string' || !(code in why)) return error;
  return new UserError('disk', `cannot write ${path}: ${why[code]} (${code})`, path);
}

/** Creates a folder and its parents. @throws UserError (disk) */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path, { recursive: true });
  } catch (error) {
    if ((error as { code?: string }).code === 'EEXIST') {
      throw new UserError(
        'disk',
        `cannot create folder ${path}: a file of that name is in the way; move it or choose another path`,
      );
    }
    throw diskError(error, path);
  }
}

/**
 * Makes a folder's own entries durable. Some systems cannot open a folder; there the rename alone
 * has to do.
 */
function syncFolder(path: string): void {
  let handle: number;
  try {
    handle = openSync(path, 'r');
  } catch {
    return;
  }
  try {
    fsyncSync(handle);
  } catch (error) {
    if (
      !['EINVAL', 'EPERM', 'EISDIR', 'EBADF', 'ENOTSUP'].includes(
        (error as { code?: string }).code ?? '',
      )
    )
      throw error;
  } finally {
    closeSync(handle);
  }
}

/** Writes all of `bytes`; a write may take fewer bytes than it was given. */
function writeFully(handle: number, bytes: Uint8Array): void {
  let done = 0;
  while (done < bytes.length) done += writeSync(handle, bytes, done, bytes.length - done);
}

function* chunksOf(data: Content): Iterable<Uint8Array> {
  if (typeof data === 'string') yield Buffer.from(data, 'utf8');
  else if (data instanceof Uint8Array) yield data;
  else yield* data;
}

/**
 * Writes a file in its final place and flushes it. Not atomic: for files inside a folder that is
 * itself written atomically.
 * @param label names the fault points.
 * @throws UserError (disk)
 */
export function writeFileDurably(path: string, data: Content, label = 'file'): Written {
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    faultPoint(`${label}.write.before`, 'write');
    const handle = openSync(path, 'w');
    try {
      for (const chunk of chunksOf(data)) {
        hash.update(chunk);
        bytes += chunk.length;
        if (faultsActive()) {
          const half = chunk.length >> 1;
          writeFully(handle, chunk.subarray(0, half));
          faultPoint(`${label}.write.torn`, 'write');
          writeFully(handle, chunk.subarray(half));
        } else {
          writeFully(handle, chunk);
        }
      }
      faultPoint(`${label}.write.after`);
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
  } catch (error) {
    throw diskError(error, path);
  }
  return { bytes, sha256: hash.digest('hex') };
}

/** True when a process of this machine has this id. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it lives, but belongs to somebody else.
    return (error as { code?: string }).code === 'EPERM';
  }
}

function temporaryFor(path: string): string {
  return `${path}.tmp-${process.pid}${threadId === 0 ? '' : `-${threadId}`}`;
}

function removeQuietly(path: string): void {
  try {
    rmSync(path, { recursive: true, force: true });
  } catch {
    // The error that led here is the one worth reporting.
  }
}

/**
 * Names in `folder` that are `base.<mark>-<pid>…` of a process that is gone, or of ours and not in
 * use.
 */
function leftovers(
  folder: string,
  base: string | null,
  mark: 'tmp' | 'old',
): { path: string; original: string }[] {
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return [];
  }
  const found: { path: string; original: string }[] = [];
  for (const name of names) {
    const match = /^(.+)\.(tmp|old)-(\d+)(?:-(\d+))?$/.exec(name);
    if (!match || match[2] !== mark || (base !== null && match[1] !== base)) continue;
    const path = join(folder, name);
    const pid = Number(match[3]);
    // Each thread knows its own temporaries only; those of the process's other threads are left
    // alone.
    if (pid === process.pid && Number(match[4] ?? 0) === threadId ? inUse.has(path) : isAlive(pid))
      continue;
    found.push({ path, original: join(folder, match[1]) });
  }
  return found;
}

/**
 * Removes what killed writers left in a folder, and puts back a folder that was stepping aside when
 * its writer died.
 * @param base only leftovers of this name; all when omitted.
 */
export function cleanFolder(folder: string, base: string | null = null): void {
  for (const { path, original } of leftovers(folder, base, 'old')) {
    try {
      if (existsSync(original)) rmSync(path, { recursive: true, force: true });
      else renameSync(path, original);
    } catch {
      // Read-only, or another process was quicker: a leftover does no harm.
    }
  }
  for (const { path } of leftovers(folder, base, 'tmp')) removeQuietly(path);
}

/** `cleanFolder` for one path: call it before opening a folder that `writeFolderAtomic` writes. */
export function recoverFolder(path: string): void {
  cleanFolder(dirname(path), basename(path));
}

/**
 * Replaces or creates a file in one step. Its folder must exist.
 * @param label names the fault points: `<label>.write.before`, `.write.torn`, `.write.after`,
 * `.rename.before`, `.rename.after`.
 * @throws UserError (disk); the old file is then still there, whole.
 */
export function writeFileAtomic(path: string, data: Content, label = 'file'): Written {
  recoverFolder(path);
  const temporary = temporaryFor(path);
  inUse.add(temporary);
  try {
    const written = writeFileDurably(temporary, data, label);
    faultPoint(`${label}.rename.before`);
    renameSync(temporary, path);
    faultPoint(`${label}.rename.after`);
    syncFolder(dirname(path));
    return written;
  } catch (error) {
    removeQuietly(temporary);
    throw error instanceof UserError && error.field === temporary
      ? diskErrorFor(error, temporary, path)
      : diskError(error, path);
  } finally {
    inUse.delete(temporary);
  }
}

/** The same error, naming the path that the user knows instead of the temporary one. */
function diskErrorFor(error: UserError, temporary: string, path: string): UserError {
  return new UserError(
    error.code,
    error.message.replace(temporary, path),
    error.field?.replace(temporary, path),
  );
}

function syncTree(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) {
      syncTree(path);
    } else if (entry.isFile()) {
      const handle = openSync(path, 'r+');
      try {
        fsyncSync(handle);
      } finally {
        closeSync(handle);
      }
    }
  }
  syncFolder(folder);
}

/**
 * Replaces or creates a whole folder in one step: `fill` writes into a temporary folder, which is
 * flushed and renamed. Parents are created. @returns what `fill` returned.
 * @throws UserError (disk), or what `fill` threw; the old folder is then still there, whole.
 */
export async function writeFolderAtomic<T>(
  path: string,
  fill: (temporary: string) => T | Promise<T>,
  label = 'folder',
): Promise<T> {
  makeFolder(dirname(path));
  recoverFolder(path);
  const temporary = temporaryFor(path);
  const aside = temporary.replace(/\.tmp-(?=[\d-]+$)/, '.old-');
  inUse.add(temporary).add(aside);
  try {
    mkdirSync(temporary);
    const result = await fill(temporary);
    syncTree(temporary);
    if (existsSync(path)) {
      faultPoint(`${label}.aside.before`);
      renameSync(path, aside);
    }
    faultPoint(`${label}.rename.before`);
    try {
      renameSync(temporary, path);
    } catch (error) {
      if (existsSync(aside) && !existsSync(path)) renameSync(aside, path);
      throw error;
    }
    faultPoint(`${label}.rename.after`);
    syncFolder(dirname(path));
    removeQuietly(aside);
    return result;
  } catch (error) {
    removeQuietly(temporary);
    throw error instanceof UserError
      ? diskErrorFor(error, temporary, path)
      : diskError(error, path);
  } finally {
    inUse.delete(temporary);
    inUse.delete(aside);
  }
}

/**
 * Removes a folder in one step for readers: it is renamed to a temporary first, which a later
 * writer cleans if we die.
 */
export function removeFolderAtomic(path: string): void {
  const temporary = temporaryFor(path);
  inUse.add(temporary);
  try {
    renameSync(path, temporary);
    rmSync(temporary, { recursive: true, force: true });
  } catch (error) {
    throw diskError(error, path);
  } finally {
    inUse.delete(temporary);
  }
}

/** SHA-256 of a regular file, hexadecimal, read in pieces of 1 MiB. @throws UserError (data) */
export function sha256File(path: string): Written {
  const hash = createHash('sha256');
  const buffer = Buffer.allocUnsafe(HASH_CHUNK_BYTES);
  const { handle } = openRegular(path);
  let bytes = 0;
  try {
    for (;;) {
      const count = readSync(handle, buffer, 0, buffer.length, null);
      if (count === 0) break;
      hash.update(buffer.subarray(0, count));
      bytes += count;
    }
  } finally {
    closeSync(handle);
  }
  return { bytes, sha256: hash.digest('hex') };
}

/**
 * The value in a JSON file.
 * @param what what the file is to the user, for the message: "recipe", "price book".
 * @param limit bytes
 * @param links false for a run's own file, which is never a link
 * @throws UserError (data) when it is missing, no regular file, too large, nested too deep or not
 * JSON.
 */
export function readJson(
  path: string,
  what = 'file',
  limit = MAX_DOCUMENT_BYTES,
  links = true,
): unknown {
  const text = readRegularText(path, what, limit, links);
  if (isDeeper(text, MAX_JSON_DEPTH)) {
    const message = `${what} ${path} is nested more than ${MAX_JSON_DEPTH} deep`;
    throw new UserError('data', message, path);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    const { line, column } = jsonErrorPlace(text);
    const why = (error as Error).message.replaceAll('\n', ' ');
    throw new UserError(
      'data',
      `${what} ${path} is not valid JSON at line ${line}, column ${column}: ${why}`,
      path,
    );
  }
}

/** JSON with sorted keys: the same value gives the same text, whatever order it was built in. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (part === null || typeof part !== 'object' || Array.isArray(part)) return part;
    // Entries rather than assignment, so that a key `__proto__` stays a key.
    return Object.fromEntries(
      Object.entries(part).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)),
    );
  });
}

/** SHA-256 of text or bytes as they are, of anything else as canonical JSON. Hexadecimal. */
export function hashOf(value: unknown): string {
  const data =
    typeof value === 'string' || value instanceof Uint8Array ? value : canonicalJson(value);
  return createHash('sha256').update(data).digest('hex');
}
