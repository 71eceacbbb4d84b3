/**
 * @file Runs the native kernels between forbidden pages, on random shapes, and compares their
 * results with plain sums. Its process ends by a signal when a kernel touches what it must not, and
 * with exit code 1 when a result is wrong.
 *
 *   jiti src/tensor/native/testing/guard.ts <seed> <products> [defect]
 */
import { Random } from '../../../base/random.js';
import { expandRows, FORMS, LAYOUTS } from '../../forms.js';
import { frozenPart } from '../../testing/problem.js';
import { bindKernels } from '../kernels.js';
import { BLOCK_BYTES, Program, TARGETS } from '../program.js';
import { nativeGemm, PACKED_BYTES, TILE_BYTES } from '../sgemm.js';
import { at, RAX } from '../x86.js';
import { guardedMemory } from './guarded.js';
import { installOne } from './install-one.js';

const [seed, count, defect] = process.argv.slice(2);
const memory = guardedMemory(8, 2 * 2 ** 20);
const { buffer, floats } = memory;
const random = new Random(Number(seed));
const below = (n: number): number => Math.floor(random.uniform() * n);

if (defect) {
  // A kernel that stores one vector behind its output.
  const program = new Program(TARGETS.avx2);
  program.define('defect', { out: 'address', n: 'int' }, (frame) => {
    frame.argument(RAX, 'out');
    program.zero(program.v(0));
    program.store(at(RAX, 4 * Number(defect)), program.v(0));
  });
  const block = memory.place(BLOCK_BYTES, false);
  installOne(program, buffer, block)(memory.place(4 * 8, true), 8);
  process.exit(0);
}

