/** @file Cases: matrix products, alone and on the tape. */
import { groupedMatmul } from '../../operations/grouped-matmul.js';
import { linear } from '../../operations/linear.js';
import { batchedMatmul, matmul } from '../../operations/matmul.js';
import type { Draw, OperationCase, Problem } from '../problem.js';
import { taped } from '../taped.js';

/**
 * A product of drawn layout. With `frozen` b is a frozen matrix, whose rows are whole blocks more
 * often than not.
 */
function product(draw: Draw, m: number, n: number, k: number, frozen = false): Problem {
  const transposeA = draw.flag();
  const transposeB = draw.flag();
  if (frozen && draw.random.chance(0.8)) {
    if (transposeB) k = draw.wholeBlocks(544);
    else n = draw.wholeBlocks(272);
  }
  const accumulate = draw.flag();
  const alpha = draw.random.pick([1, 1, -0.5, 2.25]);
  const gap = draw.gap();
  const shapeB: [number, number] = transposeB ? [n, k] : [k, n];
  return {
    label: `[${m}, ${n}] inner ${k}, ${transposeA ? 'A' : 'a'}${transposeB ? 'B' : 'b'} α=${alpha} += ${accumulate}, gap ${gap}`,
    inputs: {
      a: draw.numbers(transposeA ? [k, m] : [m, k], 1, draw.gap()),
      b: frozen ? draw.frozen(shapeB) : draw.numbers(shapeB, 1, draw.gap()),
      before: draw.numbers([m, n]),
    },
    run({ backend, input, output, scalar }) {
      const out = output('out', [m, n], { gap, initial: accumulate ? 'before' : undefined });
      backend.matmul({
        out,
        a: input('a'),
        b: input('b'),
        transposeA,
        transposeB,
        accumulate,
        alpha: scalar(alpha),
      });
    },
  };
}

