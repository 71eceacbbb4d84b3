/**
 * @file The part of `node:fs` that the recipe interpreter uses, on a tree in memory.
 *
 * A run in a page is the same folder as on a disk. It lives in the training worker, where files are
 * read and written at once as the interpreter expects; `runs.ts` carries it to the origin private
 * file system and back (docs/decisions/0057).
 */
import { basename, dirname, join, normalize } from './path.js';

export interface File {
  kind: 'file';
  /** As much as there is room for; `size` bytes of it are the file. */
  data: Uint8Array;
  size: number;
  mtimeMs: number;
}

export interface Folder {
  kind: 'folder';
  entries: Map<string, File | Folder>;
  mtimeMs: number;
}

type Node = File | Folder;
type Data = string | ArrayBufferView;

const folder = (): Folder => ({ kind: 'folder', entries: new Map(), mtimeMs: Date.now() });
export const root = folder();

class FileError extends Error {
  constructor(
    readonly code: string,
    path: string,
  ) {
    super(`${code}: ${path}`);
  }
}

const partsOf = (path: string): string[] => normalize(`/${path}`).split('/').filter(Boolean);

function find(path: string): Node | null {
  let at: Node = root;
  for (const part of partsOf(path)) {
    const next: Node | undefined = at.kind === 'folder' ? at.entries.get(part) : undefined;
    if (next === undefined) return null;
    at = next;
  }
  return at;
}

function must(path: string): Node {
  const node = find(path);
  if (node === null) throw new FileError('ENOENT', path);
  return node;
}

function folderAt(path: string): Folder {
  const node = must(path);
  if (node.kind !== 'folder') throw new FileError('ENOTDIR', path);
  return node;
}

function fileAt(path: string): File {
  const node = must(path);
  if (node.kind !== 'file') throw new FileError('EISDIR', path);
  return node;
}

function place(path: string, node: Node): void {
  folderAt(dirname(normalize(`/${path}`))).entries.set(basename(path), node);
}

