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

export const DOT_PARAMETERS = {
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

type DotsFrame = Frame<keyof typeof DOT_PARAMETERS>;

/** Rows of a tile. */
const ROWS = 3;
/** Columns at a time; eight with a single row, whose sums would wait for each other otherwise. */
const STEPS = [8, 4, 1] as const;

/** dots: C[m, n] = alpha·A·Bᵀ (+ C), m, n, k at least 1. */
export function defineDots(program: Program): void {
  program.define('dots', DOT_PARAMETERS, (frame) => product(program, frame));
}

function product(program: Program, frame: DotsFrame): void {
  const { asm } = program;
  for (const name of ['a', 'b', 'c', 'm', 'n', 'k'] as const) frame.widen(RAX, name);
  for (const name of ['aRow', 'bRow', 'cRow'] as const) frame.widen(RAX, name, 4);
  frame.get(R8, 'bRow');
  asm.lea(R9, at(R8, 0, R8, 2));
  frame.get(R10, 'aRow');
  frame.get(R11, 'cRow');
  frame.get(R14, 'b');
  frame.get(R15, 'c');
  for (const step of STEPS) {
    const [next, again] = [asm.label(), asm.label()];
    if (step === 8) {
      frame.get(RAX, 'm');
      asm.arithmetic('cmp', RAX, 1);
      asm.jump(next, 'nz');
    }
    asm.bind(again);
    frame.get(RAX, 'n');
    asm.arithmetic('sub', RAX, step);
    asm.jump(next, 'l');
    frame.set('n', RAX);
    rows(program, frame, step);
    asm.imul(RAX, R8, step);
    asm.arithmetic('add', R14, RAX);
    asm.arithmetic('add', R15, 4 * step);
    asm.jump(again);
    asm.bind(next);
  }
}

/** All rows against some columns; r12 becomes A's row, r13 the rows left, rbx C's. */
function rows(program: Program, frame: DotsFrame, columns: number): void {
  const { asm } = program;
  const end = asm.label();
  const tileOf = (count: number): Label =>
    frame.routine(() => tile(program, frame, count, columns));
  frame.get(R12, 'a');
  asm.mov(RBX, R15);
  if (columns === 8) {
    asm.call(tileOf(1));
    return;
  }
  frame.get(R13, 'm');
  const [full, rest] = [asm.label(), asm.label()];
  asm.bind(full);
  asm.arithmetic('cmp', R13, ROWS);
  asm.jump(rest, 'l');
  asm.call(tileOf(ROWS));
  asm.lea(RAX, at(R10, 0, R10, 2));
  asm.arithmetic('add', R12, RAX);
  asm.arithmetic('sub', R13, ROWS);
  asm.jump(full);
  asm.bind(rest);
  for (let left = ROWS - 1; left > 0; left--) {
    asm.arithmetic('cmp', R13, left);
    program.unless('nz', () => {
      asm.call(tileOf(left));
      asm.jump(end);
    });
  }
  asm.bind(end);
}

type Load = (to: Register, from: Memory) => void;

/**
 * One tile: r12 A, r14 B, rbx C, which moves on; r8 and r9 once and three times B's stride, r10 A's,
 * r11 C's. Every sum has one accumulator, whatever the tile, so that a row is summed alike in all.
 */
function tile(program: Program, frame: DotsFrame, count: number, columns: number): void {
  const { asm } = program;
  const { width } = program.target;
  const sums = count * columns;
  const sum = (i: number, j: number): Register => program.v(i * columns + j);
  const aAt = (i: number): Register => program.v(sums + i);
  const bAt = program.v(sums + count);
  for (let n = 0; n < sums; n++) program.zero(program.v(n));
  asm.mov(RSI, R12);
  asm.mov(RCX, R14);
  if (columns > 4) asm.lea(RAX, at(R14, 0, R8, 4));
  const a = (i: number): Memory => (i === 0 ? at(RSI) : at(RSI, 0, R10, i as 1 | 2));
  const b = (j: number): Memory => {
    const base = j < 4 ? RCX : RAX;
    const index = j % 4;
    return index === 0
      ? at(base)
      : index === 3
        ? at(base, 0, R9, 1)
        : at(base, 0, R8, index as 1 | 2);
  };
  const multiply = (load: Load): void => {
    for (let i = 0; i < count; i++) load(aAt(i), a(i));
    for (let j = 0; j < columns; j++) {
      load(bAt, b(j));
      for (let i = 0; i < count; i++) asm.vector('vfmadd231ps', [sum(i, j), aAt(i), bAt]);
    }
  };
  frame.get(RBP, 'k');
  const rest = asm.label();
  asm.arithmetic('sub', RBP, width);
  asm.jump(rest, 'l');
  program.repeatWhile('ge', () => {
    multiply((to, from) => program.load(to, from));
    asm.arithmetic('add', RSI, 4 * width);
    asm.arithmetic('add', RCX, 4 * width);
    if (columns > 4) asm.arithmetic('add', RAX, 4 * width);
    asm.arithmetic('sub', RBP, width);
  });
  asm.bind(rest);
  asm.arithmetic('add', RBP, width);
  program.unless('z', () => {
    if (width === 16) {
      const mask = program.mask(0, RBP, RDX);
      multiply((to, from) => program.load(to, from, mask));
      return;
    }
    // All registers are taken: the mask is read into the one that it loads.
    program.maskAddress(RBP, RDX);
    multiply((to, from) => {
      program.load(to, at(RBP));
      program.load(to, from, to);
    });
  });
  storeDots(program, frame, count, columns, sum);
}

/** Adds up the lanes of each sum, always in the same order; C = alpha·sums (+ C). */
export function storeDots(
  program: Program,
  frame: Pick<DotsFrame, 'argument' | 'local'>,
  count: number,
  columns: number,
  sum: (i: number, j: number) => Register,
): void {
  const { asm } = program;
  const [alpha, spare] = [14, 15];
  frame.argument(RAX, 'add');
  asm.vector('vbroadcastss', [XMM[alpha], frame.local('alpha')]);
  /** The first lanes of the result for a row's columns from `j` on. */
  const result = (i: number, j: number): Register => XMM[sum(i, j).n];
  const groups = Array.from({ length: Math.ceil(columns / 4) }, (_, g) => 4 * g);
  for (let i = 0; i < count; i++) {
    if (program.target.width === 16) {
      for (let j = 0; j < columns; j++) {
        const { n } = sum(i, j);
        asm.vector('vextractf64x4', [YMM[spare], sum(i, j)], { immediate: 1 });
        asm.vector('vaddps', [YMM[n], YMM[n], YMM[spare]]);
      }
    }
    for (const g of groups) {
      const [a, b, c, d] = [0, 1, 2, 3].map((j) => YMM[sum(i, columns > 1 ? g + j : 0).n]);
      asm.vector('vhaddps', [a, a, b]);
      if (columns > 1) asm.vector('vhaddps', [c, c, d]);
      asm.vector('vhaddps', [a, a, c]);
      asm.vector('vextractf128', [XMM[spare], a], { immediate: 1 });
      asm.vector('vaddps', [XMM[a.n], XMM[a.n], XMM[spare]]);
      asm.vector('vmulps', [XMM[a.n], XMM[a.n], XMM[alpha]]);
    }
  }
  asm.test(RAX, RAX);
  program.unless('z', () => {
    asm.mov(RDX, RBX);
    for (let i = 0; i < count; i++) {
      for (const g of groups) {
        const x = result(i, g);
        asm.vector(columns > 1 ? 'vaddps' : 'vaddss', [x, x, at(RDX, 4 * g)]);
      }
      asm.arithmetic('add', RDX, R11);
    }
  });
  for (let i = 0; i < count; i++) {
    for (const g of groups)
      asm.vector(columns > 1 ? 'vmovupsStore' : 'vmovssStore', [at(RBX, 4 * g), result(i, g)]);
    asm.arithmetic('add', RBX, R11);
  }
}
