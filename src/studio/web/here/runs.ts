/**
 * @file The run of a page in the origin private file system: two slots and the log
 * (docs/decisions/0058).
 *
 * A slot is the whole run folder in one file, behind a line that says its SHA-256. Slots are
 * written by turns, so that the one before is whole while the next is written; the newest one whose
 * hash is right is read. The log is added to as it grows, once a second, so that a tab that is
 * closed loses the work since its checkpoint and not the account of it.
 */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from './node/fs.js';
import { dirname, join, relative } from './node/path.js';

/** Where runs lie in the tree in memory. */
export const RUNS = '/runs';
/** Of workers alone, so a page's types do not have it. */
interface Access {
  read(into: Uint8Array, options: { at: number }): number;
  write(bytes: Uint8Array, options: { at: number }): number;
  truncate(size: number): void;
  getSize(): number;
  flush(): void;
  close(): void;
}

const accessTo = (handle: FileSystemFileHandle): Promise<Access> =>
  (handle as unknown as { createSyncAccessHandle(): Promise<Access> }).createSyncAccessHandle();

const FOLDER = 'reckoner';
const SLOTS = ['slot-0', 'slot-1'];
const LOG = 'events.jsonl';

interface Head {
  /** Counts up: the newer of two slots has more. */
  sequence: number;
  /** Of what follows this line, hexadecimal. */
  sha256: string;
  files: Packed['files'];
}

export interface Store {
  /**
   * Puts the newest sound run into the tree. @returns its folder, or null; what was passed over is
   * told
   */
  restore(onRejected: (message: string) => void): Promise<string | null>;
  /** Writes the run to the slot that is not the newest. */
  save(folder: string): Promise<void>;
  /** Writes what has been added to the log. */
  saveLog(folder: string): void;
  /** Removes the run, here and in the tree. */
  clear(): Promise<void>;
}

const hex = (bytes: ArrayBuffer): string =>
  [...new Uint8Array(bytes)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
const sha256 = async (bytes: Uint8Array<ArrayBuffer>): Promise<string> =>
  hex(await crypto.subtle.digest('SHA-256', bytes));

/** The files of a run, one after the other. */
export interface Packed {
  files: { path: string; bytes: number }[];
  body: Uint8Array<ArrayBuffer>;
}

/** All of the run but its lock, which is of this page's life alone. */
export function pack(folder: string): Packed {
  const entries = readdirSync(folder, { withFileTypes: true, recursive: true }) as {
    parentPath: string;
    name: string;
    isFile(): boolean;
  }[];
  const paths = entries
    .filter((entry) => entry.isFile() && !/\.(lock|tmp-.*)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  const contents = paths.map((path) => readFileSync(path) as Uint8Array);
  const body = new Uint8Array(contents.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const content of contents) {
    body.set(content, at);
    at += content.length;
  }
  return {
    files: paths.map((path, i) => ({ path: relative(RUNS, path), bytes: contents[i].length })),
    body,
  };
}

/** Puts the files into the tree. @returns the run's folder */
export function unpack({ files, body }: Packed): string {
  let at = 0;
  for (const { path, bytes } of files) {
    const target = join(RUNS, path);
    mkdirSync(dirname(target), { recursive: true });
    writeFileSync(target, body.slice(at, at + bytes));
    at += bytes;
  }
  const folder = join(RUNS, files[0].path.split('/')[0]);
  mkdirSync(join(folder, 'checkpoints'), { recursive: true });
  return folder;
}

/** The head and the body of a slot. @throws Error that says what is wrong with it */
async function readSlot(file: File): Promise<{ head: Head; body: Packed['body'] }> {
  const bytes = new Uint8Array(await file.arrayBuffer());
  const line = bytes.indexOf(10);
  if (line < 0) throw new Error('is empty');
  const head = JSON.parse(new TextDecoder().decode(bytes.subarray(0, line))) as Head;
  const body = bytes.slice(line + 1);
  if ((await sha256(body)) !== head.sha256)
    throw new Error('does not have the SHA-256 that it says');
  return { head, body };
}

/** @throws DOMException where the browser keeps nothing, as in some private windows */
export async function openStore(): Promise<Store> {
  const root = await navigator.storage.getDirectory();
  const folder = await root.getDirectoryHandle(FOLDER, { create: true });
  const log = await accessTo(await folder.getFileHandle(LOG, { create: true }));
  let sequence = 0;
  let logged = 0;
  let writing = Promise.resolve();

  async function write(run: string): Promise<void> {
    const { files, body } = pack(run);
    const head: Head = { sequence: ++sequence, sha256: await sha256(body), files };
    const handle = await folder.getFileHandle(SLOTS[sequence % 2], { create: true });
    const access = await accessTo(handle);
    try {
      access.truncate(0);
      const line = new TextEncoder().encode(`${JSON.stringify(head)}\n`);
      access.write(line, { at: 0 });
      access.write(body, { at: line.length });
      access.flush();
    } finally {
      access.close();
    }
  }

  /**
   * The log may know more than the slot: what was done after the checkpoint, and is lost but not
   * unpaid.
   */
  function restoreLog(run: string): void {
    const path = join(run, LOG);
    const known = existsSync(path) ? (readFileSync(path) as Uint8Array) : new Uint8Array();
    const kept = new Uint8Array(log.getSize());
    log.read(kept, { at: 0 });
    const goesOn = kept.length > known.length && known.every((byte, i) => byte === kept[i]);
    if (goesOn) writeFileSync(path, kept);
    logged = goesOn ? kept.length : 0;
    if (!goesOn) saveLog(run);
  }

  function saveLog(run: string): void {
    const path = join(run, LOG);
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    if (size === logged) return;
    // A resume may have cut a torn last line.
    const from = Math.min(logged, size);
    log.write((readFileSync(path) as Uint8Array<ArrayBuffer>).subarray(from), { at: from });
    log.truncate(size);
    log.flush();
    logged = size;
  }

  return {
    async restore(onRejected) {
      const found: { head: Head; body: Packed['body'] }[] = [];
      for (const name of SLOTS) {
        let handle: FileSystemFileHandle;
        try {
          handle = await folder.getFileHandle(name);
        } catch {
          continue;
        }
        try {
          found.push(await readSlot(await handle.getFile()));
        } catch (error) {
          onRejected(
            `a saved copy of the run (${name}) ${(error as Error).message}; the one before is taken`,
          );
        }
      }
      const newest = found.sort((a, b) => b.head.sequence - a.head.sequence).at(0);
      if (newest === undefined) return null;
      sequence = newest.head.sequence;
      const run = unpack({ files: newest.head.files, body: newest.body });
      restoreLog(run);
      return run;
    },
    save(run) {
      writing = writing.then(() => write(run));
      return writing;
    },
    saveLog,
    async clear() {
      await writing;
      for (const name of SLOTS) await folder.removeEntry(name).catch(() => {});
      log.truncate(0);
      logged = 0;
      if (existsSync(RUNS)) rmSync(RUNS, { force: true });
    },
  };
}
