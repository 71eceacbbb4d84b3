// Tokens per second of rollouts: prompts prefilled, completions sampled at temperature 1 from a
// preallocated cache, with batches of 1, 16, 64 and 256 sequences on one core.
//
//   node bench/rollouts.mjs [--models r1-mini,128,256,512] [--batches 1,16,64,256] [--products native,wasm,blas] [--rounds 5] [--json]
//
// Samples come in groups of up to 16 that share their prompt's cache, as in GRPO. Weights are
// random (speed does not depend on them) and no sequence ends early, so every batch stays full. The
// prompt has 16 tokens, a completion 64. Prefill is in the time; tokens counted are the generated
// ones.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import {
  DECODERS,
  demandBuild,
  describe,
  machine,
  median,
  root,
  table,
  whole,
} from './harness.mjs';
import { COMPLETION, GROUP, openGeneration, PROMPT } from './sampling.mjs';

const { values: flags } = parseArgs({
  options: {
    models: { type: 'string', default: 'r1-mini,128,256,512' },
    batches: { type: 'string', default: '1,16,64,256' },
    products: { type: 'string', default: 'native,wasm' },
    rounds: { type: 'string', default: '5' },
    json: { type: 'boolean', default: false },
  },
});
demandBuild();
const { parseModelConfig } = await import('../dist/models/index.js');
const { architectureOf, countParameters } = await import('../dist/architecture/index.js');

/**
 * A width of the benchmark's decoders, or a shipped recipe's model (its vocabulary, which the task
 * decides, taken as 64).
 */
function configOf(name) {
  if (DECODERS[name]) return parseModelConfig(DECODERS[name]);
  const { model } = JSON.parse(readFileSync(`${root}recipes/${name}.json`, 'utf8'));
  return parseModelConfig({ vocab_size: 64, ...model });
}

const batches = flags.batches.split(',').map(Number);
const engines = new Set();

/** Median tokens per second of `model` at each batch size; batch sizes take turns. */
async function measure(name, products) {
  const config = configOf(name);
  const model = await openGeneration(config, products);
  engines.add(model.fingerprint);
  const perSecond = batches.map(() => []);
  for (const batch of batches) await model.generate(batch, 0);
  for (let round = 1; round <= Number(flags.rounds); round++) {
    for (const [i, batch] of batches.entries())
      perSecond[i].push(await model.generate(batch, round));
  }
  await model.close();
  return {
    model: name,
    width: config.hidden_size,
    layers: config.num_hidden_layers,
    parameters: countParameters(architectureOf(config)).stored,
    products,
    tokensPerSecond: Object.fromEntries(batches.map((batch, i) => [batch, median(perSecond[i])])),
  };
}

const rows = [];
for (const name of flags.models.split(',')) {
  for (const products of flags.products.split(',')) {
    rows.push(await measure(name, products));
    process.stderr.write(`${name}, ${products}: ${JSON.stringify(rows.at(-1).tokensPerSecond)}\n`);
  }
}
const about = machine(`node bench/rollouts.mjs ${process.argv.slice(2).join(' ')}`.trim());
if (flags.json) {
  console.log(
    JSON.stringify({ benchmark: 'rollouts', machine: about, engines: [...engines], rows }, null, 2),
  );
} else {
  console.log('## Rollouts, tokens/s on one core\n');
  console.log(`${describe(about)}\n`);
  console.log(
    `${[...engines].join('; ')}. Prompt ${PROMPT}, completion ${COMPLETION} tokens, groups of ${GROUP}.\n`,
  );
  const cells = rows.map((r) => [
    `${r.model.match(/^\d/) ? '' : `${r.model}: `}width ${r.width}, ${r.layers} layers, ${(r.parameters / 1e6).toFixed(1)}M`,
    r.products,
    ...batches.map((batch) => whole(r.tokensPerSecond[batch])),
  ]);
  console.log(
    `${table(['model', 'products', ...batches.map((batch) => `batch ${batch}`)], cells)}\n`,
  );
}
