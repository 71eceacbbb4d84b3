/**
 * @file Parameters: one flat block of weights that are trained, seen as named tensors; and beside
 * it, weights that are not.
 *
 * The block holds the hidden matrices first, what else is trained after, and buffers last, so that
 * each optimizer works on one contiguous range. Parameters with the same `fuse` name lie next to
 * each other and are also one variable (query, key and value projections become one matrix
 * product); optimizers and checkpoints still see them apart, under their Hugging Face names.
 *
 * Matrices that are not trained may stay in the form that they came in (BF16, blocks of GGUF), in
 * memory outside the engine's that all threads share: those of a model that only answers, and those
 * under an adapter. With an adapter the block holds the adapter alone, and what else the model has
 * is float32 without gradients or optimizer state.
 */
import { Random } from '../base/random.js';
import type { Backend, Form, FrozenRows, Tensor } from '../tensor/backend.js';
import { sizeOf } from '../tensor/backend.js';
import { fitsForm, rowBytes } from '../tensor/forms.js';
import type { LowRank } from '../tensor/index.js';
import { Variable } from '../tensor/tape.js';
import { type AdapterPlan, type AdapterSpec, planAdapter } from './adapter.js';
import { isExpert, type ParameterSpec } from './parameter-spec.js';

export type { ParameterSpec };

export type Numerics = 'f32' | 'fp8';

export interface Parameter {
  spec: ParameterSpec;
  /** First element in the flat block. */
  offset: number;
  size: number;
  value: Tensor;
}

/** A weight that is not trained. */
export interface FrozenParameter {
  spec: ParameterSpec;
  size: number;
  value: Tensor;
  /** Where its bytes go; null for a weight that is f32, which is written to `value`. */
  rows: FrozenRows | null;
}

/** Matrices that stay in their form, by the parameters' names; structured-cloneable. */
export type FrozenWeights = ReadonlyMap<string, FrozenRows>;

export interface StoreOptions {
  /** What is trained instead of the weights. */
  adapter?: AdapterSpec;
  /** From `reserveFrozen`: these matrices are not trained, and are read in their form. */
  frozen?: FrozenWeights;
  /**
   * What products with the hidden matrices read: float32 (default), or E4M3 emulated
   * (operations/linear-fp8.ts).
   */
  numerics?: Numerics;
}

/**
 * What may stay in its form: matrices that are multiplied by or looked up in. Norms are f32, and
 * experts, whose product takes nothing else.
 */
const isFreezable = (spec: ParameterSpec): boolean =>
  !['norm', 'buffer'].includes(spec.role) && spec.shape.length === 2 && !isExpert(spec);

/** Parameters by the name of their variable: one each, or one product's together. */
function byVariable(specs: readonly ParameterSpec[]): Map<string, ParameterSpec[]> {
  const groups = new Map<string, ParameterSpec[]>();
  for (const spec of specs) {
    const name = spec.fuse ?? spec.name;
    const group = groups.get(name);
    if (group) group.push(spec);
    else groups.set(name, [spec]);
  }
  return groups;
}

/**
 * Memory for the matrices that stay in their form, which all threads see. Matrices of one product
 * stay so together or not at all; float32 alone is as well kept in the engine's memory.
 * @param formOf the form of a parameter; null for one that can only be read as float32
 */
export function reserveFrozen(
  specs: readonly ParameterSpec[],
  formOf: (name: string) => Form | null,
): FrozenWeights {
  const frozen = new Map<string, FrozenRows>();
  for (const group of byVariable(specs).values()) {
    const forms = group.map(({ name }) => formOf(name));
    const stays = group.every((spec, i) => {
      const form = forms[i];
      return isFreezable(spec) && form !== null && fitsForm(form, spec.shape[1]);
    });
    if (!stays || forms.every((form) => form === 'f32')) continue;
    group.forEach(({ name, shape: [rows, columns] }, i) => {
      const form = forms[i] as Form;
      const bytes = new Uint8Array(new SharedArrayBuffer(rows * rowBytes(form, columns)));
      frozen.set(name, { form, rows, bytes });
    });
  }
  return frozen;
}

