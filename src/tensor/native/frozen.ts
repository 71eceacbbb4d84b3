/**
 * @file Products with the blocks of a frozen matrix, in machine code: one or two rows by dot
 * products along the blocks, which become float32 in registers; for more rows, and for looking rows
 * up, blocks are expanded to memory.
 *
 * Sums go in the order of `dots`: lane by lane, a vector after the other.
 */
import type { Form } from '../forms.js';
import { type BlockCode, type BlockPlace, blockCode } from './block-code.js';
import { DOT_PARAMETERS, storeDots } from './dots.js';
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
} from './x86.js';

/** Rows of A that share what a block became. */
const ROWS = 2;
/** Rows of the matrix at a time, so that their sums do not wait for each other. */
const COLUMNS = 4;
/** Bytes of a line of the caches. */
const LINE = 64;
/** Floats of the table of a block. */
const TABLE = 16;

const PARAMETERS = { ...DOT_PARAMETERS, b: 'pointer', bRow: 'int' } as const;
type DotsFrame = Frame<keyof typeof PARAMETERS>;

/**
 * `dots`: C[m, n] = alpha·A·Bᵀ (+ C), B in blocks anywhere in the process, `bRow` bytes from row to
 * row; k is whole blocks, at least one.
 */
export function defineBlockDots(program: Program, form: Form): void {
  program.define('dots', PARAMETERS, (frame) => {
    const { asm } = program;
    const code = blockCode(program, form);
    const table = reserveTables(frame);
    for (const name of ['a', 'b', 'c', 'm', 'n', 'k', 'bRow'] as const) frame.widen(RAX, name);
    for (const name of ['aRow', 'cRow'] as const) frame.widen(RAX, name, 4);
    frame.get(R8, 'bRow');
    asm.lea(R9, at(R8, 0, R8, 2));
    frame.get(R10, 'aRow');
    frame.get(R11, 'cRow');
    frame.get(R14, 'b');
    frame.get(R15, 'c');
    for (const step of [COLUMNS, 1]) {
      const [next, again] = [asm.label(), asm.label()];
      asm.bind(again);
      frame.get(RAX, 'n');
      asm.arithmetic('sub', RAX, step);
      asm.jump(next, 'l');
      frame.set('n', RAX);
      const tileOf = (count: number): Label =>
        frame.routine(() => tile(program, frame, code, table, count, step));
      rows(program, frame, tileOf);
      asm.imul(RAX, R8, step);
      asm.arithmetic('add', R14, RAX);
      asm.arithmetic('add', R15, 4 * step);
      asm.jump(again);
      asm.bind(next);
    }
  });
}

/** All rows of A against some rows of B; r12 becomes A's row, r13 the rows left, rbx C's. */
function rows(program: Program, frame: DotsFrame, tileOf: (count: number) => Label): void {
  const { asm } = program;
  frame.get(R12, 'a');
  asm.mov(RBX, R15);
  frame.get(R13, 'm');
  for (let count = ROWS; count > 0; count--) {
    const [again, next] = [asm.label(), asm.label()];
    asm.bind(again);
    asm.arithmetic('cmp', R13, count);
    asm.jump(next, 'l');
    asm.call(tileOf(count));
    asm.imul(RAX, R10, count);
    asm.arithmetic('add', R12, RAX);
    asm.arithmetic('sub', R13, count);
    asm.jump(again);
    asm.bind(next);
  }
}

/** Room for a table of each of the rows of B that are read at once. */
function reserveTables(frame: Frame<string>): (column: number, index: number) => Memory {
  const slots = Array.from({ length: (COLUMNS * TABLE) / 2 }, (_, n) => frame.local(`table ${n}`));
  return (column, index) => ({
    ...slots[0],
    displacement: slots[0].displacement + 4 * (TABLE * column + index),
  });
}

