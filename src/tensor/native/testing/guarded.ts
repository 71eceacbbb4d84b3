/**
 * @file A memory in which every operand lies alone between pages that nothing may touch: a kernel
 * that reads or writes outside ends the process. Tests run it in a process of their own (guard.ts).
 */
import { type Koffi, type Library, loadKoffi } from '../koffi.js';

const PAGE = 4096;
const [NONE, READ_WRITE, PRIVATE_ANONYMOUS] = [0, 3, 0x22];

interface Viewing extends Koffi {
  view(address: bigint, bytes: number): ArrayBuffer;
}

export interface Guarded {
  readonly buffer: ArrayBuffer;
  /** Takes the place of the buffer's segments again from the start. */
  reset(): void;
  /**
   * Offset of `bytes` that end (or begin, by turns) right at a page that is forbidden.
   */
  place(bytes: number, atEnd: boolean): number;
  floats: Float32Array;
}

/** Linux only: `segments` of at most `bytes` each. */
export function guardedMemory(segments: number, bytes: number): Guarded {
  const koffi = loadKoffi() as Viewing;
  const libc: Library = koffi.load(null);
  const mmap = libc.func('intptr_t mmap(uintptr_t, size_t, int, int, int, int64_t)');
  const mprotect = libc.func('int mprotect(uintptr_t, size_t, int)');
  const size = Math.ceil(bytes / PAGE) * PAGE;
  const stride = size + PAGE;
  const total = PAGE + segments * stride;
  const base = Number(mmap(0, total, READ_WRITE, PRIVATE_ANONYMOUS, -1, 0));
  for (let s = 0; s <= segments; s++)
    if (mprotect(base + s * stride, PAGE, NONE) !== 0) throw new Error('mprotect failed');
  const buffer = koffi.view(BigInt(base), total);
  let next = 0;
  return {
    buffer,
    floats: new Float32Array(buffer),
    reset: () => {
      next = 0;
    },
    place(wanted, atEnd) {
      if (next === segments || wanted > size) throw new Error('the guarded memory is too small');
      const begin = PAGE + next++ * stride;
      return atEnd ? begin + size - wanted : begin;
    },
  };
}
