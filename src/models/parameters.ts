/**
 * @file Parameters: one flat block of weights, seen as named tensors.
 *
 * The block holds the hidden matrices first and everything else after, so that each optimizer works on one contiguous range.
 * Parameters with the same `fuse` name lie next to each other and are also one variable (query, key and value projections
 * become one matrix product); optimizers and checkpoints still see them apart, under their Hugging Face names.
 */
import { Random } from '../base/random.js';
import type { Backend, Tensor } from '../tensor/backend.js';
import { sizeOf } from '../tensor/backend.js';
import { Variable } from '../tensor/tape.js';

export interface ParameterSpec {
  /** Name in a Hugging Face checkpoint. */
  name: string;
  shape: readonly number[];
  /** `matrix`: a hidden weight matrix, which Muon may train; the others go to AdamW. */
  role: 'matrix' | 'embedding' | 'norm';
  /** Standard deviation of the initial normal distribution; 'ones' for norms. */
  init: number | 'ones';
  /** Parameters of one fuse name, declared one after the other, form one variable stacked along the first dimension. */
  fuse?: string;
}

export interface Parameter {
  spec: ParameterSpec;
  /** First element in the flat block. */
  offset: number;
  size: number;
  value: Tensor;
}

export class ParameterStore {
  readonly parameters: Parameter[];
  /** All weights, f32 [size], shared by all ranks. */
  readonly flat: Tensor;
  readonly size: number;
  /** Elements [0, matrixSize) are hidden matrices. */
  readonly matrixSize: number;
  /** This rank's gradients, laid out like the weights; null until `attachGradients`. */
  gradients: Tensor | null = null;
  private readonly variables = new Map<string, Variable>();
  private readonly ranges = new Map<string, { offset: number; shape: number[] }>();

  constructor(
    private readonly backend: Backend,
    specs: readonly ParameterSpec[],
  ) {
    const ordered = [...specs.filter((s) => s.role === 'matrix'), ...specs.filter((s) => s.role !== 'matrix')];
    this.size = ordered.reduce((sum, spec) => sum + sizeOf(spec), 0);
    this.matrixSize = ordered.reduce((sum, spec) => sum + (spec.role === 'matrix' ? sizeOf(spec) : 0), 0);
    this.flat = backend.allocate('f32', [this.size], 'shared');
    let offset = 0;
    this.parameters = ordered.map((spec) => {
      const parameter = { spec, offset, size: sizeOf(spec), value: backend.view(this.flat, offset, spec.shape) };
      this.extend(spec.fuse ?? spec.name, spec, offset);
      offset += parameter.size;
      return parameter;
    });
    for (const [name, range] of this.ranges) {
      this.variables.set(name, new Variable(backend.view(this.flat, range.offset, range.shape), true));
    }
  }

  private extend(name: string, spec: ParameterSpec, offset: number): void {
    const range = this.ranges.get(name);
    if (!range) {
      this.ranges.set(name, { offset, shape: [...spec.shape] });
      return;
    }
    if (range.offset + sizeOf(range) !== offset) throw new Error(`fused parameters ${name} are not declared next to each other`);
    range.shape[0] += spec.shape[0];
  }

  /** The variable of a parameter, or of a fused group. */
  get(name: string): Variable {
    const variable = this.variables.get(name);
    if (!variable) throw new Error(`no parameter named ${name}`);
    return variable;
  }

  /**
   * Draws initial weights, keyed by seed and name, and puts them on the device. With several ranks only one needs to call
   * this.
   */
  initialize(seed: number): void {
    for (const { spec, value, size } of this.parameters) {
      const data = new Float32Array(size);
      if (spec.init === 'ones') data.fill(1);
      else {
        const random = new Random(seed, 'init', spec.name);
        for (let i = 0; i < size; i++) data[i] = random.normal() * spec.init;
      }
      this.backend.write(value, data);
    }
  }

  /** Puts room for gradients on the local stack, for the rest of the stage. */
  attachGradients(): Tensor {
    const gradients = this.backend.allocate('f32', [this.size]);
    this.gradients = gradients;
    for (const [name, variable] of this.variables) {
      const range = this.ranges.get(name) as { offset: number; shape: number[] };
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
      if (!variable.written && variable.gradient) this.backend.fill(variable.gradient, 0);
    }
  }
}
