// Tokens per second of a full training step (forward, backward, gradient clipping, AdamW), one and
// two workers, with our machine code, with WASM kernels and with a BLAS where there is one, against
// PyTorch on the same cores.
//
//   node bench/training-step.mjs [--widths 128,256,512] [--workers 1,2] [--rounds 7] [--compile] [--python PATH] [--json]
//
// Every side runs in its own process or threads and waits for its turn: a round gives each side a
// few steps, in an order that turns from round to round, so that a machine that slows down slows
// everybody. The figure is the median over all steps. Both sides train the same architecture (the
// parameter counts are compared) on 8 sequences of 256 random tokens a step. PyTorch runs with as
// many threads as we run workers; it leaves out gradient clipping, which we cannot switch off.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { parseArgs } from 'node:util';
import {
  DECODERS,
  demandBuild,
  describe,
  findPython,
  machine,
  root,
  table,
  times,
  whole,
} from './harness.mjs';
import { BATCH, interleave, reckoner, SEQUENCE } from './step.mjs';

await main();

/** PyTorch's side: one Python process that answers requests. */
function startPython(python) {
  const child = spawn(python, [`${root}bench/peers/train_step.py`], {
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  const waiting = [];
  const fail = (message) => {
    for (const { reject } of waiting.splice(0)) reject(new Error(message));
  };
  createInterface({ input: child.stdout }).on('line', (line) => {
    const answer = JSON.parse(line);
    const { resolve, reject } = waiting.shift();
    if (answer.error) reject(new Error(`PyTorch: ${answer.error}`));
    else resolve(answer);
  });
  child.once('error', (error) => fail(`${python}: ${error.message}`));
  child.once('exit', (code) =>
    fail(`${python} ended with exit code ${code}; is torch installed there?`),
  );
  return {
    ask: (request) =>
      new Promise((resolve, reject) => {
        waiting.push({ resolve, reject });
        child.stdin.write(`${JSON.stringify(request)}\n`, () => {});
      }),
    close: () => child.stdin.end(),
  };
}

async function main() {
  const { values: flags } = parseArgs({
    options: {
      widths: { type: 'string', default: '128,256,512' },
      workers: { type: 'string', default: '1,2' },
      rounds: { type: 'string', default: '7' },
      compile: { type: 'boolean', default: false },
      python: { type: 'string' },
      json: { type: 'boolean', default: false },
    },
  });
  demandBuild();
  const numbers = (text) => text.split(',').map(Number);
  const python = findPython(flags.python);
  const { openBlas } = await import('../dist/tensor/backends/wasm/blas.js');
  const hasBlas = openBlas(process.env.RECKONER_BLAS || undefined) !== null;
  const torch = python === null ? null : startPython(python);
  const versions = torch === null ? null : await torch.ask({ versions: true });
  const results = [];
  const fingerprints = new Set();
  for (const width of numbers(flags.widths)) {
    for (const workers of numbers(flags.workers)) {
      const config = DECODERS[width];
      const ours = {
        native: await reckoner(config, workers, 'native'),
        wasm: await reckoner(config, workers, 'wasm'),
        ...(hasBlas ? { blas: await reckoner(config, workers, 'blas') } : {}),
      };
      const sides = Object.entries(ours).map(([name, side]) => ({ name, run: side.run }));
      for (const side of Object.values(ours)) fingerprints.add(side.fingerprint);
      for (const compile of torch === null ? [] : flags.compile ? [false, true] : [false]) {
        const request = { config, batch: BATCH, sequence: SEQUENCE, threads: workers, compile };
        sides.push({
          name: compile ? 'torchCompile' : 'torch',
          run: (steps) => torch.ask({ ...request, steps }),
        });
      }
      await interleave(sides, Number(flags.rounds), (text) =>
        process.stderr.write(`width ${width}, ${workers} worker(s): ${text}\n`),
      );
      const counts = new Set(sides.map((side) => side.parameters));
      if (counts.size !== 1)
        throw new Error(`the sides train different models: ${[...counts].join(', ')} parameters`);
      for (const side of Object.values(ours)) await side.close();
      const perSecond = Object.fromEntries(sides.map((side) => [side.name, side.tokensPerSecond]));
      results.push({
        width,
        layers: config.num_hidden_layers,
        workers,
        parameters: [...counts][0],
        ...perSecond,
      });
    }
  }
  torch?.close();
  report(
    results,
    machine(`node bench/training-step.mjs ${process.argv.slice(2).join(' ')}`.trim()),
    versions,
    fingerprints,
    flags,
  );
}

function report(results, about, versions, fingerprints, flags) {
  const ratio = (a, b) => (b === undefined ? null : a / b);
  const rows = results.map((r) => ({
    ...r,
    nativeRatio: ratio(r.native, r.torch),
    nativeRatioToCompiled: ratio(r.native, r.torchCompile),
    nativeRatioToWasm: ratio(r.native, r.wasm),
  }));
  const document = {
    benchmark: 'training-step',
    machine: about,
    peer: versions,
    engines: [...fingerprints],
    rows,
  };
  if (flags.json) {
    console.log(JSON.stringify(document, null, 2));
    return;
  }
  console.log('## Training step (forward, backward, AdamW), tokens/s\n');
  console.log(`${describe(about)}\n`);
  console.log(
    `Ours: ${[...fingerprints].join('; ')}. ${BATCH} × ${SEQUENCE} tokens a step, float32.`,
  );
  if (versions)
    console.log(`PyTorch ${versions.torch} (${versions.capability}), as many threads as workers.`);
  else
    console.log(
      'No PyTorch here, so there is no ratio; bench/peers/README.md says how to install it.',
    );
  const compiled = rows.some((r) => r.torchCompile !== undefined);
  const header = ['decoder', 'workers', 'native', 'WASM', 'BLAS', 'PyTorch', 'native/PyTorch'];
  header.push('native/WASM');
  if (compiled) header.push('torch.compile', 'native/torch.compile');
  const cells = rows.map((r) => [
    `width ${r.width}, ${r.layers} layers, ${(r.parameters / 1e6).toFixed(1)}M`,
    r.workers,
    whole(r.native),
    whole(r.wasm),
    r.blas === undefined ? null : whole(r.blas),
    whole(r.torch),
    times(r.nativeRatio),
    times(r.nativeRatioToWasm),
    ...(compiled ? [whole(r.torchCompile), times(r.nativeRatioToCompiled)] : []),
  ]);
  console.log(`\n${table(header, cells)}\n`);
}
