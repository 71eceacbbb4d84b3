/**
 * @file Single-precision matrix products in machine code, from one description for AVX2 and AVX-512.
 *
 * The scheme is BLIS's (Van Zee and van de Geijn, "BLIS: A Framework for Rapidly Instantiating BLAS
 * Functionality", ACM TOMS 2015): a panel of B stays in the first-level cache while tiles of A's
 * rows, which lie in the second, go past it. A tile of C is 6 × 16 numbers with AVX2 and 12 × 32
 * with AVX-512: as many accumulators as there are registers.
 *
 * - A is read in place where its rows are contiguous, six rows at a time. Transposed it is packed.
 * - Each number of C is one sum in the order of the inner dimension, and blocks of that dimension
 *   are added up in their order. So its bits depend on its row of A and its column of B alone: not
 *   on the other rows, on how operands were packed or on the vectors' width.
 * - `dots` is for few rows against a transposed B, which packing would cost more than the product:
 *   3 × 4 dot products at a time along contiguous rows.
 */
import type { Frame, Mask, Program } from './program.js';
import {
  at,
  type Label,
  R8,
  R9,
  R10,
  R11,
  R12,
  R13,
  R14,
  R15,
  RAX,
  RBX,
  RCX,
  RDX,
  type Register,
  RSI,
  XMM,
  YMM,
} from './x86.js';

/** Vectors of a tile's row. */
const VECTORS = 2;
/** Rows and columns of a full tile. */
export const tileOf = (width: 8 | 16): { rows: number; columns: number } => ({
  rows: width === 16 ? 12 : 6,
  columns: VECTORS * width,
});

/** How B comes: in place, packed before, to be packed as stored, to be packed transposed. */
export const B_IN_PLACE = 0;
export const B_PACKED = 1;
export const B_PACK_ROWS = 2;
export const B_PACK_TRANSPOSED = 3;

const BLOCK_PARAMETERS = {
  a: 'address',
  /** Between A's rows and along them, in numbers. One of the two is 1. */
  aRow: 'int',
  aInner: 'int',
  /** Where A is packed, if `packA`. */
  panelsA: 'address',
  packA: 'int',
  b: 'address',
  bRow: 'int',
  bMode: 'int',
  panelsB: 'address',
  c: 'address',
  cRow: 'int',
  m: 'int',
  n: 'int',
  k: 'int',
  alpha: 'float',
  /** Whether C is added to. */
  add: 'int',
} as const;

type BlockFrame = Frame<keyof typeof BLOCK_PARAMETERS>;
type Mode = 'rows' | 'columns';

/** Unrolling of the inner loop. */
const UNROLL = 4;

/**
 * gemmBlock: C[m, n] = alpha·A·B (+ C) for m, n, k of at least 1, small enough that A and one panel
 * of B stay in their caches.
 */
