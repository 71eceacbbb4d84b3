/**
 * @file Balancing a mixture of experts without an auxiliary loss (DeepSeek-V3, arXiv:2412.19437,
 * section 2.1.2; Wang et al. 2024, arXiv:2408.15664).
 *
 * Each step counts how often every expert was chosen, over all micro-batches and ranks. After the
 * step the bias of an expert that had more than its share goes down by γ and that of one that had
 * less goes up, so that the next choices even out; what a chosen expert counts does not change, and
 * so the gradient knows nothing of it. The complementary sequence-wise loss only guards against
 * extremes within a sequence.
 *
 * The bias is a weight like others to checkpoints, and counts start anew with each step, so a
 * resumed run continues exactly.
 */
import { z } from 'zod';
import type { ForwardInput, Model } from '../models/index.js';
import { type Backend, sizeOf } from '../tensor/backend.js';
import { sumAll } from './sums.js';

/** @param speed the default of γ */
export const balanceSchema = (speed: number) =>
  z
    .strictObject({
      /** γ: what a bias moves by after a step; 0 leaves the load to itself. */
      speed: z.number().min(0).default(speed),
      /** α, the weight of the sequence-wise balance loss. */
      sequenceWeight: z.number().min(0).default(1e-4),
    })
    .prefault({});

export type BalanceOptions = z.infer<ReturnType<typeof balanceSchema>>;

export interface Balancer {
  /** What the model's forward pass is told, where a token counts `weight` in the loss. */
  input(weight: number): ForwardInput['balance'];
  /**
   * After an update: moves the biases. Returns, for the log, how much more than its share the
   * busiest expert had, `max_vio` as the mean over layers and `max_vio.<layer>` for each (0 is
   * perfect balance), and `balance_loss`.
   */
  endStep(): Promise<Record<string, number>>;
}

/** Largest load ÷ mean load − 1 (Wang et al. 2024, equation 4); 0 where nothing was routed. */
export function maxViolation(load: readonly number[]): number {
  const mean = load.reduce((a, b) => a + b, 0) / load.length;
  return mean > 0 ? Math.max(...load) / mean - 1 : 0;
}

/**
 * Starts counting on the stage's part of the stack; null for a model without experts. Every rank
 * calls it at the same point.
 */
export function createBalancer(
  backend: Backend,
  model: Model,
  options: BalanceOptions,
): Balancer | null {
  const { experts } = model;
  if (!experts) return null;
  const { biases, count, layers } = experts;
  const load = backend.allocate('f32', [layers.length, count]);
  const loss = backend.allocate('f32', [1]);
  backend.fill({ out: load, value: 0 });
  backend.fill({ out: loss, value: 0 });
  experts.load = load;
  return {
    input: (weight) =>
      options.sequenceWeight > 0
        ? { coefficient: options.sequenceWeight * weight, loss }
        : undefined,
    async endStep() {
      const [own, lossValue] = await Promise.all([backend.read(load), backend.read(loss)]);
      const totals = await sumAll(backend.ranks, [...own, lossValue[0]]);
      backend.fill({ out: load, value: 0 });
      backend.fill({ out: loss, value: 0 });
      const perLayer = layers.map((_, l) => totals.slice(l * count, (l + 1) * count));
      if (options.speed > 0) {
        if (backend.ranks.rank === 0) {
          const values = Float32Array.from(await backend.read(biases));
          const speed = Math.fround(options.speed);
          perLayer.forEach((layer, l) => {
            const mean = layer.reduce((a, b) => a + b, 0) / count;
            layer.forEach((n, e) => {
              values[l * count + e] += speed * Math.sign(mean - n);
            });
          });
          backend.write(biases, values);
        }
        await backend.ranks.barrier();
      }
      const violations = perLayer.map(maxViolation);
      const named = Object.fromEntries(
        layers.map((name, l) => [`max_vio.${name.replace('model.layers.', '')}`, violations[l]]),
      );
      const mean = violations.reduce((a, b) => a + b, 0) / violations.length;
      return { max_vio: mean, ...named, balance_loss: totals[sizeOf(load)] };
    },
  };
}
