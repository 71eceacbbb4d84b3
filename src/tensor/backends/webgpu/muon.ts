/**
 * @file Muon on stacks of matrices: see operations/muon.ts, which says the same in the contract's
 * own operations.
 */
import { MUON_EPSILON, NEWTON_SCHULZ } from '../../operations/muon.js';
import { type Context, lanesFor, type On, pointwise, THREADS, type With } from './context.js';
import { reductions } from './kernel.js';
import { stackProduct } from './products.js';
import type { GpuTensor } from './tensor.js';

/** All stacks are [G, rows, columns], contiguous. */
export function muon(
  context: Context,
  { parameter, momentum, gradient, gradientScale }: On<'muon'>,
  { G: count, rows, columns, lr, beta, weightDecay, nesterov, iterations }: With<'muon'>,
): void {
  const size = rows * columns;
  if (count * size === 0) return;
  const tall = rows > columns;
  const side = Math.min(rows, columns);
  const [a, b, c] = NEWTON_SCHULZ;
  context.withScratch(count * (2 * size + 2 * side * side + 1), (scratch) => {
    let used = 0;
    const part = (shape: readonly number[]): GpuTensor => {
      const t = scratch.part(used, shape);
      used += t.size;
      return t;
    };
    let [current, next] = [0, 1].map(() => part([count, rows, columns]));
    const [gram, polynomial] = [0, 1].map(() => part([count, side, side]));
    const inverse = part([count]);

    pointwise(context, {
      name: `muon, momentum ${nesterov}`,
      rows: 1,
      columns: count * size,
      matrices: { x: current, momentum, gradient },
      scalars: { scale: gradientScale },
      parameters: { beta: { type: 'f32', value: beta } },
      body: ({ ld, st }) => `  let g = ld_scale(0u) * ${ld}_gradient(at_gradient);
  let m = $beta * ${ld}_momentum(at_momentum) + g;
  ${st}_momentum(at_momentum, m);
  ${st}_x(at_x, ${nesterov ? 'g + $beta * m' : 'm'});`,
    });
    const { plain } = context.features;
    const lanes = plain ? lanesFor(size, context.features) : THREADS;
    context.runner.run(
      `muon, norms ${lanes}`,
      () => ({
        operands: ['inverse', 'x'],
        parameters: { count: 'u32', size: 'u32' },
        threads: THREADS,
        declarations: reductions(lanes, THREADS, context.features.subgroup),
        body: `  let matrix = group * ${THREADS / lanes}u + tid / ${lanes}u;
  let inside = matrix < $count;
  let end = select(0u, $size, inside);
  var squares = 0.0;
  for (var i = tid % ${lanes}u; i < end; i += ${lanes}u) { let v = ld_x(matrix * $size + i); squares += v * v; }
  let total = sum(squares, tid);
  if (inside && tid % ${lanes}u == 0u) { st_inverse(matrix, 1.0 / (sqrt(total) + ${MUON_EPSILON})); }`,
      }),
      { inverse, x: current },
      { count, size },
      Math.ceil(count / (THREADS / lanes)),
    );
    pointwise(context, {
      name: 'muon, normalise',
      rows: count,
      columns: size,
      matrices: { x: current.part(0, [count, size]) },
      others: { inverse },
      body: () => '  st_x(at_x, ld_x(at_x) * ld_inverse(row));',
    });
    for (let i = 0; i < iterations; i++) {
      stackProduct(
        context,
        gram,
        current,
        current,
        tall ? { transposeA: true } : { transposeB: true },
      );
      stackProduct(context, polynomial, gram, gram, { alpha: c, more: gram, beta: b });
      const [left, right] = tall ? [current, polynomial] : [polynomial, current];
      stackProduct(context, next, left, right, { more: current, beta: a });
      [current, next] = [next, current];
    }
    pointwise(context, {
      name: 'muon, update',
      rows: 1,
      columns: count * size,
      matrices: { parameter, x: current },
      parameters: {
        keep: { type: 'f32', value: 1 - lr * weightDecay },
        factor: { type: 'f32', value: -lr * Math.sqrt(Math.max(1, rows / columns)) },
      },
      body: ({ ld, st }) =>
        `  ${st}_parameter(at_parameter, $keep * ${ld}_parameter(at_parameter) + $factor * ${ld}_x(at_x));`,
    });
  });
}
