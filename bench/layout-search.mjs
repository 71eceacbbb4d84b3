// How long the planner's layout search takes, and a draw of an interval, on one thread.
//
//   node bench/layout-search.mjs [--rounds 15] [--json]
//
// `first` is the first search of a fresh process, before the compiler has seen it; then the least
// and the median of the rounds. Seconds are those of the clock and, in brackets, of the processor:
// other work on the machine lengthens the first and not the second. `layouts` counts all that were
// tried, those that cannot be built included; `timed` those whose memory and time were computed.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { demandBuild, describe, machine, median, table } from './harness.mjs';

const { values: flags } = parseArgs({
  options: {
    rounds: { type: 'string', default: '15' },
    json: { type: 'boolean', default: false },
    only: { type: 'string' },
  },
});
demandBuild();
const planner = await import('../dist/planner/index.js');

const V3 = { optimizerBytes: 8, fp8Activations: true };
const QUESTIONS = [
  ['GPT-3 175B', 'a100', 4096, 2048, 3072, 'bf16', {}],
  ['DeepSeek-V3', 'h800', 2048, 4096, 15360, 'fp8', V3],
  ['Llama 3.1 405B', 'h100', 16384, 8192, 2048, 'bf16', {}],
];

function search([name, gpu, count, sequenceTokens, globalBatch, precision, memory]) {
  const { architecture } = planner.publishedModel(name);
  const accelerator = planner.acceleratorOf(gpu);
  return planner.searchLayouts({
    architecture,
    accelerator,
    count,
    sequenceTokens,
    globalBatch,
    precision,
    memory,
  });
}

function timed(work) {
  const processor = process.cpuUsage();
  const start = performance.now();
  const result = work();
  const ms = performance.now() - start;
  const { user, system } = process.cpuUsage(processor);
  return { result, ms, processorMs: (user + system) / 1000 };
}

// A fresh process for the first search of each question.
if (flags.only !== undefined) {
  const { ms, processorMs } = timed(() => search(QUESTIONS[Number(flags.only)]));
  console.log(JSON.stringify({ ms, processorMs }));
  process.exit(0);
}

const rounds = Number(flags.rounds);
const pair = (clock, processor) => `${Math.round(clock)} (${Math.round(processor)})`;
const searches = QUESTIONS.map((question, i) => {
  const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), '--only', String(i)], {
    encoding: 'utf8',
  });
  const first = JSON.parse(child.stdout);
  const runs = Array.from({ length: rounds }, () => timed(() => search(question)));
  const { tried, lost, best } = runs[0].result;
  const ms = runs.map((run) => run.ms);
  const processorMs = runs.map((run) => run.processorMs);
  return {
    question: `${question[0]} on ${question[2]} ${question[1]}`,
    layouts: tried,
    timed: tried - lost.divisibility,
    first,
    least: { ms: Math.min(...ms), processorMs: Math.min(...processorMs) },
    median: { ms: median(ms), processorMs: median(processorMs) },
    best: `${planner.layoutName(best.layout)} ${best.layout.schedule}, ${best.stepSeconds.toFixed(2)} s a step`,
  };
});

const names = Array.from({ length: 10 }, (_, i) => `input${i}`);
const inputs = Object.fromEntries(names.map((name, i) => [name, { low: 1 + i, high: 2 + 2 * i }]));
const draw = () =>
  planner.propagate(inputs, (values) => ({
    y: names.reduce((product, name) => product * values[name], 1),
  }));
for (let i = 0; i < 20; i++) draw();
const draws = Array.from({ length: 50 }, () => timed(draw));
const propagate = {
  leastMs: Math.min(...draws.map(({ ms }) => ms)),
  medianMs: median(draws.map(({ ms }) => ms)),
};

if (flags.json) {
  console.log(JSON.stringify({ machine: machine(), searches, propagate }));
} else {
  console.log(`${describe(machine())}\n`);
  console.log(
    table(
      ['search', 'layouts', 'timed', 'first, ms', 'least, ms', 'median, ms', 'best'],
      searches.map(({ question, layouts, timed: computed, first, least, median: middle, best }) => [
        question,
        layouts,
        computed,
        pair(first.ms, first.processorMs),
        pair(least.ms, least.processorMs),
        pair(middle.ms, middle.processorMs),
        best,
      ]),
    ),
  );
  const { leastMs, medianMs } = propagate;
  console.log(
    `\n2,048 samples of 10 inputs with their ranking: least ${leastMs.toFixed(1)} ms, median ${medianMs.toFixed(1)} ms`,
  );
}
