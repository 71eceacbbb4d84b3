/**
 * @file Downloading the models of the Hugging Face hub that a command names (`hf:org/name`), with
 * their size and licence said first, and progress.
 */
import { isHubName } from '../base/hub-name.js';
import { formatBytes } from '../base/text/index.js';
import { fetchModel } from '../checkpoints/hub.js';
import { hubModelsOf } from '../recipe/index.js';
import { note } from './output.js';

/** The share of a download that is there, on a terminal. */
function showProgress(): (done: number, total: number) => void {
  let last = 0;
  return (done, total) => {
    const now = Date.now();
    if (!process.stderr.isTTY || (now - last < 200 && done < total)) return;
    last = now;
    const share = total === 0 ? 100 : Math.floor((100 * done) / total);
    const end = done < total ? '' : '\n';
    process.stderr.write(`\r  ${share}% of ${formatBytes(total)}${end}`);
  };
}

/**
 * Downloads a model of the hub; any other name is left alone.
 * @returns the name with the commit that was downloaded
 * @throws UserError as `fetchModel` does
 */
export async function fetchNamed<T extends string | undefined>(which: T): Promise<T | string> {
  if (which === undefined || !isHubName(which)) return which;
  return fetchModel(which, { tell: note, onProgress: showProgress() });
}

/** Downloads the models of the hub that a recipe starts from or learns from. */
export async function fetchForRecipe(nameOrPath: string): Promise<void> {
  for (const model of hubModelsOf(nameOrPath)) await fetchNamed(model);
}