export function defineGemmBlock(program: Program): void {
  program.define('gemmBlock', BLOCK_PARAMETERS, (frame) => {
    const { asm, target } = program;
    const { width } = target;
    const { rows: mr, columns: nr } = tileOf(width);
    for (const name of ['a', 'b', 'c', 'panelsA', 'panelsB', 'm', 'n', 'k'] as const)
      frame.widen(RAX, name);
    for (const name of ['aRow', 'aInner', 'bRow', 'cRow'] as const) frame.widen(RAX, name, 4);
    packA(program, frame, mr);
    // What A's pointer moves by from tile to tile.
    frame.get(R14, 'aRow');
    asm.imul(R14, R14, mr);
    frame.argument(RAX, 'packA');
    asm.test(RAX, RAX);
    program.unless('z', () => {
      frame.get(R14, 'k');
      asm.imul(R14, R14, 4 * mr);
    });
    const micro = microKernels(program, frame, mr);
    const packs = {
      rows: frame.routine(() => packRows(program, frame, nr)),
      transposed: frame.routine(() => packTransposed(program, frame, nr)),
    };
    const columns = asm.label();
    asm.bind(columns);
    preparePanel(program, frame, nr, packs);
    frame.argument(R11, 'k');
    frame.get(R12, 'a');
    frame.get(R13, 'm');
    frame.get(RAX, 'c');
    frame.set('cAt', RAX);
    asm.arithmetic('cmp', RBX, width);
    const next = asm.label();
    const oneVector = asm.label();
    asm.jump(oneVector, 'le');
    rowLoops(program, frame, mr, (mode, rows) => micro(mode, 2, rows));
    asm.jump(next);
    asm.bind(oneVector);
    rowLoops(program, frame, mr, (mode, rows) => micro(mode, 1, rows));
    asm.bind(next);
    for (const name of ['c', 'b'] as const) {
      frame.get(RAX, name);
      if (name === 'b') {
        // The next columns of B are the next rows of a transposed one.
        frame.argument(RCX, 'bMode');
        frame.get(RDX, 'bRow');
        asm.imul(RDX, RDX, nr);
        asm.movImmediate(RSI, 4 * nr);
        asm.arithmetic('cmp', RCX, B_PACK_TRANSPOSED);
        asm.cmov('nz', RDX, RSI);
        asm.arithmetic('add', RAX, RDX);
      } else asm.arithmetic('add', RAX, 4 * nr);
      frame.set(name, RAX);
    }
    frame.get(RAX, 'k');
    asm.imul(RAX, RAX, 4 * nr);
    asm.arithmetic('add', RAX, frame.local('panelsB'));
    frame.set('panelsB', RAX);
    frame.get(RAX, 'n');
    asm.arithmetic('sub', RAX, nr);
    frame.set('n', RAX);
    asm.jump(columns, 'g');
  });
}

/**
 * Packs the panel of B of the next columns where that is asked for, or where it is too narrow to be
 * read in place. Leaves its columns in rbx, B's pointer in r15 and its stride in r10; prepares masks.
 */
function preparePanel(
  program: Program,
  frame: BlockFrame,
  nr: number,
  packs: { rows: Label; transposed: Label },
): void {
  const { asm } = program;
  const { width } = program.target;
  frame.get(RBX, 'n');
  asm.movImmediate(RAX, nr);
  asm.arithmetic('cmp', RBX, nr);
  asm.cmov('g', RBX, RAX);
  frame.set('columns', RBX);
  const [ready, transposed] = [asm.label(), asm.label()];
  frame.get(R15, 'panelsB');
  asm.movImmediate(R10, 4 * nr);
  frame.argument(RAX, 'bMode');
  asm.arithmetic('cmp', RAX, B_PACKED);
  asm.jump(ready, 'z');
  asm.arithmetic('cmp', RAX, B_PACK_TRANSPOSED);
  asm.jump(transposed, 'z');
  asm.arithmetic('cmp', RAX, B_PACK_ROWS);
  const pack = asm.label();
  asm.jump(pack, 'z');
  asm.arithmetic('cmp', RBX, nr);
  asm.jump(pack, 'l');
  frame.get(R15, 'b');
  frame.get(R10, 'bRow');
  asm.jump(ready);
  asm.bind(pack);
  asm.call(packs.rows);
  asm.jump(ready);
  asm.bind(transposed);
  asm.call(packs.transposed);
  asm.bind(ready);
  // Lanes of the last vector: 1 to the width.
  frame.get(RBX, 'columns');
  asm.lea(RAX, at(RBX, -width));
  asm.arithmetic('cmp', RBX, width);
  asm.cmov('le', RAX, RBX);
  frame.set('lanes', RAX);
}