function bytesOf(data: Data): Uint8Array {
  if (typeof data === 'string') return new TextEncoder().encode(data);
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

function put(file: File, at: number, bytes: Uint8Array): void {
  const end = at + bytes.length;
  if (end > file.data.length) {
    const grown = new Uint8Array(Math.max(end, 2 * file.data.length, 256));
    grown.set(file.data.subarray(0, file.size));
    file.data = grown;
  }
  file.data.set(bytes, at);
  file.size = Math.max(file.size, end);
  file.mtimeMs = Date.now();
}

const contentOf = (file: File): Uint8Array => file.data.subarray(0, file.size);

// ── whole files ──────────────────────────────────────────────────────────────────────────────────

export const existsSync = (path: string): boolean => find(path) !== null;

export function readFileSync(path: string, encoding?: string): string | Buffer {
  const bytes = Buffer.from(contentOf(fileAt(path)));
  return encoding === undefined ? bytes : bytes.toString('utf8');
}

export function writeFileSync(
  path: string,
  data: Data,
  { flag = 'w' }: { flag?: string } = {},
): void {
  const handle = openSync(path, flag);
  try {
    writeSync(handle, data);
  } finally {
    closeSync(handle);
  }
}

export const appendFileSync = (path: string, data: Data): void =>
  writeFileSync(path, data, { flag: 'a' });

export async function* createReadStream(path: string): AsyncGenerator<Buffer> {
  yield Buffer.from(contentOf(fileAt(path)));
}

// ── folders and names ────────────────────────────────────────────────────────────────────────────

export function mkdirSync(path: string, { recursive = false } = {}): void {
  if (recursive) {
    let at = '';
    for (const part of partsOf(path)) {
      at = `${at}/${part}`;
      if (find(at) === null) place(at, folder());
      else folderAt(at);
    }
    return;
  }
  if (find(path) !== null) throw new FileError('EEXIST', path);
  place(path, folder());
}

class Entry {
  constructor(
    readonly parentPath: string,
    readonly name: string,
    private readonly node: Node,
  ) {}
  isFile = (): boolean => this.node.kind === 'file';
  isDirectory = (): boolean => this.node.kind === 'folder';
}

export function readdirSync(
  path: string,
  { withFileTypes = false, recursive = false } = {},
): (string | Entry)[] {
  const found: Entry[] = [];
  const visit = (at: string): void => {
    for (const [name, node] of folderAt(at).entries) {
      found.push(new Entry(at, name, node));
      if (recursive && node.kind === 'folder') visit(join(at, name));
    }
  };
  visit(path);
  return withFileTypes ? found : found.map((entry) => entry.name);
}

export function statSync(path: string, { throwIfNoEntry = true } = {}) {
  const node = throwIfNoEntry ? must(path) : find(path);
  if (node === null) return undefined;
  return {
    size: node.kind === 'file' ? node.size : 0,
    mtimeMs: node.mtimeMs,
    isFile: () => node.kind === 'file',
    isDirectory: () => node.kind === 'folder',
    isSymbolicLink: () => false,
  };
}

/** There are no links here. */
export const lstatSync = statSync;

export function renameSync(from: string, to: string): void {
  const node = must(from);
  const there = find(to);
  if (there?.kind === 'folder' && there.entries.size > 0) throw new FileError('ENOTEMPTY', to);
  unlinkSync(from);
  place(to, node);
}

export function linkSync(from: string, to: string): void {
  if (find(to) !== null) throw new FileError('EEXIST', to);
  place(to, fileAt(from));
}

export function unlinkSync(path: string): void {
  must(path);
  folderAt(dirname(normalize(`/${path}`))).entries.delete(basename(path));
}

export function rmSync(path: string, { force = false } = {}): void {
  if (find(path) !== null) unlinkSync(path);
  else if (!force) throw new FileError('ENOENT', path);
}

export const realpathSync = (path: string): string => {
  must(path);
  return normalize(path);
};

// ── open files ───────────────────────────────────────────────────────────────────────────────────

interface Open {
  file: File;
  at: number;
  append: boolean;
}

const open = new Map<number, Open>();
let handles = 3;

function handleOf(handle: number): Open {
  const found = open.get(handle);
  if (found === undefined) throw new FileError('EBADF', String(handle));
  return found;
}

export function openSync(path: string, flags: string | number = 'r'): number {
  const mode = typeof flags === 'string' ? flags : 'r';
  const known = find(path);
  // A folder is opened to be flushed, and here there is nothing to flush.
  if (known?.kind === 'folder') throw new FileError('EISDIR', path);
  if (known === null && mode.startsWith('r')) throw new FileError('ENOENT', path);
  if (known !== null && mode.includes('x')) throw new FileError('EEXIST', path);
  let file = known;
  if (file === null || mode.startsWith('w')) {
    file = { kind: 'file', data: new Uint8Array(0), size: 0, mtimeMs: Date.now() };
    place(path, file);
  }
  open.set(++handles, { file, at: 0, append: mode.startsWith('a') });
  return handles;
}

export const closeSync = (handle: number): void => void open.delete(handle);
export const fsyncSync = (_handle: number): void => {};
export const fstatSync = (handle: number) => ({
  size: handleOf(handle).file.size,
  isFile: () => true,
  isDirectory: () => false,
});

export function ftruncateSync(handle: number, size: number): void {
  const { file } = handleOf(handle);
  file.size = Math.min(file.size, size);
}

export function readSync(
  handle: number,
  into: ArrayBufferView,
  offset = 0,
  length?: number,
  position?: number | bigint | null,
): number {
  const opened = handleOf(handle);
  const from = position === null || position === undefined ? opened.at : Number(position);
  const bytes = contentOf(opened.file).subarray(from, from + (length ?? into.byteLength - offset));
  bytesOf(into).set(bytes, offset);
  if (position === null || position === undefined) opened.at += bytes.length;
  return bytes.length;
}

/** With text, the third argument is a position; with bytes, an offset into them. */
export function writeSync(
  handle: number,
  data: Data,
  offset?: number | null,
  length?: number,
): number {
  const opened = handleOf(handle);
  const all = bytesOf(data);
  const bytes =
    typeof data === 'string'
      ? all
      : all.subarray(offset ?? 0, length === undefined ? undefined : (offset ?? 0) + length);
  const from = opened.append
    ? opened.file.size
    : typeof data === 'string' && typeof offset === 'number'
      ? offset
      : opened.at;
  put(opened.file, from, bytes);
  opened.at = from + bytes.length;
  return bytes.length;
}

export const constants = { O_RDONLY: 0, O_NOFOLLOW: 0, O_NONBLOCK: 0 };
