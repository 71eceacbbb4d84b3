/**
 * @file Kernels over rows: softmax of attention and its derivative, log-probabilities over the
 * vocabulary and theirs, SwiGLU and its. Logarithms, one a row, are left to the caller (log.ts).
 *
 * A row's bits depend on the row alone and on the vectors' width.
 */
import type { Frame, Program } from './program.js';
import { acrossLanes, EXP_LARGEST, exp, here, loadOr, sweep } from './vector-math.js';
import {
  at,
  low,
  R8,
  R9,
  R10,
  R11,
  R13,
  R14,
  R15,
  RAX,
  RBX,
  RCX,
  type Register,
  RSI,
  XMM,
} from './x86.js';

const UNROLL = 2;
const MASK = 15;

/** Registers of one of the sweep's vectors: x, then what `exp` wants. */
const lane = (program: Program, u: number): Register[] =>
  [0, 1, 2, 3, 4].map((n) => program.v(5 * u + n));

/**
 * The caller's loop over rows, `rows` of them: `body`, then `advance` moves pointers on. Uses r15.
 */
function eachRow(program: Program, frame: Frame<string>, body: () => void): void {
  const { asm } = program;
  frame.argument(R15, 'rows');
  asm.test(R15, R15);
  asm.jump(frame.exit, 'le');
  program.repeatWhile('nz', () => {
    body();
    asm.decrement(R15);
  });
}

/** Sets the numbers from rbx (a count) up to r14 of the row at `row` to a constant; r14 % 4 = 0. */
function fillRest(program: Program, row: Register, value: number): void {
  const { asm } = program;
  const v = XMM[10];
  asm.vector('vmovups', [v, program.constant(value)]);
  asm.mov(RAX, RBX);
  const [single, four, end] = [asm.label(), asm.label(), asm.label()];
  asm.bind(single);
  asm.mov(RCX, RAX);
  asm.arithmetic('and', RCX, 3);
  asm.jump(four, 'z');
  asm.vector('vmovssStore', [at(row, 0, RAX, 4), v]);
  asm.increment(RAX);
  asm.jump(single);
  asm.bind(four);
  asm.arithmetic('cmp', RAX, R14);
  asm.jump(end, 'ge');
  asm.vector('vmovupsStore', [at(row, 0, RAX, 4), v]);
  asm.arithmetic('add', RAX, 4);
  asm.jump(four);
  asm.bind(end);
}

/** Leaves the largest of the row at `row`, r14 numbers, in every lane of v11. */
function largestOf(program: Program, row: Register): Register {
  const { asm } = program;
  const top = program.v(11);
  const lowest = program.v(12);
  program.load(lowest, program.constant(Number.NEGATIVE_INFINITY));
  asm.vector('vmovaps', [top, lowest]);
  asm.mov(RCX, R14);
  sweep(program, 4, MASK, (u, mask) => {
    const x = program.v(u);
    loadOr(program, x, here(program, row, u), lowest, mask);
    // A NaN in the second place would be taken: it is the first.
    asm.vector('vmaxps', [top, x, top]);
  });
  acrossLanes(program, 'vmaxps', top, program.v(0));
  return top;
}

/**
 * softmax: row r of `rows` scores sees its first `seen` + r numbers; the rest of its `width` (a
 * multiple of 4) become 0. Writes the largest score where the log-sum-exp belongs, `lseStep` numbers
 * apart, and the sum of the powers to `sums`.
 */
