/**
 * @file The folder that a recipe starts from: its configuration, its tokenizer, and, where it stays
 * frozen, what its numbers are.
 */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { UserError } from '../base/errors.js';
import { hashOf, sha256File } from '../base/files.js';
import { demandGrant } from '../base/grants.js';
import { isGguf } from '../checkpoints/gguf/open.js';
import type { TokenizerFiles } from '../checkpoints/hugging-face.js';
import { loadModel } from '../checkpoints/load-model.js';
import { isAdapter } from '../checkpoints/peft.js';
import { resolveModel } from '../checkpoints/run-folder.js';
import { weightFiles } from '../checkpoints/weights.js';
import type { Form } from '../tensor/forms.js';
import { openTokenizer } from '../tokenizers/hugging-face.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';

export interface Base {
  folder: string;
  config: Record<string, unknown>;
  tokenizer: Tokenizer;
  /** Its files, to go with what is trained. */
  tokenizerFiles: TokenizerFiles;
  /** The forms in which tensors can be kept as they are, by name. */
  forms: ReadonlyMap<string, Form>;
}

/** Large tokenizers take a second to read, and a recipe is resolved several times. */
const opened = new Map<string, Base>();

/** @throws UserError that names the folder */
export function openBase(from: string): Base {
  demandGrant(from, 'init.from');
  const { folder } = resolveModel(from);
  if (isAdapter(folder)) {
    const message = `init.from: ${folder} is an adapter; merge it into its base with "reckoner export --to hf", and start from that`;
    throw new UserError('usage', message, 'init.from');
  }
  const parts = isGguf(folder)
    ? [folder]
    : ['config.json', 'tokenizer.json'].map((name) => join(folder, name));
  const key = [folder, ...parts.map(modified)].join(' ');
  const known = opened.get(key);
  if (known) return known;
  const loaded = loadModel(folder);
  try {
    const { tokenizerJson, chatTemplate, tensors } = loaded;
    if (tokenizerJson === null)
      throw new UserError('data', `init.from: ${folder} has no tokenizer`, 'init.from');
    const { reckoner: _, torch_dtype: __, ...config } = loaded.config;
    const base: Base = {
      folder,
      config,
      tokenizer: openTokenizer({ ...loaded, tokenizerJson }),
      tokenizerFiles: {
        tokenizer: tokenizerJson,
        tokenizerConfig: {
          ...loaded.tokenizerConfig,
          ...(chatTemplate === null ? {} : { chat_template: chatTemplate }),
        },
        specialTokensMap: loaded.specialTokensMap ?? {},
      },
      forms: new Map(
        tensors.names.flatMap((name) => {
          const form = tensors.form(name);
          return form === null ? [] : [[name, form] as const];
        }),
      ),
    };
    opened.set(key, base);
    return base;
  } finally {
    loaded.tensors.close();
  }
}

const modified = (path: string): number => (existsSync(path) ? statSync(path).mtimeMs : 0);

/** One digest of all the files that hold a folder's weights. */
export function hashWeights(folder: string): string {
  if (isGguf(folder)) return sha256File(folder).sha256;
  const hashes = weightFiles(folder).names.map((name) => sha256File(join(folder, name)).sha256);
  return hashes.length === 1 ? hashes[0] : hashOf(hashes);
}