/** The tiles of one panel: r12 A, r13 rows left. */
function rowLoops(
  program: Program,
  frame: BlockFrame,
  mr: number,
  micro: (mode: Mode, rows: number) => Label,
): void {
  const { asm } = program;
  const [columns, end] = [asm.label(), asm.label()];
  // Packed A is by columns, too.
  frame.argument(RAX, 'packA');
  frame.argument(RCX, 'aInner');
  asm.test(RAX, RAX);
  asm.jump(columns, 'nz');
  asm.arithmetic('cmp', RCX, 4);
  asm.jump(columns, 'nz');
  for (const mode of ['rows', 'columns'] as const) {
    if (mode === 'columns') asm.bind(columns);
    if (mode === 'rows') frame.get(R8, 'aRow');
    else {
      frame.get(R8, 'aInner');
      asm.movImmediate(RCX, 4 * mr);
      asm.test(RAX, RAX);
      asm.cmov('nz', R8, RCX);
    }
    const [full, rest] = [asm.label(), asm.label()];
    asm.bind(full);
    asm.arithmetic('cmp', R13, mr);
    asm.jump(rest, 'l');
    asm.call(micro(mode, mr));
    asm.arithmetic('add', R12, R14);
    asm.arithmetic('sub', R13, mr);
    asm.jump(full);
    asm.bind(rest);
    for (let rows = 1; rows < mr; rows++) {
      asm.arithmetic('cmp', R13, rows);
      program.unless('nz', () => {
        asm.call(micro(mode, rows));
        asm.jump(end);
      });
    }
    asm.jump(end);
  }
  asm.bind(end);
}

/** Gives a routine for each kind of tile; only those that are asked for are emitted. */
function microKernels(
  program: Program,
  frame: BlockFrame,
  mr: number,
): (mode: Mode, vectors: number, rows: number) => Label {
  const known = new Map<string, Label>();
  return (mode, vectors, rows) => {
    const key = `${mode} ${vectors} ${rows}`;
    let label = known.get(key);
    if (!label) {
      label = frame.routine(() => microKernel(program, frame, mr, mode, vectors, rows));
      known.set(key, label);
    }
    return label;
  };
}

/**
 * One tile. In: r12 A, r8 A's stride, r15 B, r10 B's stride, r11 k; `cAt`. Moves `cAt` on by the
 * tile's rows; keeps r8 and r10 to r15.
 */
function microKernel(
  program: Program,
  frame: BlockFrame,
  mr: number,
  mode: Mode,
  vectors: number,
  rows: number,
): void {
  const { asm } = program;
  const { width } = program.target;
  const v = (n: number): Register => program.v(n);
  const accumulators = VECTORS * mr;
  const sum = (i: number, j: number): Register => v(VECTORS * i + j);
  const b = (j: number): Register => v(accumulators + j);
  const spare = program.target.registers - accumulators - VECTORS;
  const aAt = (i: number): Register => v(accumulators + VECTORS + (i % spare));
  for (let i = 0; i < rows; i++) for (let j = 0; j < vectors; j++) program.zero(sum(i, j));
  // Pointers to every third row; the two behind each are reached with the stride as an index.
  const pointers = mode === 'rows' ? [RSI, RAX, R9, RBX].slice(0, Math.ceil(rows / 3)) : [RSI];
  asm.mov(RSI, R12);
  for (let p = 1; p < pointers.length; p++) {
    asm.lea(pointers[p], at(pointers[p - 1], 0, R8, 2));
    asm.arithmetic('add', pointers[p], R8);
  }
  const element = (i: number, step: number) =>
    mode === 'columns'
      ? at(RSI, 4 * i)
      : i % 3 === 0
        ? at(pointers[i / 3], 4 * step)
        : at(pointers[Math.floor(i / 3)], 4 * step, R8, (i % 3) as 1 | 2);
  asm.mov(RDX, R15);
  const step = (u: number): void => {
    for (let j = 0; j < vectors; j++) program.load(b(j), at(RDX, 4 * width * j));
    for (let i = 0; i < rows; i++) {
      program.broadcast(aAt(i), element(i, u));
      for (let j = 0; j < vectors; j++) asm.vector('vfmadd231ps', [sum(i, j), aAt(i), b(j)]);
    }
    asm.arithmetic('add', RDX, R10);
    if (mode === 'columns') asm.arithmetic('add', RSI, R8);
  };
  const advance = (steps: number): void => {
    if (mode === 'rows') for (const pointer of pointers) asm.arithmetic('add', pointer, 4 * steps);
  };
  asm.mov(RCX, R11);
  const [one, done] = [asm.label(), asm.label()];
  asm.arithmetic('sub', RCX, UNROLL);
  asm.jump(one, 'l');
  program.repeatWhile('ge', () => {
    for (let u = 0; u < UNROLL; u++) step(u);
    advance(UNROLL);
    asm.arithmetic('sub', RCX, UNROLL);
  });
  asm.bind(one);
  asm.arithmetic('add', RCX, UNROLL);
  asm.jump(done, 'z');
  program.repeatWhile('nz', () => {
    step(0);
    advance(1);
    asm.decrement(RCX);
  });
  asm.bind(done);
  storeTile(program, frame, vectors, rows, sum, [b(0), b(1), aAt(0)]);
}