export const products: OperationCase[] = [
  {
    name: 'matmul',
    draw: (draw) => product(draw, draw.rows(131), draw.size(131), draw.sizeOrZero(300)),
  },
  {
    name: 'matmul, few rows (decoding)',
    draw: (draw) => product(draw, draw.rows(8), draw.size(513), draw.size(300)),
  },
  {
    name: 'matmul, frozen',
    draw: (draw) => product(draw, draw.rows(65), draw.size(131), draw.size(300), true),
  },
  {
    name: 'matmul, frozen, one row and few (decoding)',
    draw(draw) {
      const [m, n, k] = [draw.rows(4), draw.size(131), draw.wholeBlocks(544)];
      const [gap, outGap] = [draw.gap(), draw.gap()];
      const accumulate = draw.flag();
      return {
        label: `[${m}, ${k}] · frozen [${n}, ${k}]ᵀ, gaps ${gap} ${outGap}, += ${accumulate}`,
        inputs: {
          a: draw.numbers([m, k], 1, gap),
          b: draw.frozen([n, k]),
          before: draw.numbers([m, n]),
        },
        run({ backend, input, output, scalar }) {
          const out = output('out', [m, n], {
            gap: outGap,
            initial: accumulate ? 'before' : undefined,
          });
          const [a, b, alpha] = [input('a'), input('b'), scalar(0.75)];
          backend.matmul({ out, a, b, transposeB: true, accumulate, alpha });
        },
      };
    },
  },
  {
    name: 'batchedMatmul',
    draw(draw) {
      const [batch, m, n, k] = [draw.rows(5), draw.size(), draw.size(), draw.sizeOrZero(65)];
      const [transposeA, transposeB, accumulate] = [draw.flag(), draw.flag(), draw.flag()];
      return {
        label: `${batch} × [${m}, ${n}] inner ${k}, ${transposeA ? 'A' : 'a'}${transposeB ? 'B' : 'b'} += ${accumulate}`,
        inputs: {
          a: draw.numbers(transposeA ? [batch, k, m] : [batch, m, k]),
          b: draw.numbers(transposeB ? [batch, n, k] : [batch, k, n]),
          before: draw.numbers([batch, m, n]),
        },
        run({ backend, input, output, scalar }) {
          const out = output('out', [batch, m, n], { initial: accumulate ? 'before' : undefined });
          const alpha = scalar(-1.5);
          backend.batchedMatmul({
            out,
            a: input('a'),
            b: input('b'),
            transposeA,
            transposeB,
            accumulate,
            alpha,
          });
        },
      };
    },
  },
  {
    name: 'groupedMatmul',
    draw(draw) {
      const [n, groups, m, k] = [draw.rows(131), draw.size(6), draw.size(65), draw.size(65)];
      const kind = draw.random.pick(['forward', 'input', 'weight'] as const);
      const accumulate = draw.flag();
      const shapes = {
        forward: { a: [n, k], b: [groups, m, k], out: [n, m] },
        input: { a: [n, m], b: [groups, m, k], out: [n, k] },
        weight: { a: [n, m], b: [n, k], out: [groups, m, k] },
      }[kind];
      return {
        label: `${kind}, ${n} rows in ${groups} groups of [${m}, ${k}] += ${accumulate}`,
        inputs: {
          a: draw.numbers(shapes.a),
          b: draw.numbers(shapes.b),
          before: draw.numbers(shapes.out),
          offsets: draw.offsets(n, groups),
        },
        run({ backend, input, output }) {
          const out = output('out', shapes.out, { initial: accumulate ? 'before' : undefined });
          backend.groupedMatmul({
            out,
            a: input('a'),
            b: input('b'),
            offsets: input('offsets'),
            kind,
            accumulate,
          });
        },
      };
    },
  },
  {
    name: 'linear on the tape',
    draw(draw) {
      const [n, m] = [draw.rows(65), draw.size(65)];
      const [withResidual, withBias] = [draw.flag(), draw.flag()];
      // The residual is sometimes x itself, whose gradient then has two writers.
      const residualIsX = withResidual && draw.flag();
      const k = residualIsX ? m : draw.size(65);
      return taped(draw, {
        label: `[${n}, ${k}] → ${m}${withResidual ? ' + residual' : ''}${residualIsX ? ' x' : ''}${withBias ? ' + bias' : ''}`,
        variables: {
          x: draw.numbers([n, k], 1, residualIsX ? 0 : draw.gap()),
          weight: draw.numbers([m, k]),
          ...(withResidual && !residualIsX ? { residual: draw.numbers([n, m]) } : {}),
          ...(withBias ? { bias: draw.numbers([m]) } : {}),
        },
        outputShape: [n, m],
        build: (tape, variable) =>
          linear(tape, variable('x'), variable('weight'), {
            residual: withResidual ? variable(residualIsX ? 'x' : 'residual') : undefined,
            bias: withBias ? variable('bias') : undefined,
          }),
      });
    },
  },
  {
    name: 'linear with a frozen weight, on the tape',
    draw(draw) {
      const [n, m, k] = [draw.rows(65), draw.size(65), draw.wholeBlocks(272)];
      return taped(draw, {
        label: `[${n}, ${k}] → ${m}`,
        variables: { x: draw.numbers([n, k]) },
        constants: { weight: draw.frozen([m, k]) },
        outputShape: [n, m],
        build: (tape, variable, { input }) => linear(tape, variable('x'), input('weight')),
      });
    },
  },
  {
    name: 'linear with an adapter, on the tape',
    draw(draw) {
      const frozen = draw.flag();
      const k = frozen ? draw.wholeBlocks(65) : draw.size(65);
      const [n, rank] = [draw.rows(65), draw.size(8)];
      const parts = [draw.size(33), draw.size(33), draw.size(33)];
      const m = parts[0] + parts[1] + parts[2];
      // Some of the parts have an adapter, at least one.
      const adapted = [0, 1, 2].filter((i) => i === 0 || draw.flag());
      const withResidual = draw.flag();
      const scale = draw.random.pick([1, 2, 0.5]);
      const starts = [0, parts[0], parts[0] + parts[1]];
      return taped(draw, {
        label: `[${n}, ${k}] → ${parts}, rank ${rank} on ${adapted}${frozen ? ', frozen' : ''}${withResidual ? ' + residual' : ''}`,
        variables: {
          x: draw.numbers([n, k], 1, draw.gap()),
          down: draw.numbers([adapted.length * rank, k]),
          ...Object.fromEntries(adapted.map((i) => [`up${i}`, draw.numbers([parts[i], rank])])),
          ...(frozen ? {} : { weight: draw.numbers([m, k]) }),
          ...(withResidual ? { residual: draw.numbers([n, m]) } : {}),
        },
        constants: frozen ? { weight: draw.frozen([m, k]) } : {},
        outputShape: [n, m],
        build: (tape, variable, { input, scalar }) =>
          linear(tape, variable('x'), frozen ? input('weight') : variable('weight'), {
            residual: withResidual ? variable('residual') : undefined,
            adapter: {
              down: variable('down'),
              ups: adapted.map((i) => ({ up: variable(`up${i}`), column: starts[i] })),
              scale: scalar(scale),
            },
          }),
      });
    },
  },
  {
    name: 'matmul on the tape',
    draw(draw) {
      const [m, n, k] = [draw.rows(33), draw.size(33), draw.size(33)];
      const [transposeA, transposeB] = [draw.flag(), draw.flag()];
      return taped(draw, {
        label: `[${m}, ${n}] inner ${k}, ${transposeA ? 'A' : 'a'}${transposeB ? 'B' : 'b'}`,
        variables: {
          a: draw.numbers(transposeA ? [k, m] : [m, k]),
          b: draw.numbers(transposeB ? [n, k] : [k, n]),
        },
        outputShape: [m, n],
        build: (tape, variable) =>
          matmul(tape, variable('a'), variable('b'), { transposeA, transposeB }),
      });
    },
  },
  {
    name: 'matmul of a matrix with itself, on the tape',
    draw(draw) {
      const [m, k] = [draw.rows(17), draw.size(33)];
      return taped(draw, {
        label: `[${m}, ${k}] · its transpose`,
        variables: { a: draw.numbers([m, k]) },
        outputShape: [m, m],
        build: (tape, variable) => matmul(tape, variable('a'), variable('a'), { transposeB: true }),
      });
    },
  },
  {
    name: 'batchedMatmul on the tape',
    draw(draw) {
      const [batch, m, n, k] = [draw.rows(4), draw.size(17), draw.size(17), draw.size(17)];
      const [transposeA, transposeB] = [draw.flag(), draw.flag()];
      return taped(draw, {
        label: `${batch} × [${m}, ${n}] inner ${k}, ${transposeA ? 'A' : 'a'}${transposeB ? 'B' : 'b'}`,
        variables: {
          a: draw.numbers(transposeA ? [batch, k, m] : [batch, m, k]),
          b: draw.numbers(transposeB ? [batch, n, k] : [batch, k, n]),
        },
        outputShape: [batch, m, n],
        build: (tape, variable) =>
          batchedMatmul(tape, variable('a'), variable('b'), { transposeA, transposeB }),
      });
    },
  },
  {
    name: 'groupedMatmul on the tape',
    draw(draw) {
      const [n, groups, m, k] = [draw.rows(33), draw.size(5), draw.size(17), draw.size(17)];
      return taped(draw, {
        label: `${n} rows in ${groups} groups of [${m}, ${k}]`,
        variables: { x: draw.numbers([n, k]), weights: draw.numbers([groups, m, k]) },
        constants: { offsets: draw.offsets(n, groups) },
        outputShape: [n, m],
        build: (tape, variable, { input }) =>
          groupedMatmul(tape, variable('x'), variable('weights'), input('offsets')),
      });
    },
  },
];
