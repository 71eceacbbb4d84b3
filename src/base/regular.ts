/**
 * @file Reading files that may come from a stranger: regular files only (no device, FIFO, socket or
 * folder), of a limited size, inside the folder that they belong to with all links resolved.
 *
 * Every reader of a run, a model or a file that one of them names goes through here. A file is
 * looked at before it is opened, since opening some devices does something, and again after, since
 * it may have been replaced in between; it is opened without waiting, since a FIFO would wait for a
 * writer.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  realpathSync,
  type Stats,
  statSync,
} from 'node:fs';
import { basename, dirname, isAbsolute, join, relative, sep } from 'node:path';
import { UserError } from './errors.js';

/** The largest JSON document that is read: the largest `tokenizer.json` in use has some 40 MB. */
export const MAX_JSON_BYTES = 256 * 1024 * 1024;
/** The largest of other JSON documents: recipes, configurations, price books have kilobytes. */
export const MAX_DOCUMENT_BYTES = 4 * 1024 * 1024;
/** The longest line of a log; ours have kilobytes. */
export const MAX_LINE_BYTES = 8 * 1024 * 1024;
/** The largest text that is read whole; V8's strings end there. */
export const MAX_TEXT_BYTES = 512 * 1024 * 1024 - 32;

/** True for a path that is `folder` or lies in it; neither may contain `..` or links. */
export function isInside(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === '' || !(isAbsolute(way) || way === '..' || way.startsWith(`..${sep}`));
}

const FLAGS = constants.O_RDONLY | (constants.O_NONBLOCK ?? 0);

/** Why a system call on a file failed, for the end of a message. */
function whyOf(error: unknown): string {
  const { code, message } = error as { code?: string; message: string };
  const known: Record<string, string> = {
    ENOENT: 'it does not exist',
    ENOTDIR: 'it does not exist',
    ELOOP: 'it is a link to itself',
    EACCES: 'permission denied',
    ENXIO: 'it is not a regular file',
  };
  return known[code ?? ''] ?? message;
}

/**
 * The path of a file of the folder, links resolved. One layout of links is known and followed: the
 * cache of the Hugging Face hub, where `models--x/snapshots/<revision>/file` is a link into
 * `models--x/blobs/`.
 * @throws UserError (data) when there is none or it lies elsewhere
 */
export function fileWithin(folder: string, name: string): string {
  const path = join(folder, name);
  let real: string;
  let root: string;
  try {
    root = realpathSync(folder);
    real = realpathSync(path);
  } catch (error) {
    throw new UserError('data', `cannot read ${path}: ${whyOf(error)}`, path);
  }
  const roots = [root];
  if (basename(dirname(root)) === 'snapshots') roots.push(join(dirname(dirname(root)), 'blobs'));
  if (roots.some((allowed) => real !== allowed && isInside(real, allowed))) return real;
  const message = `${path} is a link to ${JSON.stringify(real)}, outside the folder; put the file itself there if it belongs to it`;
  throw new UserError('data', message, path);
}

/** What is known of a file of a run, which is never a link; null when it is no regular file. */
export function statPlain(path: string): Stats | null {
  try {
    const stat = lstatSync(path);
    return stat.isFile() ? stat : null;
  } catch {
    return null;
  }
}

/**
 * Opens a regular file for reading.
 * @param links whether the path may be a link; those of a run's own files may not
 * @returns its descriptor, to be closed, and its size in bytes
 * @throws UserError (data)
 */
export function openRegular(
  path: string,
  what = 'file',
  links = true,
): { handle: number; size: number } {
  const fail = (why: string): never => {
    throw new UserError('data', `cannot read ${what} ${path}: ${why}`, path);
  };
  let handle: number | undefined;
  try {
    const kind = links ? statSync(path) : lstatSync(path);
    if (kind.isSymbolicLink()) return fail('it is a link, which a run may not have there');
    if (kind.isDirectory()) return fail('it is a folder');
    if (!kind.isFile()) return fail('it is not a regular file');
    handle = openSync(path, FLAGS | (links ? 0 : (constants.O_NOFOLLOW ?? 0)));
    const stat = fstatSync(handle);
    if (!stat.isFile()) return fail('it is not a regular file');
    return { handle, size: stat.size };
  } catch (error) {
    if (handle !== undefined) closeSync(handle);
    if (error instanceof UserError) throw error;
    return fail(whyOf(error));
  }
}

/** The bytes of a regular file of at most `limit` bytes. @throws UserError (data) */
export function readRegular(
  path: string,
  what = 'file',
  limit = MAX_JSON_BYTES,
  links = true,
): Buffer {
  const { handle, size } = openRegular(path, what, links);
  try {
    if (size > limit) {
      const message = `${what} ${path} has ${size} bytes, more than ${limit}; it is no such file`;
      throw new UserError('data', message, path);
    }
    const bytes = Buffer.allocUnsafe(size);
    let done = 0;
    while (done < size) {
      const count = readSync(handle, bytes, done, size - done, done);
      if (count === 0) break;
      done += count;
    }
    return bytes.subarray(0, done);
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError('data', `cannot read ${what} ${path}: ${whyOf(error)}`, path);
  } finally {
    closeSync(handle);
  }
}

/** The same as text. @throws UserError (data), also when it is not UTF-8 */
export function readRegularText(
  path: string,
  what = 'file',
  limit = MAX_JSON_BYTES,
  links = true,
): string {
  const bytes = readRegular(path, what, limit, links);
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw new UserError('data', `cannot read ${what} ${path}: it is not UTF-8 text`, path);
  }
}