let wrong = 0;
for (let n = 0; n < Number(count); n++) {
  memory.reset();
  const limit = (): number => below([2, 9, 40, 130][below(4)]);
  const [m, cols, k] = [limit(), limit(), below(2) === 0 ? limit() : below(300)];
  const [transposeA, transposeB] = [below(2) === 1, below(2) === 1];
  const [alpha, beta] = [below(2) === 0 ? 1 : -0.37, below(2)];
  const gap = below(3) * below(9);
  const lda = (transposeA ? m : k) + gap;
  const ldb = (transposeB ? k : cols) + gap;
  const ldc = cols + gap;
  const atEnd = below(2) === 0;
  // A matrix ends with its last number, not with its last row's gap.
  const place = (rows: number, columns: number, ld: number): number =>
    memory.place(rows * columns === 0 ? 0 : 4 * ((rows - 1) * ld + columns), atEnd);
  const a = transposeA ? place(k, m, lda) : place(m, k, lda);
  const b = transposeB ? place(cols, k, ldb) : place(k, cols, ldb);
  const c = place(m, cols, ldc);
  const packed = memory.place(PACKED_BYTES, true);
  const block = memory.place(BLOCK_BYTES, false);
  const kernels = bindKernels('avx2', buffer, block);
  if (!kernels) process.exit(0);
  const gemm = nativeGemm(kernels, buffer, { packed, tile: 0 });
  gemm.alike = below(4) === 0;
  const fill = (from: number, rows: number, columns: number, ld: number): void => {
    for (let i = 0; i < rows; i++)
      for (let j = 0; j < columns; j++) floats[from / 4 + i * ld + j] = 2 * random.uniform() - 1;
  };
  fill(a, transposeA ? k : m, transposeA ? m : k, lda);
  fill(b, transposeB ? cols : k, transposeB ? k : cols, ldb);
  fill(c, m, cols, ldc);
  const extent = m * cols === 0 ? 0 : (m - 1) * ldc + cols;
  const before = floats.slice(c / 4, c / 4 + extent);
  gemm.sgemm(transposeA, transposeB, m, cols, k, alpha, a, lda, b, ldb, beta, c, ldc);
  for (let i = 0; i < extent; i++) {
    const [row, column] = [Math.floor(i / ldc), i % ldc];
    let [expected, scale] = [before[i], 0];
    if (column < cols) {
      let sum = 0;
      for (let p = 0; p < k; p++) {
        const x =
          floats[a / 4 + (transposeA ? p * lda + row : row * lda + p)] *
          floats[b / 4 + (transposeB ? column * ldb + p : p * ldb + column)];
        sum += x;
        scale += Math.abs(x);
      }
      expected = alpha * sum + (beta ? before[i] : 0);
    }
    const error = Math.abs(floats[c / 4 + i] - expected);
    if (column < cols ? !(error <= 2e-6 * (scale + 1)) : error !== 0) {
      if (wrong++ === 0)
        console.error(
          JSON.stringify({ transposeA, transposeB, m, cols, k, alpha, beta, gap, i, error }),
        );
    }
  }
}
// Products with frozen matrices and their expansion: the bits of the product with the numbers.
for (let n = 0; n < Number(count); n++) {
  memory.reset();
  const atEnd = below(2) === 0;
  const form = FORMS[below(FORMS.length)];
  const width = LAYOUTS[form].numbers;
  const [m, cols] = [1 + below(5), 1 + below(20)];
  const k = width === 1 ? 32 * (1 + below(4)) : width * (1 + below(width === 32 ? 9 : 3));
  const frozen = frozenPart(random, form, cols, k);
  const a = memory.place(4 * m * k, atEnd);
  const b = memory.place(frozen.bytes.length, atEnd);
  const [c, same] = [memory.place(4 * m * cols, atEnd), memory.place(4 * m * cols, atEnd)];
  const wide = memory.place(4 * cols * k, atEnd);
  const block = memory.place(BLOCK_BYTES, false);
  const kernels = bindKernels('avx2', buffer, block);
  if (!kernels) process.exit(0);
  for (let i = 0; i < m * k; i++) floats[a / 4 + i] = 2 * random.uniform() - 1;
  const bytes = new Uint8Array(buffer, b, frozen.bytes.length);
  bytes.set(frozen.bytes);
  const placed = { form, rows: cols, bytes };
  const tile = memory.place(TILE_BYTES, atEnd);
  const gemm = nativeGemm(kernels, buffer, { packed: 0, tile });
  gemm.expand(placed, cols * k, wide);
  const expected = expandRows([frozen], k);
  const made = floats.subarray(wide / 4, wide / 4 + cols * k);
  if (expected.some((x, i) => x !== made[i]) && wrong++ === 0)
    console.error(JSON.stringify({ expanded: form, cols, k }));
  const call = { form, address: kernels.addressOf(bytes), from: 0, to: cols };
  gemm.frozen(call, m, k, 0.5, a, k, 0, c, cols);
  gemm.sgemm(false, true, m, cols, k, 0.5, a, k, wide, k, 0, same, cols);
  for (let i = 0; i < m * cols; i++)
    if (floats[c / 4 + i] !== floats[same / 4 + i] && wrong++ === 0)
      console.error(JSON.stringify({ form, m, cols, k, i }));
}
// Row kernels: that they are right is shown by the suite of the backend.
for (let n = 0; n < Number(count); n++) {
  memory.reset();
  const atEnd = below(2) === 0;
  const rows = below(9);
  const columns = below([3, 12, 70][below(3)]) + 1;
  const width = 4 * (1 + below(20));
  const place = (numbers: number): number => {
    const from = memory.place(4 * numbers, atEnd);
    for (let i = 0; i < numbers; i++) floats[from / 4 + i] = 4 * random.uniform() - 2;
    return from;
  };
  const [wide, half, many, few, ids] = [
    rows * width,
    rows * columns,
    2 * rows * columns,
    rows,
    rows,
  ].map((numbers, i) => (i < 4 ? place(numbers) : memory.place(4 * numbers, atEnd)));
  const [sums, second] = [place(3 * rows), place(Math.max(rows * width, 2 * rows * columns))];
  const block = memory.place(BLOCK_BYTES, false);
  const kernels = bindKernels('avx2', buffer, block);
  if (!kernels) process.exit(0);
  new Int32Array(buffer, ids, rows).fill(columns - 1);
  const { softmax, softmaxBackward, logSums, logSumsBackward, swiglu, swigluBackward } =
    kernels.functions;
  const seen = Math.max(1, width - rows + 1);
  const seeing = Math.min(rows, width - seen + 1);
  softmax(wide, width, seeing, seen, few, 1, sums);
  softmaxBackward(
    wide,
    second,
    width,
    seeing,
    seen,
    few,
    1,
    half,
    columns,
    half,
    columns,
    columns,
    1,
  );
  logSums(half, rows, columns, sums);
  logSumsBackward(half, few, few, ids, rows, columns, 0.5);
  swiglu(half, many, rows, columns);
  swigluBackward(second, half, many, rows, columns, below(2));
}
process.exit(wrong > 0 ? 1 : 0);