/** C = alpha·sums (+ C), masked where the last vector is not full. */
function storeTile(
  program: Program,
  frame: BlockFrame,
  vectors: number,
  rows: number,
  sum: (i: number, j: number) => Register,
  [alpha, old, maskRegister]: readonly Register[],
): void {
  const { asm } = program;
  const { width } = program.target;
  frame.get(RDX, 'cAt');
  frame.get(RCX, 'cRow');
  program.broadcast(alpha, frame.local('alpha'));
  frame.argument(RAX, 'add');
  const [partly, end] = [asm.label(), asm.label()];
  frame.get(RSI, 'lanes');
  asm.arithmetic('cmp', RSI, width);
  asm.jump(partly, 'nz');
  for (const masked of [false, true]) {
    let mask: Mask | undefined;
    if (masked) {
      asm.bind(partly);
      mask = program.mask(maskRegister.n, RSI, RBX);
    }
    const [overwrite, stored] = [asm.label(), asm.label()];
    asm.test(RAX, RAX);
    asm.jump(overwrite, 'z');
    for (const add of [true, false]) {
      if (!add) asm.bind(overwrite);
      for (let i = 0; i < rows; i++) {
        for (let j = 0; j < vectors; j++) {
          const c = at(RDX, 4 * width * j);
          const x = sum(i, j);
          const m = j === vectors - 1 ? mask : undefined;
          asm.vector('vmulps', [x, x, alpha]);
          if (add && m) {
            program.load(old, c, m);
            asm.vector('vaddps', [x, x, old]);
          } else if (add) asm.vector('vaddps', [x, x, c]);
          program.store(c, x, m);
        }
        asm.arithmetic('add', RDX, RCX);
      }
      if (add) asm.jump(stored);
    }
    asm.bind(stored);
    if (!masked) asm.jump(end);
  }
  asm.bind(end);
  frame.set('cAt', RDX);
}

/** Copies `columns` columns of B's rows to a panel. */
function packRows(program: Program, frame: BlockFrame, nr: number): void {
  const { asm } = program;
  const { width } = program.target;
  frame.get(RSI, 'b');
  frame.get(RDX, 'panelsB');
  frame.get(R8, 'bRow');
  frame.get(RCX, 'k');
  const [partly, end] = [asm.label(), asm.label()];
  asm.arithmetic('cmp', RBX, nr);
  asm.jump(partly, 'nz');
  const copy = (masks: readonly (Mask | undefined)[]): void =>
    program.repeatWhile('nz', () => {
      masks.forEach((mask, j) => {
        program.load(program.v(j), at(RSI, 4 * width * j), mask);
        program.store(at(RDX, 4 * width * j), program.v(j));
      });
      asm.arithmetic('add', RSI, R8);
      asm.arithmetic('add', RDX, 4 * nr);
      asm.decrement(RCX);
    });
  copy([undefined, undefined]);
  asm.jump(end);
  asm.bind(partly);
  // Lanes of each vector of the panel, 0 to the width.
  const masks = Array.from({ length: VECTORS }, (_, j) => {
    asm.lea(RAX, at(RBX, -width * j));
    asm.arithmetic('xor', R9, R9);
    asm.test(RAX, RAX);
    asm.cmov('l', RAX, R9);
    asm.movImmediate(R9, width);
    asm.arithmetic('cmp', RAX, R9);
    asm.cmov('g', RAX, R9);
    return program.mask(4 + j, RAX, R9);
  });
  copy(masks);
  asm.bind(end);
}