/** Numbers of the parameters that are not among the frozen. */
export const elementsBeside = (
  specs: readonly ParameterSpec[],
  frozen: FrozenWeights | undefined,
): number => specs.reduce((sum, spec) => sum + (frozen?.has(spec.name) ? 0 : sizeOf(spec)), 0);

/** One variable's place in a block. */
interface Range {
  offset: number;
  shape: number[];
}

/** The variables of parameters that lie one after the other: one each, or one a fused group. */
function rangesOf(specs: readonly ParameterSpec[]): Map<string, Range> {
  const ranges = new Map<string, Range>();
  let offset = 0;
  for (const spec of specs) {
    const name = spec.fuse ?? spec.name;
    const range = ranges.get(name);
    if (!range) ranges.set(name, { offset, shape: [...spec.shape] });
    else if (range.offset + sizeOf(range) !== offset) {
      throw new Error(`fused parameters ${name} are not declared next to each other`);
    } else range.shape[0] += spec.shape[0];
    offset += sizeOf(spec);
  }
  return ranges;
}

export class ParameterStore {
  /** What is trained. */
  readonly parameters: Parameter[];
  /** What is not trained: the matrices that stay in their form, and all under an adapter. */
  readonly frozen: FrozenParameter[] = [];
  /** What is trained, f32 [size], shared by all ranks. */
  readonly flat: Tensor;
  readonly size: number;
  /** Elements [0, matrixSize) are hidden matrices. */
  readonly matrixSize: number;
  /** Elements [0, trainableSize) have a gradient; buffers come after. */
  readonly trainableSize: number;
  readonly numerics: Numerics;
  /** This rank's gradients, laid out like the weights; null until `attachGradients`. */
  gradients: Tensor | null = null;
  private readonly variables = new Map<string, Variable>();
  private readonly frozenVariables = new Map<string, Variable>();
  private readonly ranges: Map<string, Range>;
  private readonly adapters = new Map<string, LowRank>();
  private adapterOn = true;

  constructor(
    private readonly backend: Backend,
    specs: readonly ParameterSpec[],
    { adapter, frozen, numerics = 'f32' }: StoreOptions = {},
  ) {
    this.numerics = numerics;
    const plan = adapter ? planAdapter(specs, adapter) : null;
    if (frozen) this.freeze(specs, frozen);
    const rest = specs.filter(({ name }) => !frozen?.has(name));
    if (plan) this.hold(rest);
    const place = ({ role }: ParameterSpec): number =>
      role === 'matrix' ? 0 : role === 'buffer' ? 2 : 1;
    const ordered = [...(plan?.specs ?? rest)].sort((a, b) => place(a) - place(b));
    const sizeUpTo = (last: number): number =>
      ordered.reduce((sum, spec) => sum + (place(spec) <= last ? sizeOf(spec) : 0), 0);
    this.matrixSize = sizeUpTo(0);
    this.trainableSize = sizeUpTo(1);
    this.size = sizeUpTo(2);
    this.flat = backend.allocate('f32', [this.size], 'shared');
    let offset = 0;
    this.parameters = ordered.map((spec) => {
      const parameter = {
        spec,
        offset,
        size: sizeOf(spec),
        value: backend.view(this.flat, offset, spec.shape),
      };
      offset += parameter.size;
      return parameter;
    });
    this.ranges = rangesOf(ordered);
    for (const [name, range] of this.ranges) {
      const trainable = range.offset < this.trainableSize;
      this.variables.set(
        name,
        new Variable(backend.view(this.flat, range.offset, range.shape), trainable),
      );
    }
    if (plan && adapter) this.adapt(plan.plans, adapter.alpha / adapter.rank);
  }

  /** Makes the variables of matrices that stay in their form: one each, or one a fused group. */
  private freeze(specs: readonly ParameterSpec[], frozen: FrozenWeights): void {
    const { backend } = this;
    const kept = specs.filter(({ name }) => frozen.has(name));
    for (const [name, group] of byVariable(kept)) {
      const parts = group.map((spec) => frozen.get(spec.name) as FrozenRows);
      const [, columns] = group[0].shape;
      const whole = backend.freeze(parts, columns);
      this.frozenVariables.set(name, new Variable(whole, false));
      let first = 0;
      group.forEach((spec, i) => {
        const value = backend.view(whole, first * columns, spec.shape);
        this.frozen.push({ spec, size: sizeOf(spec), value, rows: parts[i] });
        first += spec.shape[0];
      });
    }
  }

