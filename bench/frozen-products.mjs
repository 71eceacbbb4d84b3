// What a frozen BF16 matrix costs against the same in float32: x [rows, 1024] · W [6144, 1024]ᵀ, W
// expanded tile by tile, by turns with the float32 product, for the number of rows of decoding and
// of training. BLAS where there is one, and our own kernel.
//
//   node bench/frozen-products.mjs [--rows 1,2,16,64,256,1024] [--rounds 9] [--json]
import { parseArgs } from 'node:util';
import { demandBuild, describe, machine, median, table } from './harness.mjs';

const { values: flags } = parseArgs({
  options: {
    rows: { type: 'string', default: '1,2,16,64,256,1024' },
    rounds: { type: 'string', default: '9' },
    json: { type: 'boolean', default: false },
  },
});
demandBuild();
const { createWasmBackend } = await import('../dist/tensor/backends/wasm/index.js');
const { toBfloat16 } = await import('../dist/checkpoints/numbers.js');

const [M, K] = [6144, 1024];
/** More matrices than the caches hold, as a model has. */
const COPIES = 8;
const about = machine('node bench/frozen-products.mjs');
const results = [];
for (const blas of [true, false]) {
  const backend = await createWasmBackend({
    sharedBytes: 1 << 20,
    localBytes: 600 * 2 ** 20,
    blas,
  });
  const numbers = Float32Array.from({ length: M * K }, (_, i) => Math.sin(i));
  const bits = toBfloat16(numbers);
  const f32 = Array.from({ length: COPIES }, () => {
    const tensor = backend.allocate('f32', [M, K]);
    backend.write(tensor, numbers);
    return tensor;
  });
  const bf16 = Array.from({ length: COPIES }, () =>
    backend.freeze([{ form: 'bf16', rows: M, bytes: new Uint8Array(bits.slice().buffer) }], K),
  );
  for (const rows of flags.rows.split(',').map(Number)) {
    const mark = backend.mark();
    const [x, y] = [backend.allocate('f32', [rows, K]), backend.allocate('f32', [rows, M])];
    backend.fill({ out: x, value: 0.5 });
    const time = (weights) => {
      const start = performance.now();
      for (const weight of weights) backend.matmul({ out: y, a: x, b: weight, transposeB: true });
      return (performance.now() - start) / COPIES;
    };
    time(f32);
    time(bf16);
    const times = { f32: [], bf16: [] };
    for (let round = 0; round < Number(flags.rounds); round++) {
      times.f32.push(time(f32));
      times.bf16.push(time(bf16));
    }
    const ratio = median(times.bf16.map((t, i) => t / times.f32[i]));
    results.push({
      engine: backend.fingerprint.split(', ')[1],
      rows,
      f32Ms: median(times.f32),
      bf16Ms: median(times.bf16),
      ratio,
    });
    backend.release(mark);
  }
  await backend.close();
}
if (flags.json) console.log(JSON.stringify({ machine: about, results }, null, 2));
else {
  console.log(`${describe(about)}\n`);
  const rows = results.map((r) => [
    r.engine,
    r.rows,
    `${r.f32Ms.toFixed(2)} ms`,
    `${r.bf16Ms.toFixed(2)} ms`,
    `${r.ratio.toFixed(2)}×`,
  ]);
  console.log(table(['engine', 'rows', 'float32', 'frozen BF16', 'BF16 ÷ float32'], rows));
}
