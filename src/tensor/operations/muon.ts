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
import type { Backend, Tensor } from '../backend.js';
import {
  count,
  declareComposed,
  f32,
  flag,
  type Numbers,
  or,
  real,
  type Tensors,
} from './declare.js';

/** Coefficients of X, AX and A²X. */
export const NEWTON_SCHULZ = [3.4445, -4.775, 2.0315] as const;
/** Added to the norm that the momentum is divided by. */
export const MUON_EPSILON = 1e-7;

const args = {
  parameter: f32('G', 'rows', 'columns'),
  momentum: f32('G', 'rows', 'columns'),
  gradient: f32('G', 'rows', 'columns'),
  gradientScale: f32('1'),
  lr: real(),
  beta: real(),
  weightDecay: real(),
  nesterov: or(true, flag()),
  iterations: or(5, count()),
} as const;

type Compose = (
  backend: Backend,
  tensors: Tensors<typeof args, Tensor>,
  numbers: Numbers<typeof args>,
) => void;

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

  backend.sumSquares({ out: norm, x, accumulate: false });
  backend.inverseNorm({ out: inverse, sumSquares: norm, epsilon: MUON_EPSILON });
  backend.scaleBy({ out: x, a: x, s: inverse });
  for (let i = 0; i < iterations; i++) {
    backend.matmul({
      out: gram,
      a: current,
      b: current,
      ...(tall ? { transposeA: true } : { transposeB: true }),
    });
    backend.matmul({ out: polynomial, a: gram, b: gram, alpha: c });
    backend.scale({ out: polynomial, a: gram, scale: b, accumulate: true });
    if (tall) backend.matmul({ out: next, a: current, b: polynomial });
    else backend.matmul({ out: next, a: polynomial, b: current });
    backend.scale({ out: next, a: current, scale: a, accumulate: true });
    [current, next] = [next, current];
  }
  return current;
}

/**
 * One update, with the contract's other operations. Scratch of five matrices at most is taken from
 * the top of the stack and given back.
 */
const composeMuon: Compose = (backend, tensors, numbers) => {
  const { lr, beta, weightDecay, nesterov, iterations, G, rows, columns } = numbers;
  const { gradientScale } = tensors;
  for (let i = 0; i < G; i++) {
    const matrix = (tensor: Tensor): Tensor =>
      backend.view(tensor, i * rows * columns, [rows, columns]);
    const parameter = matrix(tensors.parameter);
    const momentum = matrix(tensors.momentum);
    const mark = backend.mark();
    const g = backend.allocate('f32', [rows, columns]);
    backend.scaleBy({ out: g, a: matrix(tensors.gradient), s: gradientScale });
    backend.scale({ out: momentum, a: momentum, scale: beta, accumulate: false });
    backend.scale({ out: momentum, a: g, scale: 1, accumulate: true });
    if (nesterov) backend.scale({ out: g, a: momentum, scale: beta, accumulate: true });
    else backend.copy({ out: g, a: momentum });

    const update = orthogonalize(backend, g, iterations);
    backend.scale({ out: parameter, a: parameter, scale: 1 - lr * weightDecay, accumulate: false });
    backend.scale({
      out: parameter,
      a: update,
      scale: -lr * Math.sqrt(Math.max(1, rows / columns)),
      accumulate: true,
    });
    backend.release(mark);
  }
};

export const muonOperations = {
  /**
   * In place, on gradient · gradientScale[0], of a matrix or of each matrix of a stack. The momentum
   * is zeros before the first update; the parameter shrinks by lr · weightDecay; `nesterov` looks
   * one momentum step ahead; `iterations` are Newton and Schulz's.
   */
  muon: declareComposed({ args, compose: composeMuon }),
};

declare module '../backend.js' {
  interface Operations {
    muon: typeof muonOperations.muon;
  }
}
