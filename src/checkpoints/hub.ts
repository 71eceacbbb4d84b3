/**
 * @file Downloading models of the Hugging Face hub (`hf:org/name[@revision]`) into the cache that
 * its other clients use.
 *
 * Downloading and finding are two things. `fetchModel` downloads what the user named and pins the
 * revision to a commit; everything else asks `cachedModel` (hub-cache.ts) for the folder and never
 * waits. Files
 * are listed and read through `@huggingface/hub`; what it does not do is ours: an interrupted
 * download resumes, and a file is not used before its hash is that of the list.
 *
 * Environment, as for the hub's own clients: HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  statfsSync,
  statSync,
  symlinkSync,
  writeSync,
} from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { UserError } from '../base/errors.js';
import { writeFileAtomic } from '../base/files.js';
import { takeLock } from '../base/lock.js';
import { formatBytes } from '../base/text/index.js';
import {
  COMMIT,
  cachedCommit,
  cacheFolder,
  type HubName,
  nameAt,
  parseName,
  pathIn,
  snapshotOf,
  storageOf,
} from './hub-cache.js';

/** What is downloaded of a folder; `config.json` last, so that its presence means the rest. */
const SMALL_FILES = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'generation_config.json',
  'chat_template.jinja',
  'model.safetensors.index.json',
];
const WEIGHTS = /^model(?:-\d{5}-of-\d{5})?\.safetensors$/;
const ATTEMPTS = 5;
const STALL_MS = 60_000;

