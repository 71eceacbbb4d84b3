/**
 * @file What this processor can do, from CPUID: emitted code asks it, not a file of the system.
 */
import type { Koffi } from './koffi.js';
import { install } from './pages.js';
import { Program, TARGETS, type TargetName } from './program.js';
import { at, RAX, RBX, RCX, RDI, RDX, type Register } from './x86.js';

/** [leaf, register, bit]; the letters are eax, ebx, ecx, edx. */
const BITS = {
  fma: [1, 'c', 12],
  osxsave: [1, 'c', 27],
  avx: [1, 'c', 28],
  f16c: [1, 'c', 29],
  avx2: [7, 'b', 5],
  avx512f: [7, 'b', 16],
  avx512dq: [7, 'b', 17],
  avx512bw: [7, 'b', 30],
  avx512vl: [7, 'b', 31],
} as const;

/** Parts of a thread's registers that the system saves: what XCR0 must have. */
const SAVED = { avx2: 0x06, avx512: 0xe6 };

const NEEDS: Record<TargetName, readonly (keyof typeof BITS)[]> = {
  avx2: ['fma', 'osxsave', 'avx', 'f16c', 'avx2'],
  avx512: ['fma', 'osxsave', 'avx', 'f16c', 'avx2', 'avx512f', 'avx512dq', 'avx512bw', 'avx512vl'],
};

/** cpuid(block): leaf and subleaf in the first two slots, registers come back in the next four. */
function emit(): { code: Uint8Array; offsets: number[] } {
  const program = new Program(TARGETS.avx2);
  const { asm } = program;
  const slot = (n: number) => at(RDI, 8 * n);
  const out = (register: Register, n: number): void => asm.mov(slot(n), register);
  const plain = { vectors: false };
  const identify = (): void => {
    asm.mov(RAX, slot(1));
    asm.mov(RCX, slot(2));
    asm.cpuid();
    [RAX, RBX, RCX, RDX].forEach((register, n) => {
      out(register, 3 + n);
    });
  };
  const readXcr0 = (): void => {
    asm.arithmetic('xor', RCX, RCX);
    asm.xgetbv();
    out(RAX, 3);
  };
  program.define('cpuid', {}, identify, plain);
  program.define('xgetbv', {}, readXcr0, plain);
  return { code: asm.finish(), offsets: program.entries.map(({ offset }) => offset) };
}

/**
 * The instruction sets of this processor that the system supports; null where it is no x86-64 or
 * new code is forbidden.
 */
export function detectTargets(koffi: Koffi): ReadonlySet<TargetName> | null {
  if (process.arch !== 'x64') return null;
  const { code, offsets } = emit();
  const functions = install(koffi, code, offsets);
  if (functions === null) return null;
  const [cpuid, xgetbv] = functions;
  const slots = new BigUint64Array(7);
  const block = Number(koffi.address(new Uint8Array(slots.buffer)));
  const ask = (leaf: number): Record<'a' | 'b' | 'c' | 'd', number> => {
    slots[1] = BigInt(leaf);
    slots[2] = 0n;
    cpuid(block);
    const [a, b, c, d] = [...slots.subarray(3)].map((x) => Number(x & 0xffffffffn));
    return { a, b, c, d };
  };
  const most = ask(0).a;
  const leaves = new Map([1, 7].filter((leaf) => leaf <= most).map((leaf) => [leaf, ask(leaf)]));
  const has = (name: keyof typeof BITS): boolean => {
    const [leaf, register, bit] = BITS[name];
    return (((leaves.get(leaf)?.[register] ?? 0) >>> bit) & 1) === 1;
  };
  const found = new Set<TargetName>();
  if (!has('osxsave')) return found;
  xgetbv(block);
  const enabled = Number(slots[3] & 0xffn);
  for (const name of ['avx2', 'avx512'] as const)
    if (NEEDS[name].every(has) && (enabled & SAVED[name]) === SAVED[name]) found.add(name);
  return found;
}
