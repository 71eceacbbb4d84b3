/**
 * @file Few rows against a transposed B (a small batch times weights stored [out, in]), in machine
 * code: dot products along contiguous rows, 3 × 4 at a time, nothing packed.
 *
 * A dot product is summed in as many parts as a vector has lanes, so its bits depend on the vectors'
 * width; they do not depend on how many rows there are.
 */
import type { Frame, Program } from './program.js';
import {
  at,
  type Label,
  type Memory,
  R8,
  R9,
  R10,
  R11,
  R12,
  R13,
  R14,
  R15,
  RAX,
  RBP,
  RBX,
  RCX,
  RDX,
  type Register,
  RSI,
  XMM,
  YMM,
} from './x86.js';

const PARAMETERS = {
  a: 'address',
  aRow: 'int',
  b: 'address',
  bRow: 'int',
  c: 'address',
  cRow: 'int',
  m: 'int',
  n: 'int',
  k: 'int',
  alpha: 'float',
  add: 'int',
} as const;

type DotsFrame = Frame<keyof typeof PARAMETERS>;

/** Rows and columns of a tile. */
const ROWS = 3;
const COLUMNS = 4;

const A = [RSI, RAX, RCX];
const B = [R8, R9, R10, R11];

/** dots: C[m, n] = alpha·A·Bᵀ (+ C), m, n, k at least 1. */
export function defineDots(program: Program): void {
  program.define('dots', PARAMETERS, (frame) => {
    const { asm } = program;
    for (const name of ['a', 'b', 'c', 'm', 'n', 'k'] as const) frame.widen(RAX, name);
    for (const name of ['aRow', 'bRow', 'cRow'] as const) frame.widen(RAX, name, 4);
    const tiles = [1, 2, 3].map((rows) => frame.routine(() => tile(program, frame, rows)));
    const columns = asm.label();
    asm.bind(columns);
    // Columns that do not exist read the last one that does; they are not stored.
    frame.get(B[0], 'b');
    frame.get(R12, 'bRow');
    frame.get(RBX, 'n');
    for (let j = 1; j < COLUMNS; j++) {
      asm.mov(B[j], B[j - 1]);
      asm.mov(RAX, B[j]);
      asm.arithmetic('add', RAX, R12);
      asm.arithmetic('cmp', RBX, j);
      asm.cmov('g', B[j], RAX);
    }
    frame.get(R13, 'm');
    frame.get(R14, 'a');
    frame.get(R15, 'c');
    rows(program, frame, tiles);
    frame.get(RAX, 'b');
    frame.get(R12, 'bRow');
    asm.lea(RAX, at(RAX, 0, R12, COLUMNS));
    frame.set('b', RAX);
    frame.get(RAX, 'c');
    asm.arithmetic('add', RAX, 4 * COLUMNS);
    frame.set('c', RAX);
    frame.get(RAX, 'n');
    asm.arithmetic('sub', RAX, COLUMNS);
    frame.set('n', RAX);
    asm.jump(columns, 'g');
  });
}

/** All rows against four columns: r13 rows left, r14 A, r15 C; rbx columns left. */
function rows(program: Program, frame: DotsFrame, tiles: readonly Label[]): void {
  const { asm } = program;
  const [full, rest, end] = [asm.label(), asm.label(), asm.label()];
  asm.bind(full);
  asm.arithmetic('cmp', R13, ROWS);
  asm.jump(rest, 'l');
  asm.call(tiles[ROWS - 1]);
  frame.get(RAX, 'aRow');
  asm.imul(RAX, RAX, ROWS);
  asm.arithmetic('add', R14, RAX);
  asm.arithmetic('sub', R13, ROWS);
  asm.jump(full);
  asm.bind(rest);
  for (let left = ROWS - 1; left > 0; left--) {
    asm.arithmetic('cmp', R13, left);
    program.unless('nz', () => {
      asm.call(tiles[left - 1]);
      asm.jump(end);
    });
  }
  asm.bind(end);
}