export function defineSoftmax(program: Program): void {
  program.define(
    'softmax',
    {
      scores: 'address',
      width: 'int',
      rows: 'int',
      seen: 'int',
      lse: 'address',
      lseStep: 'int',
      sums: 'address',
    },
    (frame) => {
      const { asm } = program;
      frame.argument(RSI, 'scores');
      frame.argument(R14, 'width');
      frame.argument(RBX, 'seen');
      frame.argument(R8, 'lse');
      frame.argument(R9, 'lseStep');
      frame.argument(R10, 'sums');
      const largest = program.v(13);
      const sum = program.v(14);
      eachRow(program, frame, () => {
        fillRest(program, RSI, Number.NEGATIVE_INFINITY);
        const top = largestOf(program, RSI);
        asm.vector('vmovssStore', [at(R8), XMM[top.n]]);
        program.load(largest, program.constant(EXP_LARGEST));
        program.zero(sum);
        const lowest = program.v(12);
        asm.mov(RCX, R14);
        sweep(program, UNROLL, MASK, (u, mask) => {
          const [x, ...scratch] = lane(program, u);
          loadOr(program, x, here(program, RSI, u), lowest, mask);
          asm.vector('vsubps', [x, x, top]);
          const e = exp(program, x, scratch, largest);
          program.store(here(program, RSI, u), e, mask);
          asm.vector('vaddps', [sum, sum, e]);
        });
        acrossLanes(program, 'vaddps', sum, program.v(0));
        asm.vector('vmovssStore', [at(R10), XMM[sum.n]]);
        program.load(program.v(0), program.constant(1));
        asm.vector('vdivps', [sum, program.v(0), sum]);
        asm.mov(RCX, R14);
        sweep(program, UNROLL, MASK, (u, mask) => {
          const x = program.v(u);
          program.load(x, here(program, RSI, u), mask);
          asm.vector('vmulps', [x, x, sum]);
          program.store(here(program, RSI, u), x, mask);
        });
        asm.lea(RSI, at(RSI, 0, R14, 4));
        asm.lea(R8, at(R8, 0, R9, 4));
        asm.arithmetic('add', R10, 4);
        asm.increment(RBX);
      });
    },
  );
}

/**
 * softmaxBackward: scores become probabilities, and their derivatives those of the scores before
 * scaling, p·(dp − dOut·out)·scale; rows as in `softmax`, strides in numbers.
 */
export function defineSoftmaxBackward(program: Program): void {
  program.define(
    'softmaxBackward',
    {
      scores: 'address',
      dScores: 'address',
      width: 'int',
      rows: 'int',
      seen: 'int',
      lse: 'address',
      lseStep: 'int',
      dOut: 'address',
      dOutRow: 'int',
      out: 'address',
      outRow: 'int',
      valueDim: 'int',
      scale: 'float',
    },
    (frame) => {
      const { asm } = program;
      frame.argument(RSI, 'scores');
      frame.argument(R13, 'dScores');
      frame.argument(R14, 'width');
      frame.argument(RBX, 'seen');
      frame.argument(R8, 'lse');
      frame.argument(R9, 'lseStep');
      frame.argument(R10, 'dOut');
      frame.argument(R11, 'out');
      const [lse, delta, largest, scale, lowest] = [10, 11, 13, 14, 12].map((n) => program.v(n));
      eachRow(program, frame, () => {
        fillRest(program, RSI, Number.NEGATIVE_INFINITY);
        fillRest(program, R13, 0);
        program.zero(delta);
        frame.argument(RCX, 'valueDim');
        sweep(program, 1, MASK, (u, mask) => {
          program.load(program.v(0), here(program, R10, u), mask);
          program.load(program.v(1), here(program, R11, u), mask);
          asm.vector('vfmadd231ps', [delta, program.v(0), program.v(1)]);
        });
        acrossLanes(program, 'vaddps', delta, program.v(0));
        program.broadcast(lse, at(R8));
        program.broadcast(scale, frame.local('scale'));
        program.load(largest, program.constant(EXP_LARGEST));
        program.load(lowest, program.constant(Number.NEGATIVE_INFINITY));
        asm.mov(RCX, R14);
        sweep(program, UNROLL, MASK, (u, mask) => {
          const [x, ...scratch] = lane(program, u);
          loadOr(program, x, here(program, RSI, u), lowest, mask);
          asm.vector('vsubps', [x, x, lse]);
          const p = exp(program, x, scratch, largest);
          program.store(here(program, RSI, u), p, mask);
          program.load(x, here(program, R13, u), mask);
          asm.vector('vsubps', [x, x, delta]);
          asm.vector('vmulps', [x, p, x]);
          asm.vector('vmulps', [x, x, scale]);
          program.store(here(program, R13, u), x, mask);
        });
        asm.lea(RSI, at(RSI, 0, R14, 4));
        asm.lea(R13, at(R13, 0, R14, 4));
        asm.lea(R8, at(R8, 0, R9, 4));
        frame.argument(RAX, 'dOutRow');
        asm.lea(R10, at(R10, 0, RAX, 4));
        frame.argument(RAX, 'outRow');
        asm.lea(R11, at(R11, 0, RAX, 4));
        asm.increment(RBX);
      });
    },
  );
}

/**
 * logSums: of every row of logits the largest, Σ eˢ and Σ eˢ·s with s = logit − largest, three
 * numbers a row to `out`.
 */
