/**
 * @file AdamW (Loshchilov and Hutter 2019, algorithm 2, with the decay multiplied by the learning
 * rate as PyTorch does): m and v are running means of g and g², corrected for starting at zero; p ←
 * p·(1 − lr·λ) − lr·m̂/(√v̂ + ε).
 */
import type { AdamWOptions } from '../backend.js';
import type { Minus } from './reference-kernel.js';

export function adamwReference(
  parameter: Float64Array,
  firstMoment: Float64Array,
  secondMoment: Float64Array,
  gradient: Float64Array,
  gradientScale: Float64Array,
  options: AdamWOptions,
  minus: Minus,
): void {
  const { lr, beta1, beta2, epsilon, weightDecay, step } = options;
  for (let i = 0; i < parameter.length; i++) {
    const g = gradient[i] * gradientScale[0];
    firstMoment[i] = beta1 * firstMoment[i] + (1 - beta1) * g;
    secondMoment[i] = beta2 * secondMoment[i] + (1 - beta2) * g * g;
    const mHat = firstMoment[i] / (1 - beta1 ** step);
    const vHat = secondMoment[i] / (1 - beta2 ** step);
    parameter[i] = minus(
      parameter[i] * (1 - lr * weightDecay),
      (lr * mHat) / (Math.sqrt(vHat) + epsilon),
    );
  }
}
