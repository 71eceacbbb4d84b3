/** @file Norm, rotation, gate, head and sampling against numbers worked out by hand. */
import { expect, it } from 'vitest';
import type { Backend, Tensor } from '../backend.js';
import { createReferenceBackend } from '../backends/reference.js';
import { Tape, Variable } from '../tape.js';
import { rmsNorm } from './rms-norm.js';
import { rope, ropeTable } from './rope.js';
import { swiglu } from './swiglu.js';
import { tokenLogProbabilities } from './token-log-probabilities.js';

function floats(backend: Backend, shape: number[], values: number[]): Tensor {
  const made = backend.allocate('f32', shape);
  backend.write(made, values);
  return made;
}

function integers(backend: Backend, values: number[]): Tensor {
  const made = backend.allocate('i32', [values.length]);
  backend.write(made, values);
  return made;
}

async function expectClose(backend: Backend, tensor: Tensor, expected: number[]): Promise<void> {
  const found = await backend.read(tensor);
  expect(found.length).toBe(expected.length);
  found.forEach((value, i) => {
    expect(value).toBeCloseTo(expected[i], 10);
  });
}

it('rmsNorm divides each head by its own root mean square', async () => {
  const backend = createReferenceBackend();
  const x = new Variable(floats(backend, [1, 4], [3, 4, 0, 2]), false);
  const weight = new Variable(floats(backend, [2], [1, 10]), false);
  const [a, b] = [Math.sqrt(12.5), Math.sqrt(2)];
  await expectClose(backend, rmsNorm(new Tape(backend), x, weight, 0).value, [
    3 / a,
    40 / a,
    0,
    20 / b,
  ]);
});

it('rope turns entry i with entry i + d/2 by position · θ^(−2i/d)', async () => {
  const backend = createReferenceBackend();
  const table = ropeTable(backend, { headDim: 4, theta: 100, positions: 3 });
  const x = new Variable(floats(backend, [2, 4], [1, 1, 0, 0, 0, 0, 1, 1]), false);
  const out = rope(new Tape(backend), x, integers(backend, [2, 1]), table).value;
  const { cos, sin } = Math;
  await expectClose(backend, out, [
    cos(2),
    cos(0.2),
    sin(2),
    sin(0.2),
    -sin(1),
    -sin(0.1),
    cos(1),
    cos(0.1),
  ]);
});

it('swiglu is silu of the first half times the second', async () => {
  const backend = createReferenceBackend();
  const out = swiglu(
    new Tape(backend),
    new Variable(floats(backend, [2, 2], [0, 5, Math.log(3), 8]), false),
  ).value;
  await expectClose(backend, out, [0, Math.log(3) * 0.75 * 8]);
});

it('tokenLogProbabilities gives log p and the entropy at a temperature', async () => {
  const backend = createReferenceBackend();
  // Logits (2 log 3, 0) at temperature 2: p = (¾, ¼).
  const hidden = new Variable(floats(backend, [2, 1], [2, 2]), false);
  const head = new Variable(floats(backend, [2, 1], [Math.log(3), 0]), false);
  const result = tokenLogProbabilities(
    new Tape(backend),
    hidden,
    head,
    integers(backend, [0, 1]),
    2,
  );
  const entropy = -0.75 * Math.log(0.75) - 0.25 * Math.log(0.25);
  await expectClose(backend, result.logProbabilities.value, [Math.log(0.75), Math.log(0.25)]);
  await expectClose(backend, result.entropy, [entropy, entropy]);
});

it('sample inverts the cumulative softmax, and takes the first largest logit at temperature 0', async () => {
  const backend = createReferenceBackend();
  // p = (0.2, 0.5, 0.3)
  const row = [Math.log(2), Math.log(5), Math.log(3)];
  const logits = floats(backend, [5, 3], [...row, ...row, ...row, ...row, ...row]);
  const uniforms = floats(backend, [5], [0, 0.19, 0.21, 0.69, 0.99]);
  const [ids, logProbabilities] = [backend.allocate('i32', [5]), backend.allocate('f32', [5])];
  backend.sample({ ids, logProbabilities, logits, uniforms, temperature: 1 });
  expect([...(await backend.read(ids))]).toEqual([0, 0, 1, 1, 2]);
  await expectClose(backend, logProbabilities, [0.2, 0.2, 0.5, 0.5, 0.3].map(Math.log));

  const tied = floats(backend, [1, 4], [1, 2, 2, 0]);
  const [id, logProbability] = [backend.allocate('i32', [1]), backend.allocate('f32', [1])];
  backend.sample({
    ids: id,
    logProbabilities: logProbability,
    logits: tied,
    uniforms: floats(backend, [1], [0.999]),
    temperature: 0,
  });
  expect([...(await backend.read(id))]).toEqual([1]);
  await expectClose(backend, logProbability, [2 - Math.log(Math.E + 2 * Math.E ** 2 + 1)]);
});