export function defineLogSums(program: Program): void {
  program.define(
    'logSums',
    { logits: 'address', rows: 'int', vocabulary: 'int', out: 'address' },
    (frame) => {
      const { asm } = program;
      frame.argument(RSI, 'logits');
      frame.argument(R14, 'vocabulary');
      frame.argument(R8, 'out');
      const [sum, weighted, largest] = [10, 14, 13].map((n) => program.v(n));
      const floor = program.constant(-200);
      eachRow(program, frame, () => {
        const top = largestOf(program, RSI);
        const lowest = program.v(12);
        program.load(largest, program.constant(EXP_LARGEST));
        program.zero(sum);
        program.zero(weighted);
        asm.mov(RCX, R14);
        sweep(program, UNROLL, MASK, (u, mask) => {
          const [x, ...scratch] = lane(program, u);
          loadOr(program, x, here(program, RSI, u), lowest, mask);
          asm.vector('vsubps', [x, x, top]);
          const e = exp(program, x, scratch, largest);
          asm.vector('vaddps', [sum, sum, e]);
          // eˢ is 0 long before s·eˢ matters; the floor keeps logits of −∞ from giving −∞ · 0.
          asm.vector('vmaxps', [x, x, floor]);
          asm.vector('vfmadd231ps', [weighted, e, x]);
        });
        asm.vector('vmovssStore', [at(R8), XMM[top.n]]);
        acrossLanes(program, 'vaddps', sum, program.v(0));
        asm.vector('vmovssStore', [at(R8, 4), XMM[sum.n]]);
        acrossLanes(program, 'vaddps', weighted, program.v(0));
        asm.vector('vmovssStore', [at(R8, 8), XMM[weighted.n]]);
        asm.lea(RSI, at(RSI, 0, R14, 4));
        asm.arithmetic('add', R8, 12);
      });
    },
  );
}

/** In place: logits become dLogProbability · (1[v = target] − softmax) · scale. */
export function defineLogSumsBackward(program: Program): void {
  program.define(
    'logSumsBackward',
    {
      logits: 'address',
      dLogProbabilities: 'address',
      logSumExp: 'address',
      targets: 'address',
      rows: 'int',
      vocabulary: 'int',
      scale: 'float',
    },
    (frame) => {
      const { asm } = program;
      frame.argument(RSI, 'logits');
      frame.argument(R14, 'vocabulary');
      frame.argument(R8, 'dLogProbabilities');
      frame.argument(R9, 'logSumExp');
      frame.argument(R10, 'targets');
      const [d, lse, largest, minus, lowest] = [10, 11, 13, 14, 12].map((n) => program.v(n));
      eachRow(program, frame, () => {
        program.broadcast(d, at(R8));
        program.broadcast(lse, frame.local('scale'));
        asm.vector('vmulps', [d, d, lse]);
        program.broadcast(lse, at(R9));
        program.zero(minus);
        asm.vector('vsubps', [minus, minus, d]);
        program.load(largest, program.constant(EXP_LARGEST));
        program.load(lowest, program.constant(Number.NEGATIVE_INFINITY));
        const [zeros, next] = [asm.label(), asm.label()];
        // Of a row without a derivative (a prompt's) nothing is computed.
        asm.mov(low(R11), at(R8));
        asm.shift('shl', R11, 33);
        asm.test(R11, R11);
        asm.mov(RCX, R14);
        asm.jump(zeros, 'z');
        sweep(program, UNROLL, MASK, (u, mask) => {
          const [x, ...scratch] = lane(program, u);
          loadOr(program, x, here(program, RSI, u), lowest, mask);
          asm.vector('vsubps', [x, x, lse]);
          const e = exp(program, x, scratch, largest);
          asm.vector('vmulps', [e, e, minus]);
          program.store(here(program, RSI, u), e, mask);
        });
        asm.movsxd(RAX, at(R10));
        asm.vector('vaddss', [XMM[d.n], XMM[d.n], at(RSI, 0, RAX, 4)]);
        asm.vector('vmovssStore', [at(RSI, 0, RAX, 4), XMM[d.n]]);
        asm.jump(next);
        asm.bind(zeros);
        program.zero(program.v(0));
        sweep(program, UNROLL, MASK, (u, mask) =>
          program.store(here(program, RSI, u), program.v(0), mask),
        );
        asm.bind(next);
        asm.lea(RSI, at(RSI, 0, R14, 4));
        for (const pointer of [R8, R9, R10]) asm.arithmetic('add', pointer, 4);
      });
    },
  );
}

