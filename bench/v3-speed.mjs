// DeepSeek-V3 against a dense decoder of as many active parameters: a training step (forward,
// backward, clipping, AdamW) and decoding, in turns, as a ratio of times. Without multi-token
// prediction: it trains another layer.
//
//   node bench/v3-speed.mjs [--widths 256,512] [--workers 1,2] [--rounds 7] [--json]
import { parseArgs } from 'node:util';
import {
  DECODERS,
  demandBuild,
  describe,
  machine,
  median,
  table,
  times,
  V3,
  whole,
} from './harness.mjs';
import { COMPLETION, GROUP, openGeneration, PROMPT } from './sampling.mjs';
import { BATCH, interleave, reckoner, SEQUENCE } from './step.mjs';

const BATCHES = [1, 16, 64];

const { values: flags } = parseArgs({
  options: {
    widths: { type: 'string', default: '256,512' },
    workers: { type: 'string', default: '1,2' },
    rounds: { type: 'string', default: '7' },
    json: { type: 'boolean', default: false },
  },
});
demandBuild();
const { parseModelConfig } = await import('../dist/models/index.js');
const { architectureOf, countParameters } = await import('../dist/architecture/index.js');
const numbers = (text) => text.split(',').map(Number);
const rows = [];

for (const width of numbers(flags.widths)) {
  const pair = { dense: parseModelConfig(DECODERS[width]), v3: parseModelConfig(V3[width]) };
  const active = Object.fromEntries(
    Object.entries(pair).map(([name, config]) => [
      name,
      countParameters(architectureOf(config)).active,
    ]),
  );
  for (const products of ['native', 'wasm']) {
    for (const workers of numbers(flags.workers)) {
      const threads = {};
      for (const [name, config] of Object.entries(pair))
        threads[name] = await reckoner(config, workers, products);
      const sides = Object.entries(threads).map(([name, side]) => ({ name, run: side.run }));
      const what = `training step, ${workers} worker${workers > 1 ? 's' : ''}`;
      await interleave(sides, Number(flags.rounds), (text) =>
        process.stderr.write(`width ${width}, ${products}, ${what}: ${text}\n`),
      );
      for (const side of Object.values(threads)) await side.close();
      const [dense, v3] = sides.map((side) => side.tokensPerSecond);
      rows.push({ width, active, products, what, dense, v3, ratio: dense / v3 });
    }
    const sides = [];
    for (const config of Object.values(pair)) sides.push(await openGeneration(config, products));
    for (const batch of BATCHES) {
      const perSecond = [[], []];
      for (let round = 0; round <= Number(flags.rounds); round++) {
        for (const [i, side] of sides.entries()) {
          const speed = await side.generate(batch, round);
          if (round > 0) perSecond[i].push(speed);
        }
      }
      const [dense, v3] = perSecond.map(median);
      const what = `decoding, batch ${batch}`;
      process.stderr.write(
        `width ${width}, ${products}, ${what}: dense ${whole(dense)}, v3 ${whole(v3)} tokens/s\n`,
      );
      rows.push({ width, active, products, what, dense, v3, ratio: dense / v3 });
    }
    for (const side of sides) await side.close();
  }
}

const about = machine(`node bench/v3-speed.mjs ${process.argv.slice(2).join(' ')}`.trim());
if (flags.json)
  console.log(JSON.stringify({ benchmark: 'v3-speed', machine: about, rows }, null, 2));
else {
  console.log('## DeepSeek-V3 against a dense decoder\n');
  console.log(`${describe(about)}\n`);
  console.log(
    `A step has ${BATCH} × ${SEQUENCE} tokens; a prompt ${PROMPT}, a completion ${COMPLETION} tokens, groups of up to ${GROUP}, one core.\n`,
  );
  const cells = rows.map((r) => [
    `width ${r.width}, ${(r.active.dense / 1e6).toFixed(2)}M and ${(r.active.v3 / 1e6).toFixed(2)}M active`,
    r.products,
    r.what,
    whole(r.dense),
    whole(r.v3),
    times(r.ratio),
  ]);
  console.log(
    table(
      [
        'models',
        'products',
        'what',
        'dense, tokens/s',
        'DeepSeek-V3, tokens/s',
        'time, V3 / dense',
      ],
      cells,
    ),
  );
}
