/**
 * @file The three checks of an operation.
 *
 * 1. `derivativeError`: the reference's derivative against finite differences, in float64. The
 *    difference quotient has order four, (8(f₁ − f₋₁) − (f₂ − f₋₂))/12h, so that h = 10⁻³ leaves an
 *    error of about 10⁻¹² and the comparison can be sharp.
 * 2. `disagreement`: another backend against the reference, element by element, within
 *        10⁻⁴ × (the same operation on absolute inputs) + 10⁻⁶.
 *    "The same operation on absolute inputs" is the reference kernel, forward or backward, with |x| for every floating-point
 *    input and scalar, and with a sum of absolute values wherever the formula takes a difference of two terms (`magnitude` in
 *    reference-kernel.ts; differences inside an exponent stay). For sums of products this is the classical bound that the
 *    rounding of any order of summation is proportional to (Higham 2002, section 3.1). Without the second half of the
 *    definition a derivative such as that of a norm over one number, which cancels to nothing, would be held to a relative
 *    error of nothing. One definition for all operations; integers are compared exactly.
 * 3. A second run gives the same bits (in describe-backend.ts).
 */
import type { Backend } from '../backend.js';
import { createReferenceBackend } from '../backends/reference.js';
import { magnitude } from '../operations/reference-kernel.js';
import { execute, leaveGarbage, type Problem, type Results } from './problem.js';

export const RELATIVE_TOLERANCE = 1e-4;
export const ABSOLUTE_TOLERANCE = 1e-6;

export interface Expected {
  values: Results;
  magnitudes: Results;
}

/** What the reference says, and how large the terms were. */
export async function judge(problem: Problem): Promise<Expected> {
  const values = await execute(problem, createReferenceBackend());
  const magnitudes = await execute(problem, createReferenceBackend(magnitude), true);
  return { values, magnitudes };
}

/**
 * Runs the problem on `backend`; the first element that is too far from the reference, in words, or
 * null.
 */
export async function disagreement(
  problem: Problem,
  backend: Backend,
  expected: Expected,
): Promise<string | null> {
  leaveGarbage(backend);
  const found = await execute(problem, backend);
  for (const [name, values] of Object.entries(expected.values)) {
    const difference = firstDifference(found[name], values, expected.magnitudes[name]);
    if (difference) return `${problem.label}: ${name}${difference}`;
  }
  return null;
}

function firstDifference(
  found: ArrayLike<number>,
  values: ArrayLike<number>,
  magnitudes: ArrayLike<number>,
): string | null {
  if (found.length !== values.length) return ` has ${found.length} numbers, not ${values.length}`;
  const exact = values instanceof Int32Array;
  for (let i = 0; i < values.length; i++) {
    const tolerance = exact ? 0 : RELATIVE_TOLERANCE * Math.abs(magnitudes[i]) + ABSOLUTE_TOLERANCE;
    const error = Math.abs(found[i] - values[i]);
    if (error <= tolerance || Object.is(found[i], values[i])) continue;
    return `[${i}] is ${found[i]}, the reference says ${values[i]} (off by ${error}, allowed ${tolerance})`;
  }
  return null;
}

/**
 * The largest |claimed − measured| / (1 + |measured|) over all derivatives of the problem, and
 * where it was.
 */
export async function derivativeError(problem: Problem): Promise<{ error: number; where: string }> {
  const { derivative, inputs } = problem;
  if (!derivative) throw new Error(`${problem.label} claims no derivative`);
  const backend = createReferenceBackend();
  const weight = derivative.weight === null ? null : inputs[derivative.weight].data;
  const claimed = await execute(problem, backend);

  const objective = async (name: string, index: number, change: number): Promise<number> => {
    const input = inputs[name];
    // Float64, so that the change is not rounded away; the reference takes whatever numbers it is
    // given.
    const data = Float64Array.from(input.data);
    data[index] += change;
    const changed = {
      ...problem,
      inputs: { ...inputs, [name]: { ...input, data: data as unknown as Float32Array } },
    };
    const output = (await execute(changed, backend))[derivative.output];
    let sum = 0;
    for (let i = 0; i < output.length; i++) sum += output[i] * (weight ? weight[i] : 1);
    return sum;
  };

  let worst = { error: 0, where: '' };
  const h = 1e-3;
  for (const [name, gradient] of Object.entries(derivative.gradients)) {
    const size = inputs[name].data.length;
    if (claimed[gradient].length !== size)
      throw new Error(`${problem.label}: ${gradient} has the wrong size`);
    // At most 12 elements of each input, spread over it.
    const step = Math.max(1, Math.floor(size / 12));
    for (let i = 0; i < size; i += step) {
      const near = (await objective(name, i, h)) - (await objective(name, i, -h));
      const far = (await objective(name, i, 2 * h)) - (await objective(name, i, -2 * h));
      const measured = (8 * near - far) / (12 * h);
      const error = Math.abs(claimed[gradient][i] - measured) / (1 + Math.abs(measured));
      if (error > worst.error || Number.isNaN(error)) {
        worst = {
          error,
          where: `${problem.label}: ${gradient}[${i}] is ${claimed[gradient][i]}, measured ${measured}`,
        };
      }
      if (Number.isNaN(error)) return { ...worst, error: Number.POSITIVE_INFINITY };
    }
  }
  return worst;
}
