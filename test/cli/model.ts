/**
 * @file For tests: a tiny model with random weights in a folder, and calls of the built command.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { saveHuggingFace } from '../../src/checkpoints/hugging-face.js';
import { createModel, parseModelConfig, transformersClass } from '../../src/models/index.js';
import { createTask } from '../../src/tasks/index.js';
import { createReferenceBackend } from '../../src/tensor/backends/reference.js';
import { createCharacterTokenizer, tokenizerFiles } from '../../src/tokenizers/character.js';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** Writes a model of the sums task that has learned nothing. */
export async function writeTinyModel(folder: string): Promise<void> {
  const task = createTask({ name: 'sums' });
  const tokenizer = createCharacterTokenizer(task.alphabet);
  const config = parseModelConfig({
    model_type: 'llama',
    vocab_size: tokenizer.vocabularySize,
    hidden_size: 16,
    intermediate_size: 32,
    num_hidden_layers: 1,
    num_attention_heads: 2,
    max_position_embeddings: 64,
  });
  const backend = createReferenceBackend();
  const model = createModel(backend, config);
  model.store.initialize(7);
  const tensors = await Promise.all(
    model.store.parameters.map(async ({ spec, value }) => ({
      name: spec.name,
      shape: spec.shape,
      data: Float32Array.from(await backend.read(value)),
    })),
  );
  const { bos, eos, pad } = tokenizer.special;
  const ids = { bos_token_id: bos, eos_token_id: eos, pad_token_id: pad };
  const origin = { recipe: 'test', task: { name: 'sums' } };
  await saveHuggingFace(folder, {
    config: { ...config, ...ids, architectures: [transformersClass(config)], reckoner: origin },
    tensors,
    ...tokenizerFiles(tokenizer),
  });
  await backend.close();
}

export interface Call {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface CallOptions {
  cwd?: string;
  /** Written to stdin, which is then closed. */
  input?: string;
  env?: Record<string, string>;
  /** Sees the process once it runs. */
  onStart?: (child: ChildProcess) => void;
}

/** Runs `reckoner …args` as a user does, from dist/. */
export function reckoner(args: readonly string[], options: CallOptions = {}): Promise<Call> {
  if (!existsSync(MAIN)) throw new Error('dist/ is missing; npm run build makes it');
  const env: NodeJS.ProcessEnv = { ...process.env, ...options.env };
  delete env.FORCE_COLOR;
  const child = spawn(process.execPath, [MAIN, ...args], { cwd: options.cwd, env });
  const call: Call = { code: null, stdout: '', stderr: '' };
  child.stdout.on('data', (chunk) => (call.stdout += chunk));
  child.stderr.on('data', (chunk) => (call.stderr += chunk));
  options.onStart?.(child);
  if (options.onStart === undefined) child.stdin.end(options.input ?? '');
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ ...call, code }));
  });
}
