/**
 * @file Problems that go through the tape: run forward, give the output a gradient, run backward,
 * look at everything.
 */
import { Tape, Variable } from '../tape.js';
import type { Context, Draw, Input, Problem } from './problem.js';

export interface TapedProblem {
  label: string;
  /** Inputs that get a gradient. */
  variables: Record<string, Input>;
  /** Inputs that get none: indices, frozen weights. */
  constants?: Record<string, Input>;
  outputShape: readonly number[];
  build(tape: Tape, variable: (name: string) => Variable, context: Context): Variable;
}

/** Half of the variables have a preallocated gradient, as parameters do. */
export function taped(
  draw: Draw,
  { label, variables, constants, outputShape, build }: TapedProblem,
): Problem {
  const names = Object.keys(variables);
  const preallocated = new Set(names.filter(() => draw.flag()));
  return {
    label,
    inputs: { ...variables, ...constants, gradient: draw.numbers(outputShape) },
    run(context) {
      const { backend } = context;
      const tape = new Tape(backend);
      const made = new Map<string, Variable>();
      for (const name of names) {
        const variable = new Variable(context.input(name), true);
        if (preallocated.has(name)) {
          variable.gradient = backend.allocate('f32', variable.shape);
          backend.fill({ out: variable.gradient, value: Number.NaN });
        }
        made.set(name, variable);
      }
      const variable = (name: string): Variable => {
        const found = made.get(name);
        if (!found) throw new Error(`${label} has no variable ${name}`);
        return found;
      };
      const out = build(tape, variable, context);
      context.keep('out', out.value);
      tape.backward(out, context.input('gradient'));
      for (const name of names) {
        const { gradient, written } = variable(name);
        if (!gradient || !written) throw new Error(`${label}: ${name} got no gradient`);
        context.keep(`d.${name}`, gradient);
      }
    },
    derivative: {
      output: 'out',
      weight: 'gradient',
      gradients: Object.fromEntries(names.map((name) => [name, `d.${name}`])),
    },
  };
}
