/**
 * @file Opening a model by its path: a Hugging Face folder, or a GGUF file.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isGguf, loadGguf } from './gguf/open.js';
import { type LoadedModel, loadHuggingFace } from './hugging-face.js';
import { type Json, readObject } from './model-folder.js';

/** Whether there is a model at this path: a GGUF file, or a folder with a `config.json`. */
export const isModel = (path: string): boolean =>
  isGguf(path) ? existsSync(path) : existsSync(join(path, 'config.json'));

/** The `config.json` of a model. @throws UserError (data) that names the file */
export function configOf(path: string): Json {
  if (!isGguf(path)) return readObject(path, 'config.json', 'model configuration');
  const { config, tensors } = loadGguf(path);
  tensors.close();
  return config;
}

/** @throws UserError (data) that names the file */
export const loadModel = (path: string): LoadedModel =>
  isGguf(path) ? loadGguf(path) : loadHuggingFace(path);
