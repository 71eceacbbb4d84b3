// Generation speed of the server's engine against llama.cpp (node-llama-cpp) with the same weights,
// exported to GGUF in float32: tokens per second with 1, 16 and 64 sequences at once, in turns.
//
//   npm install --prefix bench --ignore-scripts && npm run build
//   node bench/llama-speed.mjs [--widths 96,256,512] [--batches 1,16,64] [--rounds 5] [--json]
//
// Random weights, a prompt of 16 tokens and a completion of 64 that no token ends, drawn at
// temperature 1 on both sides. Ours computes on one core, as `reckoner serve` does; llama.cpp does
// so on one thread and on two. Its scheduler, sampler and JavaScript are in its time, as ours are
// in ours. --ignore-scripts: its binaries are npm packages, and its install script would look for
// others elsewhere.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  DECODERS,
  demandBuild,
  describe,
  machine,
  median,
  table,
  times,
  whole,
} from './harness.mjs';

const { values: flags } = parseArgs({
  options: {
    widths: { type: 'string', default: '96,256,512' },
    batches: { type: 'string', default: '1,16,64' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
demandBuild();
const { getLlama, LlamaLogLevel } = await import('node-llama-cpp');
const { saveGguf } = await import('../dist/checkpoints/gguf/save.js');
const { loadHuggingFace, saveHuggingFace } = await import('../dist/checkpoints/hugging-face.js');
const { loadParameters } = await import('../dist/inference/open.js');
const { createEngine } = await import('../dist/inference/engine.js');
const { transformersClass, createModel, explicitConfig, parametersOf, parseModelConfig } =
  await import('../dist/models/index.js');
const { createWasmBackend } = await import('../dist/tensor/backends/wasm/index.js');
const { createCharacterTokenizer, tokenizerFiles } = await import(
  '../dist/tokenizers/character.js'
);
const { architectureOf, countParameters } = await import('../dist/architecture/index.js');
/** Numbers in the weights of a model. */
const storedParameters = (config) => countParameters(architectureOf(config)).stored;

const PROMPT = 16;
const COMPLETION = 64;
const tokenizer = createCharacterTokenizer(
  Array.from({ length: 249 }, (_, i) => String.fromCharCode(0x100 + i)).join(''),
);
/**
 * The model of the shipped recipe was of this size; the others are those of the training
 * benchmarks.
 */
const SMALL = {
  ...DECODERS[128],
  hidden_size: 96,
  intermediate_size: 256,
  num_hidden_layers: 3,
  num_attention_heads: 6,
  num_key_value_heads: 6,
  head_dim: 16,
};
const batches = flags.batches.split(',').map(Number);
const llama = await getLlama({
  build: 'never',
  gpu: false,
  skipDownload: true,
  maxThreads: 2,
  logLevel: LlamaLogLevel.error,
});

const promptOf = (i) => Array.from({ length: PROMPT }, (_, j) => 8 + ((i * 31 + j * 7) % 240));

/** Our side: `generate(n, round)` gives tokens per second. */
async function ours(folder, config) {
  const backend = await createWasmBackend({
    sharedBytes: 4 * storedParameters(config) + 2 ** 20,
  });
  const model = createModel(backend, config);
  const loaded = loadHuggingFace(folder);
  loadParameters(backend, model, loaded);
  loaded.tensors.close();
  return {
    name: `Reckoner (${backend.fingerprint})`,
    async generate(n) {
      const mark = backend.mark();
      const engine = createEngine(backend, model, {
        capacity: n,
        cacheRows: n * (PROMPT + COMPLETION),
        stops: [],
      });
      let drawn = 0;
      const start = performance.now();
      for (let i = 0; i < n; i++) {
        engine.add({
          prompt: promptOf(i),
          maxTokens: COMPLETION,
          seed: null,
          choice: 0,
          choosing: { temperature: 1, topP: 1, topK: 0, minP: 0 },
          topLogProbabilities: null,
          constraint: null,
          onToken: () => {
            drawn++;
            return false;
          },
          onEnd: () => {},
        });
      }
      while (await engine.step());
      const seconds = (performance.now() - start) / 1000;
      backend.release(mark);
      if (drawn !== n * COMPLETION) throw new Error(`drew ${drawn} tokens of ${n * COMPLETION}`);
      return drawn / seconds;
    },
    close: () => backend.close(),
  };
}

async function theirs(file, threads) {
  const model = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
  return {
    name: `llama.cpp, ${threads} thread${threads > 1 ? 's' : ''}`,
    async generate(n, round) {
      const context = await model.createContext({
        sequences: n,
        contextSize: 128,
        batchSize: n * PROMPT,
        threads,
      });
      const one = async (i) => {
        const sequence = context.getSequence();
        let drawn = 0;
        for await (const _ of sequence.evaluate(promptOf(i), {
          temperature: 1,
          topK: 0,
          topP: 1,
          minP: 0,
          seed: round * 1000 + i,
          yieldEogToken: true,
        })) {
          if (++drawn === COMPLETION) break;
        }
        sequence.dispose();
        return drawn;
      };
      const start = performance.now();
      const drawn = (await Promise.all(Array.from({ length: n }, (_, i) => one(i)))).reduce(
        (a, b) => a + b,
        0,
      );
      const seconds = (performance.now() - start) / 1000;
      await context.dispose();
      if (drawn !== n * COMPLETION)
        throw new Error(`llama.cpp drew ${drawn} tokens of ${n * COMPLETION}`);
      return drawn / seconds;
    },
    close: () => model.dispose(),
  };
}

/** Random numbers of the size that training starts from. */
function* numbers(count) {
  let state = 12345 + count;
  for (let left = count; left > 0; ) {
    const block = new Float32Array(Math.min(left, 1 << 20));
    for (let i = 0; i < block.length; i++) {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      block[i] = (state / 2 ** 32 - 0.5) * 0.07;
    }
    left -= block.length;
    yield block;
  }
}

const rows = [];
const names = new Set();
const temporary = mkdtempSync(join(tmpdir(), 'reckoner-llama-speed-'));
try {
  for (const width of flags.widths.split(',').map(Number)) {
    const config = parseModelConfig({
      ...(DECODERS[width] ?? SMALL),
      vocab_size: tokenizer.vocabularySize,
    });
    const folder = join(temporary, `model-${width}`);
    const tensors = parametersOf(config).map(({ name, shape }) => ({
      name,
      shape,
      data: numbers(shape.reduce((a, b) => a * b, 1)),
    }));
    const own = { ...explicitConfig(config), architectures: [transformersClass(config)] };
    await saveHuggingFace(folder, { config: own, tensors, ...tokenizerFiles(tokenizer) });
    const file = join(temporary, `model-${width}.gguf`);
    const loaded = loadHuggingFace(folder);
    saveGguf(file, loaded, 'F32');
    loaded.tensors.close();
    const sides = [await ours(folder, config), await theirs(file, 1), await theirs(file, 2)];
    names.add(sides[0].name);
    for (const batch of batches) {
      const perSecond = sides.map(() => []);
      for (let round = 0; round <= Number(flags.rounds); round++) {
        for (let i = 0; i < sides.length; i++) {
          const at = (i + round) % sides.length;
          const speed = await sides[at].generate(batch, round);
          if (round > 0) perSecond[at].push(speed);
        }
      }
      const [reckoner, one, two] = perSecond.map(median);
      process.stderr.write(
        `width ${width}, batch ${batch}: ${[reckoner, one, two].map(whole).join(', ')} tokens/s\n`,
      );
      rows.push({
        width,
        layers: config.num_hidden_layers,
        parameters: storedParameters(config),
        batch,
        reckoner,
        one,
        two,
      });
    }
    for (const side of sides) await side.close();
  }
} finally {
  rmSync(temporary, { recursive: true, force: true });
  await llama.dispose();
}

const about = machine(`node bench/llama-speed.mjs ${process.argv.slice(2).join(' ')}`.trim());
if (flags.json)
  console.log(JSON.stringify({ benchmark: 'llama-speed', machine: about, rows }, null, 2));
else {
  console.log('## Generation against llama.cpp, tokens/s\n');
  console.log(
    `${describe(about)}\n\n${[...names].join('; ')}. Prompt ${PROMPT}, completion ${COMPLETION} tokens, float32.\n`,
  );
  const header = [
    'model',
    'sequences',
    'Reckoner, 1 core',
    'llama.cpp, 1 thread',
    'ratio',
    'llama.cpp, 2 threads',
    'ratio',
  ];
  const cells = rows.map((r) => [
    `width ${r.width}, ${r.layers} layers, ${(r.parameters / 1e6).toFixed(1)}M`,
    r.batch,
    whole(r.reckoner),
    whole(r.one),
    times(r.reckoner / r.one),
    whole(r.two),
    times(r.reckoner / r.two),
  ]);
  console.log(table(header, cells));
}
process.exit(0);
