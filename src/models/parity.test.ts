/**
 * @file Tiny models of every family against transformers: what it computed is in test/fixtures/parity.json, written by bench/peers/parity.py, which makes the same models from
 * the same seed and compares everything. It computes in float64 but for its norms and angles, which
 * stay in float32.
 */
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createReferenceBackend } from '../tensor/backends/reference.js';
import { createWasmBackend } from '../tensor/backends/wasm/index.js';
import { gatherRows, tokenLogProbabilities } from '../tensor/index.js';
import { Tape, type Variable } from '../tensor/tape.js';
import { createModel, parseModelConfig } from './index.js';

interface Fixture {
  config: object;
  sequences: number[][];
  /** Of all sequences, one after the other. */
  logits: number[];
  loss: number;
  /** Of the token after the next, and what it counts. */
  mtpLoss: number;
  mtpWeight: number;
  /** The first entries of each parameter's gradient. */
  gradients: Record<string, number[]>;
}

const fixtures = JSON.parse(
  readFileSync(new URL('../../test/fixtures/parity.json', import.meta.url), 'utf8'),
) as Record<string, Fixture>;

const backends = {
  reference: async () => createReferenceBackend(),
  wasm: () =>
    createWasmBackend({
      sharedBytes: 1 << 20,
      localBytes: 1 << 24,
      products: 'wasm',
      build: 'plain',
    }),
};

const farthest = (actual: ArrayLike<number>, expected: readonly number[]): number =>
  Math.max(...expected.map((x, i) => Math.abs(x - actual[i])));

describe.each(Object.keys(fixtures))('%s', (name) => {
  it.each(['reference', 'wasm'] as const)(
    'equals transformers on %s: logits, loss, gradients',
    async (kind) => {
      const { config, sequences, logits, loss, mtpLoss, mtpWeight, gradients } = fixtures[name];
      const backend = await backends[kind]();
      const model = createModel(backend, parseModelConfig(config));
      model.store.initialize(11);
      for (const { spec, value, size } of model.store.parameters) {
        if (spec.role !== 'norm' && spec.role !== 'bias' && spec.role !== 'buffer') continue;
        const at = (i: number): number =>
          spec.role === 'buffer'
            ? 0.2 * Math.sin(3 * i)
            : (spec.role === 'norm' ? 1 : 0) + 0.4 * Math.sin(i + spec.name.length);
        backend.write(
          value,
          Float32Array.from({ length: size }, (_, i) => at(i)),
        );
      }
      model.store.attachGradients();
      const upload = (data: readonly number[]) => {
        const tensor = backend.allocate('i32', [data.length]);
        backend.write(tensor, data);
        return tensor;
      };
      const ends = sequences.map((_, s) => sequences.slice(0, s + 1).flat().length);
      const ids = sequences.flat();
      const input = {
        ids: upload(ids),
        positions: upload(sequences.flatMap((tokens) => tokens.map((_, i) => i))),
        segments: upload([0, ...ends]),
      };
      const tape = new Tape(backend);
      const hidden = model.forward(tape, input);
      const out = backend.allocate('f32', [ids.length, model.head.shape[0]]);
      backend.matmul({ out, a: hidden.value, b: model.head.value, transposeB: true });
      expect(farthest(await backend.read(out), logits)).toBeLessThan(
        kind === 'reference' ? 1e-5 : 1e-4,
      );

      // Rows that still have a token so many places further in their sequence, and the
      // log-probabilities of those tokens.
      const within = (ahead: number) =>
        ids
          .map((_, row) => row)
          .filter((row) => ends.every((end) => row >= end || row + ahead < end));
      const predictions = within(1).length;
      const predict = (states: Variable, ahead: number) => {
        const rows = within(ahead);
        const targets = upload(rows.map((row) => ids[row + ahead]));
        return tokenLogProbabilities(
          tape,
          gatherRows(tape, states, upload(rows)),
          model.head,
          targets,
        ).logProbabilities;
      };
      const gradientAt = (value: Variable, weight: number) => {
        const gradient = backend.allocate('f32', value.shape);
        backend.fill({ out: gradient, value: -weight / predictions });
        return gradient;
      };
      const lossOf = async (value: Variable) =>
        -Array.from(await backend.read(value.value)).reduce((a, b) => a + b, 0) / predictions;
      const next = predict(hidden, 1);
      expect(await lossOf(next)).toBeCloseTo(loss, 5);
      if (model.predictor) {
        // The last token of a sequence has no next one; whatever stands there, nobody before it
        // sees it.
        const nextIds = upload(ids.map((_, row) => ids[row + 1] ?? 0));
        const further = predict(model.predictor.forward(tape, hidden, nextIds, input), 2);
        expect(await lossOf(further)).toBeCloseTo(mtpLoss, 5);
        tape.give(further, gradientAt(further, mtpWeight));
      } else expect(mtpLoss ?? 0).toBe(0);
      tape.backward(next, gradientAt(next, 1));

      const flat = await backend.read(model.store.gradients as never);
      const trained = model.store.parameters.filter(({ spec }) => spec.role !== 'buffer');
      expect(trained.map(({ spec }) => spec.name).sort()).toEqual(Object.keys(gradients).sort());
      for (const { spec, offset } of trained) {
        const expected = gradients[spec.name];
        const largest = Math.max(...expected.map(Math.abs));
        if (largest === 0) {
          // An expert that no token went to.
          expect(spec.name).toContain('.experts.');
          expect(farthest(flat.slice(offset), expected)).toBe(0);
          continue;
        }
        expect(largest, spec.name).toBeGreaterThan(1e-5);
        expect(farthest(flat.slice(offset), expected) / largest, spec.name).toBeLessThan(
          kind === 'reference' ? 1e-5 : 1e-3,
        );
      }
    },
  );
});
