/**
 * @file Tiny Llama, Qwen2 and Qwen3 decoders against Hugging Face's transformers: what it computed is in test/fixtures/parity.json,
 * written by bench/peers/parity.py, which makes the same models from the same seed and compares everything. It computes in
 * float64 but for its norms and angles, which stay in float32.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { createWasmBackend } from '../tensor/backends/wasm/index.js';
import { gatherRows, tokenLogProbabilities } from '../tensor/index.js';
import { Tape } from '../tensor/tape.js';
import { createModel, parseModelConfig } from './index.js';

interface Fixture {
  config: object;
  sequences: number[][];
  /** Of all sequences, one after the other. */
  logits: number[];
  loss: number;
  /** The first entries of each parameter's gradient. */
  gradients: Record<string, number[]>;
}

const fixtures = JSON.parse(readFileSync(new URL('../../test/fixtures/parity.json', import.meta.url), 'utf8')) as Record<
  string,
  Fixture
>;

const backends = {
  reference: async () => createReferenceBackend(),
  wasm: () => createWasmBackend({ sharedBytes: 1 << 20, localBytes: 1 << 24, blas: false, build: 'plain' }),
};

const farthest = (actual: ArrayLike<number>, expected: readonly number[]): number =>
  Math.max(...expected.map((x, i) => Math.abs(x - actual[i])));

describe.each(Object.keys(fixtures))('%s', (name) => {
  it.each(['reference', 'wasm'] as const)('equals transformers on %s: logits, loss, gradients', async (kind) => {
    const { config, sequences, logits, loss, gradients } = fixtures[name];
    const backend = await backends[kind]();
    const model = createModel(backend, parseModelConfig(config));
    model.store.initialize(11);
    for (const { spec, value, size } of model.store.parameters) {
      if (spec.role !== 'norm' && spec.role !== 'bias') continue;
      backend.write(
        value,
        Float32Array.from({ length: size }, (_, i) => (spec.role === 'norm' ? 1 : 0) + 0.4 * Math.sin(i + spec.name.length)),
      );
    }
    model.store.attachGradients();
    const upload = (data: readonly number[]) => {
      const tensor = backend.allocate('i32', [data.length]);
      backend.write(tensor, data);
      return tensor;
    };
    const ends = sequences.map((_, s) => sequences.slice(0, s + 1).flat().length);
    const rows = sequences
      .flat()
      .map((_, row) => row)
      .filter((row) => !ends.includes(row + 1));
    const tape = new Tape(backend);
    const hidden = model.forward(tape, {
      ids: upload(sequences.flat()),
      positions: upload(sequences.flatMap((tokens) => tokens.map((_, i) => i))),
      segments: upload([0, ...ends]),
    });
    const out = backend.allocate('f32', [ends[ends.length - 1], model.head.shape[0]]);
    backend.matmul(out, hidden.value, model.head.value, { transposeB: true });
    expect(farthest(await backend.read(out), logits)).toBeLessThan(kind === 'reference' ? 1e-5 : 1e-4);

    const targets = upload(rows.map((row) => sequences.flat()[row + 1]));
    const { logProbabilities } = tokenLogProbabilities(tape, gatherRows(tape, hidden, upload(rows)), model.head, targets);
    const sum = Array.from(await backend.read(logProbabilities.value)).reduce((a, b) => a + b, 0);
    expect(-sum / rows.length).toBeCloseTo(loss, 5);

    const minus = backend.allocate('f32', [rows.length]);
    backend.fill(minus, -1 / rows.length);
    tape.backward(logProbabilities, minus);
    const flat = await backend.read(model.store.gradients as never);
    expect(model.store.parameters.map(({ spec }) => spec.name).sort()).toEqual(Object.keys(gradients).sort());
    for (const { spec, offset } of model.store.parameters) {
      const expected = gradients[spec.name];
      const largest = Math.max(...expected.map(Math.abs));
      expect(largest, spec.name).toBeGreaterThan(1e-5);
      expect(farthest(flat.slice(offset), expected) / largest, spec.name).toBeLessThan(kind === 'reference' ? 1e-5 : 1e-3);
    }
  });
});