  /** Makes float32 weights that are not trained. */
  private hold(specs: readonly ParameterSpec[]): void {
    const { backend } = this;
    const block = backend.allocate('f32', [elementsBeside(specs, undefined)], 'shared');
    const view = (offset: number, shape: readonly number[]): Tensor =>
      backend.view(block, offset, shape);
    for (const [name, { offset, shape }] of rangesOf(specs))
      this.frozenVariables.set(name, new Variable(view(offset, shape), false));
    let offset = 0;
    for (const spec of specs) {
      this.frozen.push({ spec, size: sizeOf(spec), value: view(offset, spec.shape), rows: null });
      offset += sizeOf(spec);
    }
  }

  private adapt(plans: ReadonlyMap<string, AdapterPlan>, scale: number): void {
    for (const [name, { down, ups }] of plans) {
      this.adapters.set(name, {
        down: this.get(down),
        ups: ups.map(({ name: up, column }) => ({ up: this.get(up), column })),
        scale,
      });
    }
  }

  /** The variable of a parameter, or of a fused group. */
  get(name: string): Variable {
    const variable = this.variables.get(name) ?? this.frozenVariables.get(name);
    if (!variable) throw new Error(`no parameter named ${name}`);
    return variable;
  }

  /**
   * What an adapter adds to products with this variable; undefined where there is none, or within
   * `withoutAdapter`.
   */
  adapterOf(name: string): LowRank | undefined {
    return this.adapterOn ? this.adapters.get(name) : undefined;
  }

  /** True when an adapter is trained. */
  get adapted(): boolean {
    return this.adapters.size > 0;
  }

  /** Numbers in the adapter that is trained; undefined without one. */
  get adapterSize(): number | undefined {
    return this.adapted ? this.size : undefined;
  }

  /**
   * The model as it was before the adapter, while `body` runs: the reference policy of
   * reinforcement learning, without a copy.
   */
  async withoutAdapter<T>(body: () => Promise<T>): Promise<T> {
    this.adapterOn = false;
    try {
      return await body();
    } finally {
      this.adapterOn = true;
    }
  }

  /**
   * Draws initial weights of what is trained, keyed by seed and name, and puts them on the device.
   * With several ranks only one needs to call this.
   */
  initialize(seed: number): void {
    for (const { spec, value, size } of this.parameters) {
      const data = new Float32Array(size);
      if (spec.init === 'ones') data.fill(1);
      else if (spec.init > 0) {
        const random = new Random(seed, 'init', spec.name);
        for (let i = 0; i < size; i++) data[i] = random.normal() * spec.init;
      }
      this.backend.write(value, data);
    }
  }

  /** Puts room for gradients on the local stack, for the rest of the stage. */
  attachGradients(): Tensor {
    const gradients = this.backend.allocate('f32', [this.trainableSize]);
    this.gradients = gradients;
    for (const [name, variable] of this.variables) {
      if (!variable.requiresGradient) continue;
      const range = this.ranges.get(name) as Range;
      variable.gradient = this.backend.view(gradients, range.offset, range.shape);
      variable.written = false;
    }
    return gradients;
  }

  /** Forgets the gradients (the caller releases the stack). */
  detachGradients(): void {
    this.gradients = null;
    for (const variable of this.variables.values()) {
      variable.gradient = null;
      variable.written = false;
    }
  }

  /** Before a step: the next gradient written overwrites. */
  resetGradients(): void {
    for (const variable of this.variables.values()) variable.written = false;
  }

  /** After the backward passes: parameters that nobody touched get a zero gradient. */
  completeGradients(): void {
    for (const variable of this.variables.values()) {
      if (!variable.written && variable.gradient)
        this.backend.fill({ out: variable.gradient, value: 0 });
    }
  }
}
