// Matrix products: what a product costs on top of raw `cblas_sgemm` through the same FFI, and what
// share of its own limit the WASM kernel reaches (the bare 6×8 micro-kernel on panels in the
// first-level cache). Everything is measured in one process, in turns; each figure is a median over
// rounds of ratios within a round, so that a busy machine blurs them less.
//
//   node bench/matmul.mjs [--rounds 15] [--json]
import { parseArgs } from 'node:util';
import { demandBuild, describe, machine, median, table } from './harness.mjs';

const { values: flags } = parseArgs({
  options: { rounds: { type: 'string', default: '15' }, json: { type: 'boolean', default: false } },
});
demandBuild();
const wasmFolder = '../dist/tensor/backends/wasm';
const { createWasmBackend, createWasmMemory, hasRelaxedSimd, probeGemm } = await import(
  `${wasmFolder}/index.js`
);
const { createGemm, GEMM_SCRATCH_BYTES } = await import(`${wasmFolder}/gemm.js`);
const { loadKernels } = await import(`${wasmFolder}/load.js`);
const { openBlas } = await import(`${wasmFolder}/blas.js`);

const rounds = Number(flags.rounds);
const MB = 2 ** 20;

// Products of decoders of width 96 to 512: [what, transposes of a and b, rows, columns, inner].
const SHAPES = [];
for (const [width, hidden] of [
  [96, 256],
  [128, 352],
  [256, 704],
  [512, 1376],
]) {
  SHAPES.push([`decode, 16 rows, width ${width}`, false, true, 16, 2 * hidden, width]);
  SHAPES.push([`decode, 128 rows, width ${width}`, false, true, 128, 2 * hidden, width]);
  SHAPES.push([`forward, width ${width}`, false, true, 1024, 2 * hidden, width]);
  SHAPES.push([`input derivative, width ${width}`, false, false, 1024, width, 2 * hidden]);
  SHAPES.push([`weight derivative, width ${width}`, true, false, 2 * hidden, width, 1024]);
}

// One memory for all, so that all read the same operands.
const memory = createWasmMemory({ sharedBytes: 64 * 1024, localBytes: 64 * MB });
const choice = await probeGemm({ products: 'auto' });
const backend = await createWasmBackend({ memory, choice });
const blas = choice.library === null ? null : openBlas(choice.library);
const base = blas?.addressOf(memory.memory.buffer);
const scratch = backend.allocate('f32', [GEMM_SCRATCH_BYTES / 4]).storage;

const kernels = [];
for (const build of hasRelaxedSimd() ? ['plain', 'relaxed'] : ['plain']) {
  const { module, relaxed } = loadKernels(build);
  const { exports } = new WebAssembly.Instance(module, {
    env: { memory: memory.memory, abort: () => {} },
  });
  const gemm = await createGemm({
    exports,
    memory: memory.memory,
    scratch,
    scratchBytes: GEMM_SCRATCH_BYTES,
    products: 'wasm',
    relaxed,
    choice: { library: null, name: 'wasm' },
  });
  kernels.push({ build, gemm, limit: exports.sgemmLimit });
}

/**
 * Processor time of this process in seconds: on a busy machine, what one core does while it is
 * ours.
 */
function processorSeconds() {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1e6;
}

/** Processor seconds of one call, from enough calls for about `seconds`. */
function time(body, seconds = 0.005) {
  for (let calls = 1; ; ) {
    const start = processorSeconds();
    for (let i = 0; i < calls; i++) body();
    const elapsed = processorSeconds() - start;
    if (elapsed >= seconds) return elapsed / calls;
    calls = Math.ceil(calls * Math.min(10, (1.2 * seconds) / Math.max(elapsed, 1e-6)));
  }
}

const LIMIT_INNER = 256;
const LIMIT_REPEATS = 40;
const limitFlops = 2 * 6 * 8 * LIMIT_INNER * LIMIT_REPEATS;