/** Rows that are transposed at a time. */
const EIGHT = 8;

/** Makes columns of a panel of `columns` rows of B, eight rows and four numbers at a time. */
function packTransposed(program: Program, frame: BlockFrame, nr: number): void {
  const { asm } = program;
  frame.get(R8, 'bRow');
  asm.lea(R9, at(R8, 0, R8, 2));
  for (let group = 0; group < nr / EIGHT; group++) {
    const [single, next] = [asm.label(), asm.label()];
    frame.get(RSI, 'b');
    asm.imul(RAX, R8, EIGHT * group);
    asm.arithmetic('add', RSI, RAX);
    frame.get(RDX, 'panelsB');
    asm.arithmetic('add', RDX, 4 * EIGHT * group);
    frame.get(RCX, 'k');
    asm.arithmetic('cmp', RBX, EIGHT * (group + 1));
    asm.jump(single, 'l');
    asm.lea(RAX, at(RSI, 0, R8, 4));
    const rest = asm.label();
    asm.arithmetic('sub', RCX, 4);
    asm.jump(rest, 'l');
    program.repeatWhile('ge', () => {
      transposeFour(program, RSI, RAX, nr);
      asm.arithmetic('add', RSI, 16);
      asm.arithmetic('add', RAX, 16);
      asm.arithmetic('add', RDX, 16 * nr);
      asm.arithmetic('sub', RCX, 4);
    });
    asm.bind(rest);
    asm.arithmetic('add', RCX, 4);
    asm.jump(next, 'z');
    program.repeatWhile('nz', () => {
      for (let row = 0; row < EIGHT; row++) {
        asm.vector('vmovss', [XMM[0], eighth(RSI, RAX, row)]);
        asm.vector('vmovssStore', [at(RDX, 4 * row), XMM[0]]);
      }
      asm.arithmetic('add', RSI, 4);
      asm.arithmetic('add', RAX, 4);
      asm.arithmetic('add', RDX, 4 * nr);
      asm.decrement(RCX);
    });
    asm.jump(next);
    asm.bind(single);
    copyColumns(program, nr, () => {
      asm.mov(RAX, RBX);
      asm.arithmetic('sub', RAX, EIGHT * group);
    });
    asm.bind(next);
  }
}

/** Address of one of eight rows: rsi is the first, `fifth` the fifth; r8 and r9 one and three rows. */
function eighth(first: Register, fifth: Register, row: number) {
  const base = row < 4 ? first : fifth;
  const index = row % 4;
  return index === 0
    ? at(base)
    : index === 3
      ? at(base, 0, R9, 1)
      : at(base, 0, R8, index as 1 | 2);
}

function transposeFour(program: Program, first: Register, fifth: Register, nr: number): void {
  const { asm } = program;
  for (let row = 0; row < 4; row++) {
    asm.vector('vmovups', [XMM[row], eighth(first, fifth, row)]);
    asm.vector('vinsertf128', [YMM[row], YMM[row], eighth(first, fifth, row + 4)], {
      immediate: 1,
    });
  }
  asm.vector('vunpcklps', [YMM[4], YMM[0], YMM[1]]);
  asm.vector('vunpckhps', [YMM[5], YMM[0], YMM[1]]);
  asm.vector('vunpcklps', [YMM[6], YMM[2], YMM[3]]);
  asm.vector('vunpckhps', [YMM[7], YMM[2], YMM[3]]);
  [
    [4, 6, 0x44],
    [4, 6, 0xee],
    [5, 7, 0x44],
    [5, 7, 0xee],
  ].forEach(([x, y, immediate], p) => {
    asm.vector('vshufps', [YMM[8], YMM[x], YMM[y]], { immediate });
    asm.vector('vmovupsStore', [at(RDX, 4 * nr * p), YMM[8]]);
  });
}