/** The registers of a place, behind `first` others. */
function registersFrom(program: Program, first: number) {
  const v = (n: number): Register => program.v(first + n);
  const bytes = [4, 5, 6, 7].map(v);
  return { value: v(0), scale: v(1), minimum: v(2), spare: v(3), bytes };
}

/**
 * One tile: r12 A, r14 B, rbx C, which moves on; r8 and r9 once and three times B's row, r10 A's,
 * r11 C's.
 */
function tile(
  program: Program,
  frame: DotsFrame,
  code: BlockCode,
  table: (column: number, index: number) => Memory,
  count: number,
  columns: number,
): void {
  const { asm, target } = program;
  const sums = count * columns;
  const sum = (i: number, j: number): Register => program.v(i * columns + j);
  const registers = registersFrom(program, sums);
  for (let n = 0; n < sums; n++) program.zero(program.v(n));
  asm.mov(RSI, R12);
  asm.mov(RCX, R14);
  // Rows are short and pages end processors' own prefetching: the next rows are asked for early.
  const prefetches = columns === COLUMNS;
  if (prefetches) asm.lea(RDX, at(R14, 0, R8, COLUMNS));
  const b = (j: number, offset: number, base = RCX): Memory => {
    if (j === 0) return at(base, offset);
    return j === 3 ? at(base, offset, R9, 1) : at(base, offset, R8, j as 1 | 2);
  };
  const a = (i: number, number: number): Memory =>
    i === 0 ? at(RSI, 4 * number) : at(RSI, 4 * number, R10, i as 1);
  const places = Array.from(
    { length: columns },
    (_, j): BlockPlace => ({
      program,
      at: (offset) => b(j, offset),
      table: (index) => table(j, index),
      ...registers,
    }),
  );
  frame.get(RBP, 'k');
  program.repeatWhile('g', () => {
    for (let line = 0; prefetches && line < code.bytes; line += LINE)
      for (let j = 0; j < columns; j++) asm.prefetch(b(j, line, RDX));
    if (code.open) for (const place of places) code.open(place);
    for (let group = 0; group < code.numbers / code.group; group++)
      places.forEach((place, j) => {
        code.scales?.(place, group);
        for (let from = 0; from < code.group; from += target.width) {
          code.vector(place, group, from);
          for (let i = 0; i < count; i++)
            asm.vector('vfmadd231ps', [
              sum(i, j),
              registers.value,
              a(i, group * code.group + from),
            ]);
        }
      });
    asm.arithmetic('add', RSI, 4 * code.numbers);
    asm.arithmetic('add', RCX, code.bytes);
    if (prefetches) asm.arithmetic('add', RDX, code.bytes);
    asm.arithmetic('sub', RBP, code.numbers);
  });
  storeDots(program, frame, count, columns, sum);
}

/** `expand`: `blocks` (at least 1) blocks anywhere in the process to float32 in the memory. */
export function defineExpand(program: Program, form: Form): void {
  const parameters = { out: 'address', blocks: 'int', from: 'pointer' } as const;
  program.define('expand', parameters, (frame) => {
    const { asm, target } = program;
    const code = blockCode(program, form);
    const table = reserveTables(frame);
    const registers = registersFrom(program, 0);
    const place: BlockPlace = {
      program,
      at: (offset) => at(RCX, offset),
      table: (index) => table(0, index),
      ...registers,
    };
    frame.argument(RSI, 'out');
    frame.argument(RCX, 'from');
    frame.argument(RBP, 'blocks');
    program.repeatWhile('nz', () => {
      code.open?.(place);
      for (let group = 0; group < code.numbers / code.group; group++) {
        code.scales?.(place, group);
        for (let from = 0; from < code.group; from += target.width) {
          code.vector(place, group, from);
          program.store(at(RSI, 4 * (group * code.group + from)), registers.value);
        }
      }
      asm.arithmetic('add', RSI, 4 * code.numbers);
      asm.arithmetic('add', RCX, code.bytes);
      asm.decrement(RBP);
    });
  });
}