export interface FetchOptions {
  /** Takes a line for the user: size, licence and revision before a download, and its end. */
  tell?: (line: string) => void;
  /** Takes the bytes that are there, and those that there will be. */
  onProgress?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

interface Listed {
  path: string;
  size: number;
  /** SHA-256 of a large file, git's SHA-1 of a small one: the name of its blob. */
  hash: string;
}

type Hub = typeof import('@huggingface/hub');

/** How the library is to reach the hub. */
function connection(signal: AbortSignal | undefined) {
  const token = process.env.HF_TOKEN?.trim();
  const endpoint = process.env.HF_ENDPOINT?.trim().replace(/\/+$/, '');
  const request: typeof fetch = (input, init) =>
    fetch(input, { ...init, ...(signal === undefined ? {} : { signal }) });
  return {
    ...(token ? { accessToken: token } : {}),
    ...(endpoint ? { hubUrl: endpoint } : {}),
    fetch: request,
  };
}

/** What failed, in one line, with what to do about it. */
function hubError(error: unknown, { repository, revision }: HubName): UserError {
  if (error instanceof UserError) return error;
  const status = (error as { statusCode?: number }).statusCode;
  const what = `${repository} at revision ${revision}`;
  if (status === 401 || status === 403) {
    const message = `the hub refuses ${what} (${status}): it is private, gated or not there; accept its terms on its page and set HF_TOKEN`;
    return new UserError('usage', message, 'HF_TOKEN');
  }
  if (status === 404) return new UserError('usage', `the hub has no ${what}`, 'model');
  const why = status ?? (error as Error).message.split('\n')[0].slice(0, 160);
  return new UserError('state', `cannot reach the hub for ${what}: ${why}`, 'model');
}

/** The files of a repository that make the model. @throws UserError (usage) */
async function filesOf(
  hub: Hub,
  { repository, file }: HubName,
  commit: string,
  how: ReturnType<typeof connection>,
): Promise<Listed[]> {
  const listed = new Map<string, Listed>();
  const all = hub.listFiles({ repo: repository, revision: commit, recursive: false, ...how });
  for await (const { type, path, size, lfs, oid } of all) {
    const hash = lfs?.oid ?? oid;
    if (type === 'file' && hash !== undefined && /^[0-9a-f]{40,64}$/.test(hash))
      listed.set(path, { path, size: lfs?.size ?? size, hash });
  }
  const names = [...listed.keys()];
  const pick = (wanted: readonly string[]): Listed[] =>
    wanted.flatMap((name) => listed.get(name) ?? []);
  const ggufs = names.filter((name) => name.endsWith('.gguf')).sort();
  const weights = names.filter((name) => WEIGHTS.test(name)).sort();
  if (file !== null) {
    if (listed.has(file)) return pick([file]);
    const message = `${repository} has no ${file}; it has ${ggufs.join(', ') || 'no GGUF file'}`;
    throw new UserError('usage', message, 'model');
  }
  if (weights.length > 0) return pick([...SMALL_FILES, ...weights, 'config.json']);
  if (ggufs.length === 1) return pick(ggufs);
  if (ggufs.length > 1) {
    const message = `${repository} has ${ggufs.length} GGUF files; name one, as hf:${repository}/${ggufs[0]}`;
    throw new UserError('usage', message, 'model');
  }
  const message = `${repository} has neither model.safetensors nor a GGUF file`;
  throw new UserError('usage', message, 'model');
}

/** The hash of a file as the hub names it: SHA-256, or git's SHA-1 of a blob. */
function hashLike(path: string, hash: string): string {
  const size = statSync(path).size;
  const digest = createHash(hash.length === 64 ? 'sha256' : 'sha1');
  if (hash.length !== 64) digest.update(`blob ${size}\0`);
  const handle = openSync(path, 'r');
  try {
    const buffer = Buffer.alloc(1 << 20);
    for (let count = 1; count > 0; ) {
      count = readSync(handle, buffer);
      digest.update(buffer.subarray(0, count));
    }
  } finally {
    closeSync(handle);
  }
  return digest.digest('hex');
}

/** Adds what is missing to a file that may have a part already. */
async function appendRest(
  hub: Hub,
  file: Listed,
  { repository }: HubName,
  commit: string,
  path: string,
  how: ReturnType<typeof connection>,
  onBytes: (count: number) => void,
): Promise<void> {
  const have = existsSync(path) ? statSync(path).size : 0;
  onBytes(Math.min(have, file.size));
  if (have >= file.size) return;
  const blob = await hub.downloadFile({
    repo: repository,
    path: file.path,
    revision: commit,
    ...how,
  });
  if (blob === null) throw new UserError('state', `${file.path} is gone from the hub`, 'model');
  const reader = blob.slice(have, file.size).stream().getReader();
  const handle = openSync(path, 'a');
  let done = have;
  try {
    for (;;) {
      let timer: NodeJS.Timeout | undefined;
      const stalled = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error('no data for a minute')), STALL_MS);
      });
      const { value, done: ended } = await Promise.race([reader.read(), stalled]).finally(() =>
        clearTimeout(timer),
      );
      if (ended) break;
      done += value.length;
      if (done > file.size) throw new Error(`${file.path} is longer than the hub lists it`);
      for (let at = 0; at < value.length; ) at += writeSync(handle, value, at);
      onBytes(value.length);
    }
  } finally {
    closeSync(handle);
    await reader.cancel().catch(() => {});
  }
  if (done < file.size) throw new Error(`${file.path} ended at byte ${done} of ${file.size}`);
}

/** As other clients of the hub do: a link, or a copy where the system allows none. */
function link(blob: string, pointer: string): void {
  try {
    symlinkSync(relative(dirname(pointer), blob), pointer);
  } catch (error) {
    if ((error as { code?: string }).code !== 'EPERM') throw error;
    copyFileSync(blob, pointer);
  }
}

/** @throws UserError (disk) when there is less room than the download needs */
function demandRoom(bytes: number): void {
  mkdirSync(cacheFolder(), { recursive: true });
  const { bavail, bsize } = statfsSync(cacheFolder());
  if (bytes <= bavail * bsize) return;
  const room = `${formatBytes(bytes)} are needed in ${cacheFolder()}, and ${formatBytes(bavail * bsize)} are free`;
  throw new UserError('disk', `${room}; set HF_HOME to a larger disk`, 'HF_HOME');
}

