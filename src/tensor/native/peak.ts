/**
 * @file What a core could do at most: a loop of independent multiply-adds on registers, emitted for
 * this processor. Benchmarks set the kernels' speed beside it.
 */
import { addressOf, loadKoffi } from './koffi.js';
import { install } from './pages.js';
import { Program, TARGETS } from './program.js';
import { RCX } from './x86.js';

const LOOPS = 2_000_000;

/**
 * 10⁹ floating-point operations a second of AVX2's multiply-adds on one core; the best of several
 * rounds.
 * @param seconds a clock
 */
export function measurePeak(seconds: () => number): number {
  const koffi = loadKoffi();
  const program = new Program(TARGETS.avx2);
  const { asm, target } = program;
  // Enough of them to hide what one takes, and registers for the operands.
  const sums = target.registers - 4;
  program.define('peak', { loops: 'int' }, (frame) => {
    for (let n = 0; n < target.registers; n++) program.zero(program.v(n));
    frame.argument(RCX, 'loops');
    program.repeatWhile('nz', () => {
      for (let n = 0; n < sums; n++)
        asm.vector('vfmadd231ps', [program.v(n), program.v(sums), program.v(sums + 1)]);
      asm.decrement(RCX);
    });
  });
  const functions = koffi && install(koffi, asm.finish(), [program.entries[0].offset]);
  if (!koffi || !functions) throw new Error('this system runs no machine code of ours');
  const block = new BigInt64Array(2);
  block[1] = BigInt(LOOPS);
  const address = addressOf(koffi, block.buffer);
  let best = 0;
  for (let round = 0; round < 5; round++) {
    const start = seconds();
    functions[0](address);
    best = Math.max(best, (LOOPS * sums * 2 * target.width) / (seconds() - start) / 1e9);
  }
  return best;
}
