/** @file Cases: norms and optimizers. */
import type { OperationCase } from '../problem.js';

export const optimizers: OperationCase[] = [
  {
    name: 'sumSquares, clipScale, inverseNorm',
    draw(draw) {
      const [n, accumulate] = [draw.rows(513) * draw.size(33), draw.flag()];
      const maxNorm = draw.random.pick([0.5, 1e6, Number.POSITIVE_INFINITY]);
      return {
        label: `${n} numbers += ${accumulate}, at most ${maxNorm}`,
        inputs: { x: draw.numbers([n]), before: draw.from([1], () => 3 * draw.random.uniform()) },
        run({ backend, input, output }) {
          const sum = output('sum', [1], { initial: accumulate ? 'before' : undefined });
          backend.sumSquares({ out: sum, x: input('x'), accumulate });
          const sums = backend.allocate('f32', [2]);
          backend.copy({ out: backend.view(sums, 0, [1]), a: sum });
          backend.copy({ out: backend.view(sums, 1, [1]), a: input('before') });
          backend.clipScale({ out: output('clip', [1]), sumSquares: sums, maxNorm });
          backend.inverseNorm({ out: output('inverse', [1]), sumSquares: sum, epsilon: 0.1 });
        },
      };
    },
  },
  {
    name: 'adamw',
    draw(draw) {
      const shape = [draw.rows(33), draw.size(65)];
      const step = draw.random.integer(1, 40);
      const weightDecay = draw.random.pick([0, 0.1]);
      return {
        label: `[${shape}] step ${step}, decay ${weightDecay}`,
        inputs: {
          parameter: draw.numbers(shape),
          first: draw.numbers(shape, 0.1),
          second: draw.from(shape, () => draw.random.normal() ** 2),
          gradient: draw.numbers(shape),
          scale: draw.from([1], () => draw.random.uniform()),
        },
        run({ backend, input, output }) {
          const parameter = output('parameter', shape, { initial: 'parameter' });
          const first = output('first', shape, { initial: 'first' });
          const second = output('second', shape, { initial: 'second' });
          const options = { lr: 0.05, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, weightDecay, step };
          backend.adamw({
            parameter,
            firstMoment: first,
            secondMoment: second,
            gradient: input('gradient'),
            gradientScale: input('scale'),
            ...options,
          });
        },
      };
    },
  },
  {
    name: 'muon',
    draw(draw) {
      const stack = draw.flag() ? [] : [draw.rows(3)];
      const shape = [...stack, draw.rows(65), draw.size(65)];
      const nesterov = draw.flag();
      return {
        label: `[${shape}] nesterov ${nesterov}`,
        inputs: {
          parameter: draw.numbers(shape, 0.1),
          momentum: draw.numbers(shape),
          gradient: draw.numbers(shape),
          gradientScale: draw.from([1], () => draw.random.uniform()),
        },
        run({ backend, input, output }) {
          const parameter = output('parameter', shape, { initial: 'parameter' });
          const momentum = output('momentum', shape, { initial: 'momentum' });
          const options = { lr: 0.02, beta: 0.95, weightDecay: 0.1, nesterov };
          backend.muon({
            parameter,
            momentum,
            gradient: input('gradient'),
            gradientScale: input('gradientScale'),
            ...options,
          });
        },
      };
    },
  },
];