/** Downloads one file into the cache; another attempt resumes where the last one ended. */
async function fetchFile(
  hub: Hub,
  file: Listed,
  name: HubName,
  commit: string,
  options: FetchOptions,
  onBytes: (count: number) => void,
): Promise<void> {
  const storage = storageOf(name.repository);
  const blob = join(storage, 'blobs', file.hash);
  const pointer = join(snapshotOf(name.repository, commit), file.path);
  mkdirSync(dirname(blob), { recursive: true });
  mkdirSync(dirname(pointer), { recursive: true });
  if (existsSync(blob)) onBytes(file.size);
  else {
    const incomplete = `${blob}.incomplete`;
    const release = takeLock(`${incomplete}.lock`, file.path, 'download');
    try {
      for (let attempt = 1; ; attempt++) {
        let counted = 0;
        const count = (bytes: number): void => {
          counted += bytes;
          onBytes(bytes);
        };
        try {
          const how = connection(options.signal);
          await appendRest(hub, file, name, commit, incomplete, how, count);
          break;
        } catch (error) {
          onBytes(-counted);
          const status = (error as { statusCode?: number }).statusCode ?? 500;
          const final = error instanceof UserError || (status >= 400 && status < 500);
          if (final || options.signal?.aborted || attempt === ATTEMPTS) throw error;
          await new Promise((resolve) => setTimeout(resolve, 200 * 2 ** attempt));
        }
      }
      if (hashLike(incomplete, file.hash) !== file.hash) {
        rmSync(incomplete, { force: true });
        const message = `${file.path} of ${name.repository} came damaged: its hash is not the hub's; try again`;
        throw new UserError('data', message, 'model');
      }
      renameSync(incomplete, blob);
    } finally {
      release();
    }
  }
  if (!existsSync(pointer)) {
    rmSync(pointer, { force: true });
    link(blob, pointer);
  }
}

/**
 * Downloads a model that the user named, unless it is there, and pins its revision.
 * @returns the name with the commit: `hf:org/name@0123…`
 * @throws UserError (usage) when the hub has no such model; (state) when it cannot be reached and
 * the model is not in the cache
 */
export async function fetchModel(name: string, options: FetchOptions = {}): Promise<string> {
  const parsed = parseName(name);
  const { repository, revision, file } = parsed;
  const pinned = (commit: string): string => nameAt(parsed, commit);
  const known = cachedCommit(parsed);
  const there = known !== null && pathIn(snapshotOf(repository, known), file) !== null;
  const offline = /^(1|true|yes|on)$/i.test(process.env.HF_HUB_OFFLINE ?? '');
  if (there && (offline || COMMIT.test(revision))) return pinned(known);
  if (offline) {
    const message = `${name} is not in ${cacheFolder()}, and HF_HUB_OFFLINE is set`;
    throw new UserError('state', message, 'model');
  }
  const how = connection(options.signal);
  try {
    const hub = await import('@huggingface/hub');
    const info = await hub.modelInfo({
      name: repository,
      revision,
      additionalFields: ['sha', 'tags', 'cardData'],
      ...how,
    });
    const commit = info.sha;
    if (typeof commit !== 'string' || !COMMIT.test(commit))
      throw new Error('its answer has no commit');
    const files = await filesOf(hub, parsed, commit, how);
    const missing = files.filter(
      ({ path }) => !existsSync(join(snapshotOf(repository, commit), path)),
    );
    const total = missing.reduce((sum, { size }) => sum + size, 0);
    const licence = (info.cardData as { license?: unknown } | undefined)?.license;
    const tagged = info.tags?.find((tag) => tag.startsWith('license:'))?.slice(8);
    if (missing.length > 0) {
      const terms = typeof licence === 'string' ? licence : (tagged ?? 'not stated');
      options.tell?.(
        `downloading ${repository} (${formatBytes(total)}, licence: ${terms}, revision ${commit.slice(0, 12)}) to ${cacheFolder()}`,
      );
    }
    demandRoom(total);
    let done = 0;
    for (const listed of missing)
      await fetchFile(hub, listed, parsed, commit, options, (bytes) => {
        done += bytes;
        options.onProgress?.(done, total);
      });
    if (revision !== commit) {
      const reference = join(storageOf(repository), 'refs', revision);
      mkdirSync(dirname(reference), { recursive: true });
      writeFileAtomic(reference, commit, 'reference');
    }
    return pinned(commit);
  } catch (error) {
    if (options.signal?.aborted)
      throw new UserError(
        'interrupted',
        `the download of ${name} was interrupted; the same command resumes it`,
      );
    const failure = hubError(error, parsed);
    if (!there || failure.code !== 'state') throw failure;
    options.tell?.(`${failure.message}; using the copy of ${known.slice(0, 12)} in the cache`);
    return pinned(known);
  }
}