/** One tile: r14 A, r8 to r11 the columns' rows of B, r15 C, which moves on; rbx columns left. */
function tile(program: Program, frame: DotsFrame, count: number): void {
  const { asm } = program;
  const { width } = program.target;
  // One row has registers to spare: two sums a number, to hide what an addition takes.
  const unroll = count === 1 ? 2 : 1;
  const sums = count * COLUMNS;
  const sum = (u: number, i: number, j: number): Register => program.v(u * sums + i * COLUMNS + j);
  const aAt = (i: number): Register => program.v(unroll * sums + i);
  const bAt = program.v(unroll * sums + count);
  for (let n = 0; n < unroll * sums; n++) program.zero(program.v(n));
  asm.mov(A[0], R14);
  frame.get(R12, 'aRow');
  for (let i = 1; i < count; i++) asm.lea(A[i], at(A[i - 1], 0, R12, 1));
  asm.arithmetic('xor', RDX, RDX);
  frame.get(RBP, 'k');
  const multiply = (u: number, loadA: Load = program.load, loadB: Load = loadA): void => {
    for (let i = 0; i < count; i++)
      loadA.call(program, aAt(i), at(A[i], 4 * width * u, RDX, 4));
    for (let j = 0; j < COLUMNS; j++) {
      loadB.call(program, bAt, at(B[j], 4 * width * u, RDX, 4));
      for (let i = 0; i < count; i++) asm.vector('vfmadd231ps', [sum(u, i, j), aAt(i), bAt]);
    }
  };
  for (const steps of unroll === 1 ? [1] : [2, 1]) {
    const done = asm.label();
    asm.arithmetic('sub', RBP, steps * width);
    asm.jump(done, 'l');
    program.repeatWhile('ge', () => {
      for (let u = 0; u < steps; u++) multiply(u);
      asm.arithmetic('add', RDX, steps * width);
      asm.arithmetic('sub', RBP, steps * width);
    });
    asm.bind(done);
    asm.arithmetic('add', RBP, steps * width);
  }
  for (let n = 0; n < sums && unroll === 2; n++)
    asm.vector('vaddps', [program.v(n), program.v(n), program.v(sums + n)]);
  asm.test(RBP, RBP);
  program.unless('z', () => {
    if (width === 16) {
      const mask = program.mask(0, RBP, R12);
      multiply(0, (to, from) => program.load(to, from, mask));
      return;
    }
    // All registers are taken: the mask is read into the one that it loads.
    program.maskAddress(RBP, R12);
    const masked: Load = (to, from) => {
      program.load(to, at(RBP));
      program.load(to, from, to);
    };
    multiply(0, masked);
  });
  storeDots(program, frame, count, (i, j) => sum(0, i, j));
}

type Load = (to: Register, from: Memory) => void;

/** Adds up the lanes of each sum; C = alpha·sums (+ C). */
function storeDots(
  program: Program,
  frame: DotsFrame,
  count: number,
  sum: (i: number, j: number) => Register,
): void {
  const { asm } = program;
  const [alpha, old, mask, spare] = [12, 13, 14, 15];
  frame.get(RDX, 'cRow');
  frame.argument(RAX, 'add');
  asm.vector('vbroadcastss', [XMM[alpha], frame.local('alpha')]);
  for (let i = 0; i < count; i++) {
    if (program.target.width === 16) {
      for (let j = 0; j < COLUMNS; j++) {
        const { n } = sum(i, j);
        asm.vector('vextractf64x4', [YMM[spare], sum(i, j)], { immediate: 1 });
        asm.vector('vaddps', [YMM[n], YMM[n], YMM[spare]]);
      }
    }
    const [a, b, c, d] = [0, 1, 2, 3].map((j) => YMM[sum(i, j).n]);
    asm.vector('vhaddps', [a, a, b]);
    asm.vector('vhaddps', [c, c, d]);
    asm.vector('vhaddps', [a, a, c]);
    asm.vector('vextractf128', [XMM[b.n], a], { immediate: 1 });
    asm.vector('vaddps', [XMM[a.n], XMM[a.n], XMM[b.n]]);
    asm.vector('vmulps', [XMM[a.n], XMM[a.n], XMM[alpha]]);
  }
  const [partly, end] = [asm.label(), asm.label()];
  asm.arithmetic('cmp', RBX, COLUMNS);
  asm.jump(partly, 'l');
  for (const whole of [true, false]) {
    if (!whole) {
      asm.bind(partly);
      asm.mov(RCX, RBX);
      program.maskAddress(RCX, R12);
      asm.vector('vmovups', [XMM[mask], at(RCX)]);
    }
    const overwrite = asm.label();
    asm.test(RAX, RAX);
    asm.jump(overwrite, 'z');
    asm.mov(RCX, R15);
    for (let i = 0; i < count; i++) {
      const x = XMM[sum(i, 0).n];
      if (whole) asm.vector('vaddps', [x, x, at(RCX)]);
      else {
        asm.vector('vmaskmovps', [XMM[old], XMM[mask], at(RCX)]);
        asm.vector('vaddps', [x, x, XMM[old]]);
      }
      asm.arithmetic('add', RCX, RDX);
    }
    asm.bind(overwrite);
    for (let i = 0; i < count; i++) {
      const x = XMM[sum(i, 0).n];
      if (whole) asm.vector('vmovupsStore', [at(R15), x]);
      else asm.vector('vmaskmovpsStore', [at(R15), XMM[mask], x]);
      asm.arithmetic('add', R15, RDX);
    }
    if (whole) asm.jump(end);
  }
  asm.bind(end);
}