/**
 * Copies rows at rsi (stride r8, k numbers each in rcx) to columns at rdx, one number at a time; the
 * count of rows comes from `count`, in rax, and may be 0 or less.
 */
function copyColumns(program: Program, nr: number, count: () => void): void {
  const { asm } = program;
  count();
  asm.test(RAX, RAX);
  program.unless('le', () => {
    program.repeatWhile('nz', () => {
      asm.arithmetic('xor', R10, R10);
      asm.mov(R11, RDX);
      program.repeatWhile('l', () => {
        asm.vector('vmovss', [XMM[0], at(RSI, 0, R10, 4)]);
        asm.vector('vmovssStore', [at(R11), XMM[0]]);
        asm.arithmetic('add', R11, 4 * nr);
        asm.increment(R10);
        asm.arithmetic('cmp', R10, RCX);
      });
      asm.arithmetic('add', RSI, R8);
      asm.arithmetic('add', RDX, 4);
      asm.decrement(RAX);
    });
  });
  asm.movImmediate(R10, 4 * nr);
}

/** Packs a transposed A to panels of `mr` rows, and lets `a` point to them. */
function packA(program: Program, frame: BlockFrame, mr: number): void {
  const { asm } = program;
  const end = asm.label();
  frame.argument(RAX, 'packA');
  asm.test(RAX, RAX);
  asm.jump(end, 'z');
  frame.get(RDX, 'panelsA');
  frame.get(R8, 'aInner');
  frame.get(R13, 'm');
  frame.get(R12, 'a');
  const panels = asm.label();
  const [part, next] = [asm.label(), asm.label()];
  asm.bind(panels);
  asm.mov(RSI, R12);
  frame.get(RCX, 'k');
  asm.arithmetic('cmp', R13, mr);
  asm.jump(part, 'l');
  program.repeatWhile('nz', () => {
    let offset = 0;
    for (; offset + 16 <= 4 * mr; offset += 16) {
      asm.vector('vmovups', [XMM[0], at(RSI, offset)]);
      asm.vector('vmovupsStore', [at(RDX, offset), XMM[0]]);
    }
    if (offset < 4 * mr) {
      asm.vector('vmovsd', [XMM[0], at(RSI, offset)]);
      asm.vector('vmovsdStore', [at(RDX, offset), XMM[0]]);
    }
    asm.arithmetic('add', RSI, R8);
    asm.arithmetic('add', RDX, 4 * mr);
    asm.decrement(RCX);
  });
  asm.jump(next);
  asm.bind(part);
  program.repeatWhile('nz', () => {
    asm.arithmetic('xor', R10, R10);
    program.repeatWhile('l', () => {
      asm.vector('vmovss', [XMM[0], at(RSI, 0, R10, 4)]);
      asm.vector('vmovssStore', [at(RDX, 0, R10, 4), XMM[0]]);
      asm.increment(R10);
      asm.arithmetic('cmp', R10, R13);
    });
    asm.arithmetic('add', RSI, R8);
    asm.arithmetic('add', RDX, 4 * mr);
    asm.decrement(RCX);
  });
  asm.bind(next);
  asm.arithmetic('add', R12, 4 * mr);
  asm.arithmetic('sub', R13, mr);
  asm.jump(panels, 'g');
  frame.get(RAX, 'panelsA');
  frame.set('a', RAX);
  asm.bind(end);
}
