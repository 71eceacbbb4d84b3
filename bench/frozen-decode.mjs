// Decoding with weights in the form of their file against llama.cpp (node-llama-cpp), the same GGUF
// files, in turns, a process each: processor time a token, the fastest token, the median.
//
//   npm install --prefix bench --ignore-scripts && npm run build
//   node bench/frozen-decode.mjs FILE.gguf… [--batches 1,8] [--threads 1] [--tokens 64] [--rounds 3]
//
// Processor time is what a step costs all threads of the process; beside other work it tells more
// than the clock. With one thread on an idle machine the two agree. Peak memory is the process's.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { demandBuild, describe, machine, median, table } from './harness.mjs';

const { values: flags, positionals: files } = parseArgs({
  allowPositionals: true,
  options: {
    batches: { type: 'string', default: '1,8' },
    threads: { type: 'string', default: '1' },
    tokens: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '3' },
    side: { type: 'string' },
  },
});
demandBuild();
const tokens = Number(flags.tokens);
const threads = Number(flags.threads);

/** Steps of a batch: times from the second token on, when the prompt has been read. */
function steps(batch) {
  const walls = [];
  let [drawn, last, cpu] = [0, 0, null];
  return {
    token() {
      if (++drawn % batch !== 0) return;
      const now = performance.now();
      if (last === 0) cpu = process.cpuUsage();
      else walls.push(now - last);
      last = now;
    },
    result() {
      const { user, system } = process.cpuUsage(cpu);
      walls.sort((a, b) => a - b);
      const peak = /VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
      return {
        cpuMs: (user + system) / 1000 / walls.length,
        fastestMs: walls[0],
        medianMs: walls[walls.length >> 1],
        peakMb: Number(peak) / 1000,
      };
    },
  };
}

async function ours(file, batch) {
  const { openModel } = await import('../dist/inference/open.js');
  const { createSampler } = await import('../dist/inference/index.js');
  const { backend, model, tokenizer } = await openModel(file, { threads });
  const prompt = tokenizer.prompt('Write a story about the sea.');
  const sampler = createSampler(backend, model, {
    capacity: batch,
    maxPrompt: prompt.length,
    maxTokens: tokens,
    eos: -1,
  });
  const measured = steps(batch);
  const options = { samples: batch, maxTokens: tokens, temperature: 1, key: [1] };
  await sampler.generate([prompt], { ...options, onToken: measured.token });
  return measured.result();
}

async function theirs(file, batch) {
  const { getLlama, LlamaLogLevel } = await import('node-llama-cpp');
  const quiet = { gpu: false, build: 'never', skipDownload: true, logLevel: LlamaLogLevel.error };
  const llama = await getLlama({ ...quiet, maxThreads: threads });
  const model = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
  const context = await model.createContext({
    sequences: batch,
    contextSize: 256,
    batchSize: 32 * batch,
    threads,
  });
  const prompt = model.tokenize('Write a story about the sea.');
  const measured = steps(batch);
  const one = async (seed) => {
    const sequence = context.getSequence();
    let drawn = 0;
    const options = { temperature: 1, topK: 0, topP: 1, minP: 0, seed, yieldEogToken: true };
    for await (const _ of sequence.evaluate(prompt, options)) {
      measured.token();
      if (++drawn === tokens) break;
    }
  };
  await Promise.all(Array.from({ length: batch }, (_, i) => one(i + 1)));
  return measured.result();
}

if (flags.side) {
  const side = flags.side === 'ours' ? ours : theirs;
  console.log(JSON.stringify(await side(files[0], Number(flags.batches))));
  process.exit(0);
}

const rows = [];
for (const file of files)
  for (const batch of flags.batches.split(',')) {
    const results = { ours: [], theirs: [] };
    for (let round = 0; round < Number(flags.rounds); round++)
      for (const side of round % 2 ? ['theirs', 'ours'] : ['ours', 'theirs']) {
        const own = ['--side', side, '--batches', batch, '--tokens', flags.tokens];
        const args = [fileURLToPath(import.meta.url), file, ...own, '--threads', flags.threads];
        const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
        if (!stdout) throw new Error(stderr);
        results[side].push(JSON.parse(stdout.trim().split('\n').at(-1)));
      }
    const of = (side, field, pick) => pick(results[side].map((result) => result[field]));
    const least = (values) => Math.min(...values);
    const both = (field, pick) => ['ours', 'theirs'].map((side) => of(side, field, pick));
    const ms = (values) => values.map((value) => value.toFixed(1)).join(' / ');
    const cpu = both('cpuMs', least);
    rows.push([
      basename(file),
      batch,
      ms(cpu),
      (cpu[1] / cpu[0]).toFixed(2),
      ms(both('fastestMs', least)),
      ms(both('medianMs', median)),
      both('peakMb', least)
        .map((value) => value.toFixed(0))
        .join(' / '),
    ]);
    console.error(rows.at(-1).join(' | '));
  }
console.log(`${describe(machine(`node bench/frozen-decode.mjs --threads ${threads}`))}\n`);
const header = ['file', 'sequences', 'CPU ms a step', 'ratio', 'fastest ms', 'median ms', 'MB'];
console.log(
  'Reckoner / llama.cpp; the ratio is of processor time, above 1 where Reckoner needs less.\n',
);
console.log(table(header, rows));