/** out [rows, columns] = silu(gate)·up of gateUp [rows, 2·columns]. */
export function defineSwiglu(program: Program): void {
  program.define(
    'swiglu',
    { out: 'address', gateUp: 'address', rows: 'int', columns: 'int' },
    (frame) => {
      const { asm } = program;
      frame.argument(R8, 'out');
      frame.argument(RSI, 'gateUp');
      frame.argument(R14, 'columns');
      asm.lea(R9, at(RSI, 0, R14, 4));
      const [largest, one, zero] = [13, 14, 12].map((n) => program.v(n));
      program.load(largest, program.constant(EXP_LARGEST));
      program.load(one, program.constant(1));
      program.zero(zero);
      eachRow(program, frame, () => {
        asm.mov(RCX, R14);
        sweep(program, UNROLL, MASK, (u, mask) => {
          const [x, ...scratch] = lane(program, u);
          const gu = program.v(10 + u);
          program.load(x, here(program, RSI, u), mask);
          program.load(gu, here(program, R9, u), mask);
          asm.vector('vmulps', [gu, x, gu]);
          asm.vector('vsubps', [x, zero, x]);
          const e = exp(program, x, scratch, largest);
          asm.vector('vaddps', [e, e, one]);
          asm.vector('vdivps', [gu, gu, e]);
          program.store(here(program, R8, u), gu, mask);
        });
        asm.lea(R8, at(R8, 0, R14, 4));
        asm.lea(RSI, at(RSI, 0, R14, 8));
        asm.lea(R9, at(R9, 0, R14, 8));
      });
    },
  );
}

/** dGateUp = (or +=) dy·up·σ(g)·(1 + g·(1 − σ(g))) and dy·silu(g). */
export function defineSwigluBackward(program: Program): void {
  program.define(
    'swigluBackward',
    {
      dGateUp: 'address',
      dOut: 'address',
      gateUp: 'address',
      rows: 'int',
      columns: 'int',
      accumulate: 'int',
    },
    (frame) => {
      const { asm } = program;
      frame.argument(R8, 'dGateUp');
      frame.argument(R10, 'dOut');
      frame.argument(RSI, 'gateUp');
      frame.argument(R14, 'columns');
      frame.argument(R13, 'accumulate');
      asm.lea(R9, at(RSI, 0, R14, 4));
      asm.lea(R11, at(R8, 0, R14, 4));
      const [largest, one, zero] = [13, 14, 12].map((n) => program.v(n));
      program.load(largest, program.constant(EXP_LARGEST));
      program.load(one, program.constant(1));
      program.zero(zero);
      eachRow(program, frame, () => {
        for (const accumulate of [false, true]) {
          asm.test(R13, R13);
          program.unless(accumulate ? 'z' : 'nz', () => {
            asm.mov(RCX, R14);
            sweep(program, UNROLL, MASK, (u, mask) => {
              const [x, a, p, b, c] = lane(program, u);
              const g = program.v(10 + u);
              program.load(g, here(program, RSI, u), mask);
              asm.vector('vsubps', [x, zero, g]);
              exp(program, x, [a, p, b, c], largest);
              asm.vector('vaddps', [p, p, one]);
              // s = σ(g), gs = g·s
              asm.vector('vdivps', [p, one, p]);
              asm.vector('vmulps', [g, g, p]);
              program.load(a, here(program, R10, u), mask);
              asm.vector('vmulps', [x, a, g]);
              program.load(b, here(program, R9, u), mask);
              asm.vector('vmulps', [a, a, b]);
              asm.vector('vsubps', [c, one, p]);
              asm.vector('vmulps', [c, g, c]);
              asm.vector('vaddps', [c, p, c]);
              asm.vector('vmulps', [a, a, c]);
              if (accumulate) {
                program.load(b, here(program, R8, u), mask);
                asm.vector('vaddps', [a, a, b]);
                program.load(b, here(program, R11, u), mask);
                asm.vector('vaddps', [x, x, b]);
              }
              program.store(here(program, R8, u), a, mask);
              program.store(here(program, R11, u), x, mask);
            });
          });
        }
        asm.lea(R10, at(R10, 0, R14, 4));
        for (const pointer of [RSI, R9, R8, R11]) asm.lea(pointer, at(pointer, 0, R14, 8));
      });
    },
  );
}
