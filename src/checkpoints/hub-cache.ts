/**
 * @file Models of the Hugging Face hub that were downloaded (`hf:org/name[@revision]`): their names,
 * and where the hub's clients keep them.
 *
 * Environment, as for the hub's own clients: HF_HUB_CACHE, HF_HOME. Layout of the cache:
 * https://huggingface.co/docs/huggingface_hub/guides/manage-cache
 */
import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { isHubName } from '../base/hub-name.js';
import { readRegularText } from '../base/regular.js';

const FORM = 'hf:org/name, hf:org/name@revision, or either with /FILE.gguf';
const NAME =
  /^hf:([A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*?)(?:@([A-Za-z0-9][\w.-]*))?(?:\/([\w.-]+\.gguf))?$/;
export const COMMIT = /^[0-9a-f]{40}$/;

export interface HubName {
  repository: string;
  revision: string;
  /** A GGUF file of the repository; null for a folder of safetensors, or its only GGUF file. */
  file: string | null;
}

/** @throws UserError (usage) */
export function parseName(name: string): HubName {
  const match = NAME.exec(name);
  if (match === null || name.includes('..'))
    throw new UserError('usage', `${name} names no model of the hub; write ${FORM}`, 'model');
  const [, repository, revision = 'main', file = null] = match;
  return { repository, revision, file };
}

/** Where the hub's clients keep what they download. */
export function cacheFolder(): string {
  const { HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME } = process.env;
  const home = HF_HOME ?? join(XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'huggingface');
  return HF_HUB_CACHE ?? HUGGINGFACE_HUB_CACHE ?? join(home, 'hub');
}

export const storageOf = (repository: string): string =>
  join(cacheFolder(), `models--${repository.replace('/', '--')}`);

/** The commit that a revision was when it was downloaded last; null when it was not. */
export function cachedCommit({ repository, revision }: HubName): string | null {
  if (COMMIT.test(revision)) return revision;
  const path = join(storageOf(repository), 'refs', revision);
  if (!existsSync(path)) return null;
  const commit = readRegularText(path, 'reference', 1000).trim();
  return COMMIT.test(commit) ? commit : null;
}

/** The model's path in a snapshot; null when it is not all there. */
export function pathIn(snapshot: string, file: string | null): string | null {
  if (file !== null) return existsSync(join(snapshot, file)) ? join(snapshot, file) : null;
  if (existsSync(join(snapshot, 'config.json'))) return snapshot;
  if (!existsSync(snapshot)) return null;
  const ggufs = readdirSync(snapshot).filter((name) => name.endsWith('.gguf'));
  return ggufs.length === 1 ? join(snapshot, ggufs[0]) : null;
}

export const snapshotOf = (repository: string, commit: string): string =>
  join(storageOf(repository), 'snapshots', commit);

/**
 * The path of a model that was downloaded: a folder or a GGUF file, for `loadModel`.
 * @throws UserError (state) when it was not
 */
export function cachedModel(name: string): string {
  const parsed = parseName(name);
  const commit = cachedCommit(parsed);
  const path = commit === null ? null : pathIn(snapshotOf(parsed.repository, commit), parsed.file);
  if (path !== null) return path;
  const message = `${name} has not been downloaded; "reckoner chat ${name}" downloads it`;
  throw new UserError('state', message, 'model');
}

/** The name with the commit that is in the cache; other names as they are. */
export function pinnedName(name: string): string {
  if (!isHubName(name)) return name;
  const parsed = parseName(name);
  const commit = cachedCommit(parsed);
  return commit === null ? name : nameAt(parsed, commit);
}

export const nameAt = ({ repository, file }: HubName, commit: string): string =>
  `hf:${repository}@${commit}${file === null ? '' : `/${file}`}`;
