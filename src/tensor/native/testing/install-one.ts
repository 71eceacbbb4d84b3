import { addressOf, loadKoffi } from '../koffi.js';
import { install } from '../pages.js';
import type { Program } from '../program.js';

/** The only function of a program that is not among our kernels, on a buffer. */
export function installOne(
  program: Program,
  buffer: ArrayBufferLike,
  block: number,
): (...values: number[]) => void {
  const koffi = loadKoffi();
  if (koffi === null) throw new Error('koffi is not installed');
  const functions = install(koffi, program.asm.finish(), [program.entries[0].offset]);
  if (functions === null) throw new Error('this system forbids new code');
  const base = addressOf(koffi, buffer);
  new BigUint64Array(buffer, block, 1)[0] = BigInt(base);
  const slots = new Int32Array(buffer, block);
  return (...values) => {
    values.forEach((value, n) => {
      slots[2 * n + 2] = value;
    });
    functions[0](base + block);
  };
}
