/**
 * @file The tape: which derivatives to run, in which order.
 *
 * A `Variable` is a tensor with room for a gradient. An operation computes its output at once and,
 * when the tape records, leaves a closure that turns the output's gradient into its inputs'
 * gradients. `backward` runs the closures in reverse.
 *
 * Gradients are written, not zeroed and added: the first writer of a gradient overwrites, later
 * ones accumulate. An operation asks `tape.gradientOf(variable)` where to write and whether to
 * accumulate, once for each input, and must then write all of it.
 */
import type { Backend, Tensor } from './backend.js';

export class Variable {
  /**
   * Where the gradient lives, once somebody has written to it (parameters: preallocated for the
   * whole stage).
   */
  gradient: Tensor | null = null;
  /** True once the gradient holds something of this step. */
  written = false;

  constructor(
    readonly value: Tensor,
    readonly requiresGradient: boolean,
  ) {}

  get shape(): readonly number[] {
    return this.value.shape;
  }
}

export interface GradientSlot {
  tensor: Tensor;
  accumulate: boolean;
}

export class Tape {
  private readonly closures: (() => void)[] = [];

  /**
   * @param recording false for inference: operations compute and leave nothing
   * @param recompute true to keep only the output of each `segment`
   */
  constructor(
    readonly backend: Backend,
    readonly recording = true,
    readonly recompute = false,
  ) {}

  /**
   * A fresh f32 output of an operation over `inputs`; it requires a gradient when the tape records
   * and an input does.
   */
  output(shape: readonly number[], ...inputs: Variable[]): Variable {
    return new Variable(
      this.backend.allocate('f32', shape),
      this.recording && inputs.some((v) => v.requiresGradient),
    );
  }

  /**
   * A part of the computation, such as a layer, from x alone (and parameters). When the tape
   * recomputes, everything but its output is freed at once, and computed again for the derivative
   * (Chen et al. 2016, arXiv:1604.06174): one more forward pass for the memory of one segment
   * instead of all. The numbers are the same either way.
   */
  segment(x: Variable, body: (tape: Tape, x: Variable) => Variable): Variable {
    if (!this.recording || !this.recompute) return body(this, x);
    const { backend } = this;
    const out = new Variable(backend.allocate('f32', x.shape), true);
    const mark = backend.mark();
    const made = body(new Tape(backend, false), x);
    if (made.shape.join() !== x.shape.join())
      throw new Error(`a segment turned [${x.shape}] into [${made.shape}]`);
    backend.copy({ out: out.value, a: made.value });
    backend.release(mark);
    this.record(out, (gradient) => {
      const slot = this.gradientOf(x);
      const inside = backend.mark();
      const tape = new Tape(backend);
      const again = new Variable(x.value, x.requiresGradient);
      if (slot) {
        again.gradient = slot.tensor;
        again.written = slot.accumulate;
      }
      tape.backward(body(tape, again), gradient);
      if (slot && !again.written) backend.fill({ out: slot.tensor, value: 0 });
      backend.release(inside);
    });
    return out;
  }

  /** Leaves `closure` to be run by `backward`, when `output` requires a gradient and got one. */
  record(output: Variable, closure: (gradient: Tensor) => void): void {
    if (!output.requiresGradient) return;
    this.closures.push(() => {
      if (output.written && output.gradient) closure(output.gradient);
    });
  }

  /**
   * Like `record`, for an operation with several outputs; the closure looks at each output's
   * gradient itself.
   */
  recordAlways(closure: () => void): void {
    if (this.recording) this.closures.push(closure);
  }

  /** Where to write the gradient of `variable`, or null when it wants none. Marks it as written. */
  gradientOf(variable: Variable): GradientSlot | null {
    if (!variable.requiresGradient) return null;
    variable.gradient ??= this.backend.allocate('f32', variable.value.shape);
    const accumulate = variable.written;
    variable.written = true;
    return { tensor: variable.gradient, accumulate };
  }

  /**
   * Adds `gradient` to the gradient of `variable`. When nothing was written yet the tensor itself
   * is adopted: the caller gives it away and must not use it again.
   */
  give(variable: Variable, gradient: Tensor): void {
    if (!variable.requiresGradient) return;
    if (variable.written && variable.gradient)
      this.backend.scale({ out: variable.gradient, a: gradient, scale: 1, accumulate: true });
    else if (variable.gradient) this.backend.copy({ out: variable.gradient, a: gradient });
    else variable.gradient = gradient;
    variable.written = true;
  }

  /**
   * Runs the derivatives of everything recorded, starting from `gradient` at `output`. The tape is
   * then empty.
   */
  backward(output: Variable, gradient: Tensor): void {
    this.give(output, gradient);
    for (let i = this.closures.length - 1; i >= 0; i--) this.closures[i]();
    this.closures.length = 0;
  }
}
