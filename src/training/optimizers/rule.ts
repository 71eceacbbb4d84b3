/**
 * @file What an optimizer is: its options, its state, and the update of some parameters that one
 * rank owns. Sharding, reducing and clipping are the same for all (../optimizer.ts).
 */
import type { z } from 'zod';
import type { Backend, Tensor } from '../../tensor/backend.js';

/** Parameters that one call updates, in place. */
export interface Owned {
  /** [n], or [G, rows, columns] for a rule of whole matrices. */
  parameter: Tensor;
  gradient: Tensor;
  /** f32 [1]: what the gradient is multiplied by. */
  gradientScale: Tensor;
  /** As many as the rule has names of state, each of the parameter's shape; zeros at first. */
  state: readonly Tensor[];
}

export interface Moment {
  /** The schedule's value, times every learning rate. */
  multiplier: number;
  /** 1 at the first update of the stage. */
  step: number;
}

export interface UpdateRule<O extends z.ZodRawShape = z.ZodRawShape> {
  /** What a recipe may set, beside `weightDecay` and `clip`, which all rules have. */
  readonly options: O;
  /** Whole matrices go to it, or any range of numbers. */
  readonly unit: 'matrix' | 'number';
  /** Names of its state tensors, in the order that snapshots keep them. */
  readonly state: readonly string[];
  /** What updating a matrix costs, relative to others; ranks share matrices by it. */
  cost?(rows: number, columns: number): number;
  update(
    backend: Backend,
    owned: Owned,
    spec: z.infer<z.ZodObject<O>> & { weightDecay: number },
    moment: Moment,
  ): void;
}

/** Infers the type of the options. */
export const defineRule = <O extends z.ZodRawShape>(rule: UpdateRule<O>): UpdateRule<O> => rule;
