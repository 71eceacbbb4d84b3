/**
 * @file Which files outside a run or a model may be read or executed because data names them:
 * trusted code, untrusted input, capabilities.
 *
 * A path in data is followed only when it was granted in this thread, by what the user named on the
 * command line or in a recipe, or after a check against the user's own project
 * (tasks/references.ts). The functions that follow such a path demand the grant themselves, so a
 * caller that forgets to ask gets a refusal, not a file.
 */
import { resolve } from 'node:path';
import { UserError } from './errors.js';
import { isHubName } from './hub-name.js';

const granted = new Set<string>();

/** Lets this thread follow a path, whoever names it from now on. */
export const grant = (path: string): void => void granted.add(resolve(path));

/** @throws UserError (usage) naming the field when the path was not granted */
export function demandGrant(path: string, field: string): void {
  // A name of the hub leads into the cache of what the user downloaded, and nowhere else.
  if (isHubName(path) || granted.has(resolve(path))) return;
  const message = `${field}: ${path} is named by a run or a model and not by you; add --trust if you know what is in it`;
  throw new UserError('usage', message, field);
}
