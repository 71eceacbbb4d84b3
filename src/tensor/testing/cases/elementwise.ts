/** @file Cases: copies, sums, rows picked and put. */
import { rows as rowsOf } from '../../backend.js';
import { add, scaled } from '../../operations/elementwise.js';
import { embedding } from '../../operations/embedding.js';
import { gatherRows } from '../../operations/gather-rows.js';
import { matmul } from '../../operations/matmul.js';
import { splitColumns } from '../../operations/split-columns.js';
import { type Tape, Variable } from '../../tape.js';
import type { OperationCase } from '../problem.js';
import { taped } from '../taped.js';

/** `count` distinct integers in [0, below). */
const distinct = (count: number, below: number, shuffle: (list: number[]) => number[]): number[] =>
  shuffle(Array.from({ length: below }, (_, i) => i)).slice(0, count);

export const elementwise: OperationCase[] = [
  {
    name: 'fill',
    draw(draw) {
      const shape = [draw.rows(), draw.size(131)];
      return {
        label: `[${shape}]`,
        inputs: {},
        run: ({ backend, output, scalar }) =>
          backend.fill({ out: output('out', shape), value: scalar(-2.5) }),
      };
    },
  },
  {
    name: 'copy',
    draw(draw) {
      const shape = [draw.rows(), draw.size(131)];
      const gap = draw.gap();
      return {
        label: `[${shape}] gap ${gap}`,
        inputs: { a: draw.numbers(shape, 1, draw.gap()) },
        run: ({ backend, input, output }) =>
          backend.copy({ out: output('out', shape, { gap }), a: input('a') }),
      };
    },
  },
  {
    name: 'add',
    draw(draw) {
      const shape = [draw.rows(), draw.size(131)];
      const place = draw.random.pick(['fresh', 'a', 'b']);
      return {
        label: `[${shape}] into ${place}`,
        inputs: { a: draw.numbers(shape), b: draw.numbers(shape) },
        run({ backend, input, output }) {
          const out = output('out', shape, { initial: place === 'fresh' ? undefined : place });
          backend.add({
            out,
            a: place === 'a' ? out : input('a'),
            b: place === 'b' ? out : input('b'),
          });
        },
      };
    },
  },
  {
    name: 'scale',
    draw(draw) {
      const shape = [draw.rows(), draw.size(131)];
      const [accumulate, inPlace, gap] = [draw.flag(), draw.flag(), draw.gap()];
      const factor = draw.random.pick([1, -1, 0.3, -2.5, 0]);
      return {
        label: `[${shape}] · ${factor} += ${accumulate}, in place ${inPlace}, gap ${gap}`,
        inputs: { a: draw.numbers(shape, 1, draw.gap()), before: draw.numbers(shape) },
        run({ backend, input, output, scalar }) {
          const out = output('out', shape, {
            gap,
            initial: inPlace ? 'a' : accumulate ? 'before' : undefined,
          });
          backend.scale({ out, a: inPlace ? out : input('a'), scale: scalar(factor), accumulate });
        },
      };
    },
  },
  {
    name: 'scaleBy',
    draw(draw) {
      const shape = [draw.rows(), draw.size(131)];
      const inPlace = draw.flag();
      return {
        label: `[${shape}], in place ${inPlace}`,
        inputs: { a: draw.numbers(shape), s: draw.numbers([1]) },
        run({ backend, input, output }) {
          const out = output('out', shape, { initial: inPlace ? 'a' : undefined });
          backend.scaleBy({ out, a: inPlace ? out : input('a'), s: input('s') });
        },
      };
    },
  },
  {
    name: 'ranks.reduce with one rank',
    draw(draw) {
      const shape = [draw.rows(), draw.size(131)];
      return {
        label: `[${shape}]`,
        inputs: { a: draw.numbers(shape) },
        run: ({ backend, output }) => backend.ranks.reduce(output('out', shape, { initial: 'a' })),
      };
    },
  },
  {
    name: 'rows of a matrix as a view',
    draw(draw) {
      const [n, width] = [draw.size(), draw.size(65)];
      const from = draw.random.integer(0, n);
      const to = draw.index === 0 ? from : draw.random.integer(from, n);
      return {
        label: `rows ${from}–${to} of [${n}, ${width}]`,
        inputs: { a: draw.numbers([n, width], 1, draw.gap()), before: draw.numbers([n, width]) },
        run({ backend, input, output }) {
          const out = output('out', [n, width], { initial: 'before' });
          backend.copy({
            out: rowsOf(backend, out, from, to),
            a: rowsOf(backend, input('a'), from, to),
          });
        },
      };
    },
  },
  {
    name: 'add on the tape',
    draw(draw) {
      const shape = [draw.rows(), draw.size(65)];
      const twice = draw.flag();
      return taped(draw, {
        label: `[${shape}]${twice ? ', a to itself' : ''}`,
        variables: {
          a: draw.numbers(shape, 1, draw.gap()),
          ...(twice ? {} : { b: draw.numbers(shape, 1, draw.gap()) }),
        },
        outputShape: shape,
        build: (tape, variable) => add(tape, variable('a'), variable(twice ? 'a' : 'b')),
      });
    },
  },
  {
    name: 'scaled on the tape',
    draw(draw) {
      const shape = [draw.rows(), draw.size(65)];
      return taped(draw, {
        label: `[${shape}]`,
        variables: { a: draw.numbers(shape, 1, draw.gap()) },
        outputShape: shape,
        build: (tape, variable) => add(tape, scaled(tape, variable('a'), -1.7), variable('a')),
      });
    },
  },
  {
    name: 'embedding and its derivative',
    draw(draw) {
      const [n, vocabulary, d] = [draw.rows(65), draw.size(33), draw.size(65)];
      const accumulate = draw.flag();
      return {
        label: `${n} ids of [${vocabulary}, ${d}] += ${accumulate}`,
        inputs: {
          table: draw.numbers([vocabulary, d]),
          ids: draw.indices(n, vocabulary),
          gradient: draw.numbers([n, d]),
          before: draw.numbers([vocabulary, d]),
        },
        run({ backend, input, output }) {
          backend.embedding({
            out: output('out', [n, d]),
            table: input('table'),
            ids: input('ids'),
          });
          const dTable = output('dTable', [vocabulary, d], {
            initial: accumulate ? 'before' : undefined,
          });
          backend.embeddingBackward({
            dTable,
            dOut: input('gradient'),
            ids: input('ids'),
            accumulate,
          });
        },
      };
    },
  },
  {
    name: 'embedding from a frozen table',
    draw(draw) {
      const [n, vocabulary] = [draw.rows(65), draw.size(33)];
      const d = draw.flag() ? draw.wholeBlocks(544) : draw.size(65);
      return {
        label: `${n} ids of frozen [${vocabulary}, ${d}]`,
        inputs: { table: draw.frozen([vocabulary, d]), ids: draw.indices(n, vocabulary) },
        run({ backend, input, output }) {
          backend.embedding({
            out: output('out', [n, d]),
            table: input('table'),
            ids: input('ids'),
          });
        },
      };
    },
  },
  {
    name: 'embedding on the tape',
    draw(draw) {
      const [n, vocabulary, d] = [draw.rows(65), draw.size(33), draw.size(65)];
      return taped(draw, {
        label: `${n} ids of [${vocabulary}, ${d}]`,
        variables: { table: draw.numbers([vocabulary, d]) },
        constants: { ids: draw.indices(n, vocabulary) },
        outputShape: [n, d],
        build: (tape, variable, { input }) => embedding(tape, variable('table'), input('ids')),
      });
    },
  },
  {
    name: 'gatherRows and scatterRows',
    draw(draw) {
      const [m, d] = [draw.size(65), draw.size(65)];
      const n = Math.min(m, draw.rows(65));
      const accumulate = draw.flag();
      return {
        label: `${n} of [${m}, ${d}] += ${accumulate}`,
        inputs: {
          a: draw.numbers([m, d]),
          rows: draw.integers(distinct(n, m, (list) => draw.random.shuffle(list))),
          values: draw.numbers([n, d], 1, draw.gap()),
          before: draw.numbers([m, d]),
        },
        run({ backend, input, output }) {
          backend.gatherRows({
            out: output('gathered', [n, d]),
            a: input('a'),
            rows: input('rows'),
          });
          const out = output('scattered', [m, d], { initial: 'before' });
          backend.scatterRows({ out, a: input('values'), rows: input('rows'), accumulate });
        },
      };
    },
  },
  {
    name: 'gatherRows on the tape',
    draw(draw) {
      const [m, d] = [draw.size(65), draw.size(65)];
      const n = Math.min(m, draw.rows(65));
      const twice = draw.flag();
      return taped(draw, {
        label: `${n} of [${m}, ${d}]${twice ? ', twice' : ''}`,
        variables: { x: draw.numbers([m, d]) },
        constants: {
          rows: draw.integers(distinct(n, m, (list) => draw.random.shuffle(list))),
          others: draw.integers(distinct(n, m, (list) => draw.random.shuffle(list))),
        },
        outputShape: [n, d],
        build(tape, variable, { input }) {
          const gathered = gatherRows(tape, variable('x'), input('rows'));
          return twice
            ? add(tape, gathered, gatherRows(tape, variable('x'), input('others')))
            : gathered;
        },
      });
    },
  },
  {
    name: 'splitColumns on the tape',
    draw(draw) {
      const [n, d] = [draw.rows(33), draw.size(17)];
      // Parts a, b and one that nobody uses; in some problems x is also used as a whole, before or
      // after.
      const unused = draw.sizeOrZero(5);
      const order = draw.random.pick(['parts alone', 'x before', 'x after']);
      return taped(draw, {
        label: `[${n}, ${d} + ${d} + ${unused}], ${order}`,
        variables: { x: draw.numbers([n, 2 * d + unused]) },
        outputShape: [n, order === 'parts alone' ? d : 2 * d + unused],
        build(tape, variable) {
          const x = variable('x');
          const before = order === 'x before' ? add(tape, x, x) : null;
          const [a, , b] = splitColumns(tape, x, [d, unused, d]);
          const sum = add(tape, add(tape, a, b), a);
          if (order === 'parts alone') return sum;
          const whole = before ?? add(tape, x, x);
          const [left, right] = splitColumns(tape, whole, [d, d + unused]);
          return join(tape, add(tape, left, sum), right);
        },
      });
    },
  },
];

/**
 * [left | right]: each part times its part of the identity, so that the harness needs no operation
 * of its own.
 */
function join(tape: Tape, left: Variable, right: Variable): Variable {
  const [a, b] = [left.shape[1], right.shape[1]];
  const place = (part: Variable, from: number): Variable => {
    const size = part.shape[1];
    const identity = new Float64Array(size * (a + b));
    for (let i = 0; i < size; i++) identity[i * (a + b) + from + i] = 1;
    const tensor = tape.backend.allocate('f32', [size, a + b]);
    tape.backend.write(tensor, identity);
    return matmul(tape, part, new Variable(tensor, false));
  };
  return add(tape, place(left, 0), place(right, a));
}