function measure([name, transposeA, transposeB, m, n, k]) {
  const mark = backend.mark();
  const a = backend.allocate('f32', transposeA ? [k, m] : [m, k]);
  const b = backend.allocate('f32', transposeB ? [n, k] : [k, n]);
  const out = backend.allocate('f32', [m, n]);
  backend.write(
    a,
    Float32Array.from({ length: m * k }, (_, i) => Math.sin(i)),
  );
  backend.write(
    b,
    Float32Array.from({ length: n * k }, (_, i) => Math.cos(i)),
  );
  const [lda, ldb] = [transposeA ? m : k, transposeB ? k : n];
  const options = { transposeA, transposeB };
  const contestants = { backend: () => backend.matmul({ out, a, b, ...options }) };
  if (blas !== null) {
    const [opA, opB] = [transposeA ? 112 : 111, transposeB ? 112 : 111];
    const [pa, pb, pc] = [a, b, out].map((tensor) => base + tensor.storage);
    contestants.raw = () => blas.sgemm(101, opA, opB, m, n, k, 1, pa, lda, pb, ldb, 0, pc, n);
  }
  for (const { build, gemm, limit } of kernels) {
    contestants[build] = () =>
      gemm.sgemm(
        transposeA,
        transposeB,
        m,
        n,
        k,
        1,
        a.storage,
        lda,
        b.storage,
        ldb,
        0,
        out.storage,
        n,
      );
    contestants[`${build} limit`] = () => limit(LIMIT_REPEATS, LIMIT_INNER, scratch);
  }
  const names = Object.keys(contestants);
  const speeds = Object.fromEntries(names.map((each) => [each, []]));
  for (let round = -2; round < rounds; round++) {
    // Every other round the other way round: whoever runs first has the colder cache.
    for (const each of round % 2 === 0 ? names : [...names].reverse()) {
      const flops = each.endsWith('limit') ? limitFlops : 2 * m * n * k;
      const speed = flops / time(contestants[each]) / 1e9;
      if (round >= 0) speeds[each].push(speed);
    }
  }
  backend.release(mark);
  const ratio = (x, y) =>
    speeds[x] && speeds[y] ? median(speeds[x].map((value, i) => value / speeds[y][i])) : null;
  return {
    product: name,
    size: [m, n, k],
    gflops: Object.fromEntries(names.map((each) => [each, median(speeds[each])])),
    backendToRawBlas: ratio('backend', 'raw'),
    plainToLimit: ratio('plain', 'plain limit'),
    relaxedToLimit: ratio('relaxed', 'relaxed limit'),
  };
}

/** Microseconds of a call that multiplies next to nothing: BLAS through the FFI, and the kernel. */
function callCost() {
  const [a, b, c] = [0, 4, 8].map((offset) => scratch + offset);
  const cost = (body) => median(Array.from({ length: 9 }, () => time(body) * 1e6));
  return {
    blas:
      blas &&
      cost(() => blas.sgemm(101, 111, 111, 1, 1, 1, 1, base + a, 1, base + b, 1, 0, base + c, 1)),
    wasm: cost(() => kernels[0].gemm.sgemm(false, false, 1, 1, 1, 1, a, 1, b, 1, 0, c, 1)),
  };
}

const about = { ...machine('node bench/matmul.mjs'), library: choice.name };
const rows = SHAPES.map(measure);
const call = callCost();
await backend.close();

if (flags.json) {
  console.log(
    JSON.stringify({ schemaVersion: 1, machine: about, callMicroseconds: call, rows }, null, 2),
  );
} else {
  const speed = (x) => (x === undefined ? null : x.toFixed(1));
  const share = (x) => (x === null ? null : `${(100 * x).toFixed(0)}%`);
  console.log(`## Matrix products\n\n${describe(about)}; matrix products: ${about.library}\n`);
  console.log(
    table(
      [
        'product',
        'm × n × k',
        'backend',
        'raw cblas',
        'ratio',
        'WASM',
        'of its limit',
        'WASM relaxed',
        'of its limit',
      ],
      rows.map(({ product, size, gflops, ...ratios }) => [
        product,
        size.join(' × '),
        speed(gflops.backend),
        speed(gflops.raw),
        ratios.backendToRawBlas === null ? null : ratios.backendToRawBlas.toFixed(2),
        speed(gflops.plain),
        share(ratios.plainToLimit),
        speed(gflops.relaxed),
        share(ratios.relaxedToLimit),
      ]),
    ),
  );
  const limits = kernels.map(
    ({ build }) => `${build} ${speed(median(rows.map((row) => row.gflops[`${build} limit`])))}`,
  );
  console.log(`\nGFLOP/s on one core. The bare micro-kernel: ${limits.join(', ')} GFLOP/s.`);
  console.log(
    `A call: ${call.blas === null ? '' : `BLAS ${call.blas.toFixed(2)} µs, `}WASM ${call.wasm.toFixed(2)} µs.`,
  );
}
