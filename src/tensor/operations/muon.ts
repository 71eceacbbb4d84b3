/**
 * @file Muon (Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks").
 *
 * The momentum of a weight matrix is replaced by the nearest semi-orthogonal matrix, so that every
 * direction of the update has the same size. A quintic Newton–Schulz iteration X ← aX + (bA +
 * cA²)X, A = XXᵀ, drives all singular values to about 1 (0.7–1.2: the coefficients trade accuracy
 * for speed) with matrix products alone. On a matrix with more rows than columns it runs on the
 * transpose, which here means multiplying from the other side: nothing is moved.
 *
 * Made of the contract's other operations, as here, it is some thirty calls a matrix, which a
 * processor does not mind. A backend for which a call is dear has its own. Neither waits for the
 * device: the norm that scales X stays there.
 */
import type { Backend, MuonOptions, Tensor } from '../backend.js';
import { sizeOf } from '../backend.js';
import { demand } from './reference-kernel.js';

/** Coefficients of X, AX and A²X. */
export const NEWTON_SCHULZ = [3.4445, -4.775, 2.0315] as const;
/** Added to the norm that the momentum is divided by. */
export const MUON_EPSILON = 1e-7;

/**
 * One update, with the contract's other operations. Scratch of five matrices at most is taken from
 * the top of the stack and given back.
 */
export function composeMuon(
  backend: Backend,
  parameter: Tensor,
  momentum: Tensor,
  gradient: Tensor,
  gradientScale: Tensor,
  options: MuonOptions,
): void {
  const { lr, beta, weightDecay, nesterov = true, iterations = 5 } = options;
  demand(parameter.shape.length >= 2, `muon: [${parameter.shape}] is no matrix; use AdamW`);
  const [rows, columns] = parameter.shape.slice(-2);
  const size = rows * columns;
  for (let offset = 0; offset < sizeOf(parameter); offset += size) {
    const matrix = (tensor: Tensor): Tensor => backend.view(tensor, offset, [rows, columns]);
    const mark = backend.mark();
    const g = backend.allocate('f32', [rows, columns]);
    backend.scaleBy(g, matrix(gradient), gradientScale);
    backend.scale(matrix(momentum), matrix(momentum), beta, false);
    backend.scale(matrix(momentum), g, 1, true);
    if (nesterov) backend.scale(g, matrix(momentum), beta, true);
    else backend.copy(g, matrix(momentum));

    const update = orthogonalize(backend, g, iterations);
    backend.scale(matrix(parameter), matrix(parameter), 1 - lr * weightDecay, false);
    backend.scale(matrix(parameter), update, -lr * Math.sqrt(Math.max(1, rows / columns)), true);
    backend.release(mark);
  }
}

/**
 * The nearest semi-orthogonal matrix to x [rows, columns], roughly. Overwrites x; the result is x
 * or scratch.
 */
function orthogonalize(backend: Backend, x: Tensor, iterations: number): Tensor {
  const [rows, columns] = x.shape;
  const tall = rows > columns;
  const side = Math.min(rows, columns);
  const [a, b, c] = NEWTON_SCHULZ;
  const norm = backend.allocate('f32', [1]);
  const inverse = backend.allocate('f32', [1]);
  const gram = backend.allocate('f32', [side, side]);
  const polynomial = backend.allocate('f32', [side, side]);
  let current = x;
  let next = backend.allocate('f32', [rows, columns]);

  backend.sumSquares(norm, x, false);
  backend.inverseNorm(inverse, norm, MUON_EPSILON);
  backend.scaleBy(x, x, inverse);
  for (let i = 0; i < iterations; i++) {
    backend.matmul(gram, current, current, tall ? { transposeA: true } : { transposeB: true });
    backend.matmul(polynomial, gram, gram, { alpha: c });
    backend.scale(polynomial, gram, b, true);
    if (tall) backend.matmul(next, current, polynomial);
    else backend.matmul(next, polynomial, current);
    backend.scale(next, current, a, true);
    [current, next] = [next, current];
  }
  return current;
}
