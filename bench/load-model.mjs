/**
 * How long a model folder of Qwen3-0.6B's shape (596M parameters, 1.19 GB in BF16, random numbers)
 * takes to load, and how much memory at most: into the engine as float32, and as BF16 bits, as
 * weights under an adapter stay.
 *
 *   npm run build && node bench/load-model.mjs [FOLDER]      makes the folder when it is not there, and keeps it
 *
 * Each way runs in a process of its own; the peak is the system's own figure for the process
 * (maxrss).
 */
import { spawnSync } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { architectureOf, countParameters } from '../dist/architecture/index.js';
import { loadHuggingFace, saveHuggingFace } from '../dist/checkpoints/hugging-face.js';
import { loadParameters } from '../dist/inference/open.js';
import {
  createModel,
  explicitConfig,
  parametersOf,
  parseModelConfig,
  transformersClass,
} from '../dist/models/index.js';
import { createWasmBackend } from '../dist/tensor/backends/wasm/index.js';

const config = parseModelConfig({
  model_type: 'qwen3',
  vocab_size: 151936,
  hidden_size: 1024,
  intermediate_size: 3072,
  num_hidden_layers: 28,
  num_attention_heads: 16,
  num_key_value_heads: 8,
  head_dim: 128,
  max_position_embeddings: 4096,
  rope_theta: 1000000,
  tie_word_embeddings: true,
});

/** The same million numbers again and again: what they are does not matter here. */
const block = Float32Array.from(
  { length: 1 << 20 },
  () => (Math.random() + Math.random() - 1) * 0.05,
);
function* numbers(count) {
  for (let left = count; left > 0; left -= block.length)
    yield left < block.length ? block.subarray(0, left) : block;
}

async function load(folder, kind) {
  const start = performance.now();
  const loaded = loadHuggingFace(folder);
  if (kind === 'f32') {
    const backend = await createWasmBackend({
      sharedBytes: 4 * countParameters(architectureOf(config)).stored + (1 << 20),
      products: 'wasm',
    });
    loadParameters(backend, createModel(backend, config), loaded);
  } else {
    const kept = loaded.tensors.names.map((name) => {
      const bytes = new Uint8Array(2 * loaded.tensors.shape(name).reduce((a, b) => a * b, 1));
      loaded.tensors.readRows(name, bytes);
      return bytes;
    });
    if (kept.length === 0) throw new Error('nothing was read');
  }
  loaded.tensors.close();
  const seconds = (performance.now() - start) / 1000;
  console.log(JSON.stringify({ seconds, peakBytes: process.resourceUsage().maxRSS * 1024 }));
}

const [folder = join(tmpdir(), 'reckoner-qwen3-0.6b-random'), kind] = process.argv.slice(2);
if (kind) await load(folder, kind);
else {
  if (!existsSync(folder)) {
    const tensors = parametersOf(config).map(({ name, shape }) => ({
      name,
      shape,
      data: numbers(shape.reduce((a, b) => a * b, 1)),
    }));
    const own = { ...explicitConfig(config), architectures: [transformersClass(config)] };
    await saveHuggingFace(folder, { config: own, tensors, dtype: 'BF16' });
  }
  const { size } = statSync(join(folder, 'model.safetensors'));
  for (const way of ['f32', 'bf16']) {
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [fileURLToPath(import.meta.url), folder, way],
      { encoding: 'utf8' },
    );
    if (!stdout) throw new Error(stderr);
    const { seconds, peakBytes } = JSON.parse(stdout);
    const gigabytes = (bytes) => (bytes / 1e9).toFixed(2);
    const ratio = (peakBytes / size).toFixed(2);
    console.log(
      `${way}: ${seconds.toFixed(1)} s, peak ${gigabytes(peakBytes)} GB = ${ratio} × the file's ${gigabytes(size)} GB`,
    );
  }
}
