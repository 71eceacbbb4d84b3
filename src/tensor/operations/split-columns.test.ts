/** @file Who owns which gradient buffer: split columns, residuals and sums. */
import { expect, it } from 'vitest';
import type { Backend } from '../backend.js';
import { createReferenceBackend } from '../backends/reference.js';
import { Tape, Variable } from '../tape.js';
import { add } from './elementwise.js';
import { linear } from './linear.js';
import { splitColumns } from './split-columns.js';

function variable(
  backend: Backend,
  shape: number[],
  values: number[],
  requiresGradient = true,
): Variable {
  const tensor = backend.allocate('f32', shape);
  backend.write(tensor, values);
  return new Variable(tensor, requiresGradient);
}

async function gradientOf(backend: Backend, { gradient }: Variable): Promise<number[]> {
  if (!gradient) throw new Error('there is no gradient');
  return [...(await backend.read(gradient))];
}

it('a part that nobody used has a gradient of zero, and the parts share one buffer', async () => {
  const backend = createReferenceBackend();
  const tape = new Tape(backend);
  const x = variable(backend, [2, 3], [1, 2, 3, 4, 5, 6]);
  const [a, , c] = splitColumns(tape, x, [1, 1, 1]);
  const out = add(tape, a, c);
  expect([...(await backend.read(out.value))]).toEqual([4, 10]);
  tape.backward(out, variable(backend, [2, 1], [10, 20]).value);
  expect(await gradientOf(backend, x)).toEqual([10, 0, 10, 20, 0, 20]);
});

it('nothing reaches x when no part was used', () => {
  const backend = createReferenceBackend();
  const tape = new Tape(backend);
  const x = variable(backend, [1, 2], [1, 2]);
  const other = variable(backend, [1, 2], [3, 4]);
  splitColumns(tape, x, [1, 1]);
  const out = add(tape, other, other);
  tape.backward(out, variable(backend, [1, 2], [1, 1]).value);
  expect(x.written).toBe(false);
});

it('leaves no gradient buffers behind when the tape does not record', () => {
  const backend = createReferenceBackend();
  const x = variable(backend, [1, 2], [1, 2]);
  const before = backend.memory().localBytes;
  const parts = splitColumns(new Tape(backend, false), x, [1, 1]);
  expect(backend.memory().localBytes).toBe(before);
  expect(parts.every((part) => !part.requiresGradient)).toBe(true);
});

it('a residual adopts the gradient, and later additions to it reach nobody else', async () => {
  const backend = createReferenceBackend();
  const tape = new Tape(backend);
  const x = variable(backend, [1, 1], [3]);
  const weight = variable(backend, [1, 1], [2]);
  // h = 2·3 + 3 = 9; y = 2·9 + 9 = 27: dy/dh = 3, dh/dx = 3; dy/dw = h + 3·x = 18.
  const h = linear(tape, x, weight, { residual: x });
  const y = linear(tape, h, weight, { residual: h });
  expect((await backend.read(y.value))[0]).toBe(27);
  const gradient = variable(backend, [1, 1], [1]).value;
  tape.backward(y, gradient);
  expect((await gradientOf(backend, x))[0]).toBe(9);
  expect((await gradientOf(backend, weight))[0]).toBe(18);
});

it('says what does not fit', () => {
  const backend = createReferenceBackend();
  const tape = new Tape(backend);
  const x = variable(backend, [1, 2], [1, 2]);
  expect(() => splitColumns(tape, x, [1, 2])).toThrow('sizes 1,2 sum to 3, x has 2 columns');
  expect(() => linear(tape, x, variable(backend, [1, 3], [1, 2, 3]))).toThrow(
    'x has 2 columns, the weight [1,3] expects 3',
  );
});
