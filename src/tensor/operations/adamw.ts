/**
 * @file AdamW (Loshchilov and Hutter 2019, algorithm 2, with the decay multiplied by the learning
 * rate as PyTorch does): m and v are running means of g and g², corrected for starting at zero; p ←
 * p·(1 − lr·λ) − lr·m̂/(√v̂ + ε).
 */
import { count, declare, f32, real } from './declare.js';

export const adamwOperations = {
  /** In place, on gradient · gradientScale[0]; `step` is 1 at the first update. */
  adamw: declare({
    args: {
      parameter: f32('n'),
      firstMoment: f32('n'),
      secondMoment: f32('n'),
      gradient: f32('n'),
      gradientScale: f32('1'),
      lr: real(),
      beta1: real(),
      beta2: real(),
      epsilon: real(),
      weightDecay: real(),
      step: count(),
    },
    reference(t, { n, lr, beta1, beta2, epsilon, weightDecay, step }, minus) {
      const { parameter, firstMoment, secondMoment, gradient, gradientScale } = t;
      for (let i = 0; i < n; i++) {
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
    },
  }),
};

declare module '../backend.js' {
  interface Operations {
    adamw: typeof adamwOperations.adamw;
  }
}
