// GFLOP/s of our machine code on one core, by shape, against raw `cblas_sgemm` of the system's BLAS
// and against a loop of multiply-adds that touches no memory: what the core could do at most.
//
//   node bench/native.mjs [--rounds 9] [--json]
//
// RECKONER_BLAS names the library. All sides run in one process, in turns, on the same operands; the
// figures are medians of processor time, the ratio is the median of the rounds' ratios.
import { parseArgs } from 'node:util';
import { demandBuild, describe, machine, median, table } from './harness.mjs';

const { values: flags } = parseArgs({
  options: { rounds: { type: 'string', default: '9' }, json: { type: 'boolean', default: false } },
});
demandBuild();
const wasmFolder = '../dist/tensor/backends/wasm';
const { createWasmBackend, createWasmMemory, probeGemm } = await import(`${wasmFolder}/index.js`);
const { openBlas } = await import(`${wasmFolder}/blas.js`);
const { measurePeak } = await import('../dist/tensor/native/peak.js');

const cube = (n) => [
  [`${n}³`, false, false, n, n, n],
  [`${n}³, B transposed`, false, true, n, n, n],
  [`${n}³, A transposed`, true, false, n, n, n],
];
/** [what, transposes of a and b, rows, columns, inner]. */
const SHAPES = [64, 96, 128, 256, 512].flatMap(cube);
for (const [width, hidden] of [
  [128, 352],
  [256, 704],
  [512, 1376],
]) {
  for (const rows of [1, 4, 8, 16])
    SHAPES.push([`decode, width ${width}`, false, true, rows, 2 * hidden, width]);
  SHAPES.push([`forward, width ${width}`, false, true, 1024, 2 * hidden, width]);
  SHAPES.push([`input derivative, width ${width}`, false, false, 1024, width, 2 * hidden]);
  SHAPES.push([`weight derivative, width ${width}`, true, false, 2 * hidden, width, 1024]);
}

const memory = createWasmMemory({ sharedBytes: 64 * 1024, localBytes: 64 * 2 ** 20 });
const choice = await probeGemm({ products: 'native' });
if (!choice.native) throw new Error('this machine does not run our machine code');
const backend = await createWasmBackend({ memory, choice });
const blas = openBlas(process.env.RECKONER_BLAS || undefined);
const base = blas?.addressOf(memory.memory.buffer);

const seconds = () => {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
};

/** Processor seconds of one call, from enough calls for about 10 ms. */
function time(body) {
  for (let calls = 1; ; ) {
    const start = seconds();
    for (let i = 0; i < calls; i++) body();
    const elapsed = seconds() - start;
    if (elapsed >= 0.01) return elapsed / calls;
    calls = Math.ceil(calls * Math.min(10, 0.012 / Math.max(elapsed, 1e-6)));
  }
}

function measure([name, transposeA, transposeB, m, n, k]) {
  const mark = backend.mark();
  const [a, b, out] = [transposeA ? [k, m] : [m, k], transposeB ? [n, k] : [k, n], [m, n]].map(
    (shape) => backend.allocate('f32', shape),
  );
  backend.write(
    a,
    Float32Array.from({ length: m * k }, (_, i) => Math.sin(i)),
  );
  backend.write(
    b,
    Float32Array.from({ length: n * k }, (_, i) => Math.cos(i)),
  );
  const options = { transposeA, transposeB };
  const sides = { native: () => backend.matmul({ out, a, b, ...options }) };
  if (blas !== null) {
    const [opA, opB] = [transposeA ? 112 : 111, transposeB ? 112 : 111];
    const [pa, pb, pc] = [a, b, out].map((tensor) => base + tensor.storage);
    const [lda, ldb] = [transposeA ? m : k, transposeB ? k : n];
    sides.blas = () => blas.sgemm(101, opA, opB, m, n, k, 1, pa, lda, pb, ldb, 0, pc, n);
  }
  const names = Object.keys(sides);
  const speeds = Object.fromEntries(names.map((each) => [each, []]));
  for (let round = -1; round < Number(flags.rounds); round++) {
    for (const each of round % 2 === 0 ? names : [...names].reverse()) {
      const speed = (2 * m * n * k) / time(sides[each]) / 1e9;
      if (round >= 0) speeds[each].push(speed);
    }
  }
  backend.release(mark);
  return {
    product: name,
    size: [m, n, k],
    native: median(speeds.native),
    blas: blas === null ? null : median(speeds.blas),
    ratio: blas === null ? null : median(speeds.native.map((x, i) => x / speeds.blas[i])),
  };
}

const peak = measurePeak(seconds);
const rows = SHAPES.map(measure);
await backend.close();
const about = { ...machine('node bench/native.mjs'), kernels: choice.name, peer: blas?.name };
if (flags.json) console.log(JSON.stringify({ machine: about, peak, rows }, null, 2));
else {
  console.log(`## Products in machine code, GFLOP/s on one core\n\n${describe(about)}\n`);
  console.log(`Ours: ${choice.name}. Peer: ${blas?.name ?? 'no BLAS here'}.`);
  console.log(`A loop of multiply-adds alone: ${peak.toFixed(1)} GFLOP/s.\n`);
  console.log(
    table(
      ['product', 'm × n × k', 'native', 'of the loop', 'BLAS', 'native/BLAS'],
      rows.map(({ product, size, native, blas: peer, ratio }) => [
        product,
        size.join(' × '),
        native.toFixed(1),
        `${((100 * native) / peak).toFixed(0)}%`,
        peer === null ? null : peer.toFixed(1),
        ratio === null ? null : ratio.toFixed(2),
      ]),
    ),
  );
}
