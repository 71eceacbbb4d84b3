/**
 * @file What row kernels share: sweeping over a row, adding up lanes, and exp.
 *
 * exp has the formula of the WASM kernels (assembly/math.ts): x = n·ln 2 + r, a polynomial in r, and
 * n added to the exponent; within 2 units in the last place.
 */
import type { Mask, Program } from './program.js';
import { at, K, type Memory, RAX, RCX, RDX, type Register, XMM, YMM } from './x86.js';

/** The place of a sweep in a row: `pointer` begins the row, `u` counts vectors from where it is. */
export const here = (program: Program, pointer: Register, u: number): Memory =>
  at(pointer, 4 * program.target.width * u, RDX, 1);

/**
 * Calls `body` for all vectors of a row of `length` numbers (in rcx, lost): `unroll` at a time, then
 * one at a time, then the rest under a mask. `body` may use neither rcx nor rdx nor, on AVX2, vector
 * register `maskRegister`.
 */
export function sweep(
  program: Program,
  unroll: number,
  maskRegister: number,
  body: (u: number, mask?: Mask) => void,
): void {
  const { asm } = program;
  const { width } = program.target;
  asm.arithmetic('xor', RDX, RDX);
  for (const step of unroll > 1 ? [unroll, 1] : [1]) {
    const end = asm.label();
    asm.arithmetic('sub', RCX, step * width);
    asm.jump(end, 'l');
    program.repeatWhile('ge', () => {
      for (let u = 0; u < step; u++) body(u);
      asm.arithmetic('add', RDX, 4 * step * width);
      asm.arithmetic('sub', RCX, step * width);
    });
    asm.bind(end);
    asm.arithmetic('add', RCX, step * width);
  }
  asm.test(RCX, RCX);
  program.unless('z', () => body(0, program.mask(maskRegister, RCX, RAX)));
}

/** Loads a vector; lanes outside the mask get those of `other`. */
export function loadOr(
  program: Program,
  to: Register,
  from: Memory,
  other: Register,
  mask?: Mask,
): void {
  const { asm } = program;
  if (!mask) program.load(to, from);
  else if (mask.kind === 'k') {
    asm.vector('vmovaps', [to, other]);
    asm.vector('vmovups', [to, from], { mask });
  } else {
    program.load(to, from, mask);
    asm.vector('vblendvps', [to, other, to], { immediate: mask.n << 4 });
  }
}

/** Combines all lanes of `v` by `name`, always in the same order; the result is in every lane. */
export function acrossLanes(
  program: Program,
  name: 'vaddps' | 'vmaxps',
  v: Register,
  spare: Register,
): void {
  const { asm } = program;
  const [x, s] = [XMM[v.n], XMM[spare.n]];
  if (program.target.width === 16) {
    asm.vector('vextractf64x4', [YMM[spare.n], v], { immediate: 1 });
    asm.vector(name, [YMM[v.n], YMM[v.n], YMM[spare.n]]);
  }
  asm.vector('vextractf128', [s, YMM[v.n]], { immediate: 1 });
  asm.vector(name, [x, x, s]);
  asm.vector('vpermilps', [s, x], { immediate: 0x4e });
  asm.vector(name, [x, x, s]);
  asm.vector('vpermilps', [s, x], { immediate: 0xb1 });
  asm.vector(name, [x, x, s]);
  asm.vector('vbroadcastss', [v, x]);
}

const EXP = {
  inverseLn2: Math.LOG2E,
  /** 1.5·2²³: adding it rounds to an integer and leaves that in the low bits. */
  magic: 12582912,
  ln2High: -0.693359375,
  ln2Low: 2.1219444e-4,
  /** (eʳ − 1 − r) / r², from the highest power. */
  p4: 0.001381460577249527,
  rest: [0.00836871936917305, 0.04166838899254799, 0.1666652113199234, 0.5],
  smallest: -87.3365,
};
/** The largest x; kernels keep it in a register. */
export const EXP_LARGEST = 88.376;

const LESS = 1;
const NOT_LESS = 5;

/**
 * Makes eˣ in `scratch[1]`; x and the four of `scratch` are lost. `largest` holds EXP_LARGEST. 0
 * where the power would not be a normal number; NaN stays NaN.
 */
export function exp(
  program: Program,
  x: Register,
  scratch: readonly Register[],
  largest: Register,
): Register {
  const { asm } = program;
  const [shifted, p, r, square] = scratch;
  const c = (value: number): Memory => program.constant(value);
  // A NaN in the second place is handed on.
  asm.vector('vminps', [x, largest, x]);
  program.load(shifted, c(EXP.magic));
  asm.vector('vfmadd231ps', [shifted, x, c(EXP.inverseLn2)]);
  asm.vector('vsubps', [p, shifted, c(EXP.magic)]);
  asm.vector('vmovaps', [r, x]);
  asm.vector('vfmadd231ps', [r, p, c(EXP.ln2High)]);
  asm.vector('vfmadd231ps', [r, p, c(EXP.ln2Low)]);
  program.load(p, c(EXP.p4));
  for (const coefficient of EXP.rest) asm.vector('vfmadd213ps', [p, r, c(coefficient)]);
  asm.vector('vmulps', [square, r, r]);
  asm.vector('vaddps', [r, r, c(1)]);
  asm.vector('vfmadd213ps', [p, square, r]);
  asm.vector('vpslld', [shifted, shifted], { immediate: 23 });
  asm.vector('vpaddd', [p, p, shifted]);
  if (program.target.width === 16) {
    asm.vector('vcmppsMask', [K[7], x, c(EXP.smallest)], { immediate: NOT_LESS });
    asm.vector('vmovaps', [p, p], { mask: K[7], zero: true });
  } else {
    asm.vector('vcmpps', [shifted, x, c(EXP.smallest)], { immediate: LESS });
    asm.vector('vandnps', [p, shifted, p]);
  }
  return p;
}
