import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { parseCsv } from '../validate/csv.js';
import { intervalFactor, type Uncertain } from './interval.js';
import { predictServingRow, type ServingPrediction, type ServingRow } from './rows.js';

const ROW: ServingRow = {
  source: 'a test',
  model: 'Llama-3.3-70B',
  gpu: 'H200',
  n_gpus: '2',
  engine: 'TensorRT-LLM',
  precision: 'fp8',
  parallelism: 'TP2',
  isl: '1000',
  osl: '1000',
  concurrency: '',
  phase: 'mixed max-throughput',
  metric: 'output_tokens_per_s_per_gpu',
  unit: 'tokens/s/GPU',
  note: '',
};

function predict(change: ServingRow = {}): ServingPrediction {
  const prediction = predictServingRow({ ...ROW, ...change });
  if ('skipped' in prediction) throw new Error(prediction.skipped);
  return prediction;
}
const skipped = (change: ServingRow) =>
  (predictServingRow({ ...ROW, ...change }) as { skipped: string }).skipped;

describe('a row of serving measurements', () => {
  it('lands near a published figure: Llama 3.3 70B, FP8, two H200, 2,587 output tokens a second a GPU (TensorRT-LLM)', () => {
    const { predicted, low, high, family, gpu } = predict();
    expect(predicted / 2587).toBeGreaterThan(0.8);
    expect(predicted / 2587).toBeLessThan(1.2);
    expect(low).toBeLessThan(2587);
    expect(high).toBeGreaterThan(2587);
    expect([family, gpu]).toEqual(['dense', 'h200']);
  });

  it('lands near a published figure: DeepSeek-R1, FP8, eight H200 at 32 requests, 25.6 ms a token (SGLang)', () => {
    const { predicted, family } = predict({
      model: 'DeepSeek-R1-0528',
      n_gpus: '8',
      engine: 'SGLang 0.5.7',
      parallelism: 'TP8 EP1',
      concurrency: '32',
      metric: 'mean_tpot',
      unit: 'ms',
    });
    expect(Math.abs(predicted / 25.6 - 1)).toBeLessThan(0.3);
    expect(family).toBe('moe');
  });

  it('never reads the value, nor a figure of the note', () => {
    expect(predict({ value: '1' })).toEqual(predict({ value: '999999' }));
    expect(predict({ note: 'TTFT 0.63 s, total 301.7' })).toEqual(predict());
  });

  it('keeps one set of definitions', () => {
    const at = (metric: string, unit = 'tokens/s', more: ServingRow = {}) =>
      predict({ concurrency: '64', metric, unit, ...more }).predicted;
    const output = at('output_tokens_per_s_per_gpu');
    expect(at('output_tokens_per_s_total')).toBeCloseTo(2 * output, 6);
    expect(at('output_tokens_per_s_per_node')).toBeCloseTo(8 * output, 6);
    expect(at('total_tokens_per_s_per_gpu')).toBeCloseTo(2 * output, 6);
    expect(at('tokens_per_s_per_gpu')).toBeCloseTo(output, 6);
    expect(at('requests_per_s', 'req/s')).toBeCloseTo((2 * output) / 1000, 6);
    expect(at('tokens_per_s_per_user') * at('mean_tpot', 's')).toBeCloseTo(1, 9);
    expect(at('tpot', 'ms')).toBeCloseTo(1000 * at('mean_tpot', 's'), 9);
    expect(at('latency', 's')).toBeCloseTo(at('ttft', 's') + 999 * at('tpot', 's'), 9);
    expect(at('cost_per_M_total_tokens', 'USD/Mtok')).toBeCloseTo(
      at('cost_per_M_output_tokens', 'USD/Mtok') / 2,
      9,
    );
  });

  it('divides the requests over the replicas that the accelerators make', () => {
    const two = predict({ concurrency: '32' }).predicted;
    expect(predict({ concurrency: '128', n_gpus: '8' }).predicted).toBeCloseTo(two, 6);
  });

  it('searches for the layout that serves a user fast enough', () => {
    const row = {
      n_gpus: '',
      parallelism: '',
      phase: 'mixed @60 tok/s/user',
      metric: 'tokens_per_s_per_provisioned_MW',
      unit: 'tokens/s/MW',
    };
    const fast = predict({ ...row, phase: 'mixed @90 tok/s/user' }).predicted;
    expect(predict(row).predicted).toBeGreaterThan(fast);
  });

  it('serves two pools where the row says so', () => {
    const row = {
      model: 'DeepSeek-R1',
      n_gpus: '32',
      parallelism: 'DEP16',
      concurrency: '1024',
      engine: 'Dynamo, disaggregated',
    };
    expect(predict(row).predicted).not.toBeCloseTo(
      predict({ ...row, engine: 'TensorRT-LLM' }).predicted,
      0,
    );
  });

  it.each([
    [{ metric: 'avg_nodes' }, /not a speed/],
    [{ model: 'Unheard-of 7B' }, /model Unheard-of 7B is not in the catalogue/],
    [{ gpu: 'GB200/B200' }, /accelerator GB200\/B200 is not/],
    [{ isl: '' }, /input and output lengths/],
    [{ metric: 'tpot', unit: 'ms' }, /no concurrency/],
    [{ metric: 'tpot', unit: 'parsecs', concurrency: '1' }, /unit parsecs/],
    [{ precision: 'ternary' }, /precision ternary/],
    [{ note: 'recalled' }, /recalled or unverified/],
    [{ note: 'same with MTP' }, /speculative decoding/],
    [
      { metric: 'tokens_per_s_per_node', phase: 'prefill', note: 'includes context-cache hits' },
      /cache of earlier prompts/,
    ],
    [{ n_gpus: '1', parallelism: 'TP1', precision: 'bf16' }, /leave no memory/],
    [{ parallelism: 'TP3', n_gpus: '3' }, /64 heads do not divide/],
  ])('says why it skips %j', (change, reason) => {
    expect(skipped(change as ServingRow)).toMatch(reason);
  });

  it('takes what the row leaves out at the price of a wider interval', () => {
    const width = ({ low, high }: ServingPrediction) => high / low;
    expect(width(predict({ precision: '' }))).toBeGreaterThan(width(predict()));
    expect(width(predict({ engine: 'an engine' }))).toBeGreaterThan(width(predict()));
    expect(width(predict({ note: 'untuned early release' }))).toBeGreaterThan(2 * width(predict()));
  });
});

it('adds independent uncertainties as squares', () => {
  const base: Uncertain = {
    regime: 'saturated',
    pool: false,
    tuned: true,
    experts: false,
    early: false,
    assumed: 0,
    price: null,
  };
  const log = (uncertain: Uncertain) => Math.log(intervalFactor(uncertain)) ** 2;
  const price = { value: 2, low: 1, high: 4 };
  expect(log({ ...base, tuned: false, price }) - log(base)).toBeCloseTo(
    log({ ...base, tuned: false }) - log(base) + Math.log(2) ** 2,
    9,
  );
});

describe('published rows', () => {
  const { rows } = parseCsv(readFileSync('bench/data/serving-tensorrt-llm.csv', 'utf8'));
  const results = rows.map(({ value, ...row }) => ({
    measured: Number(value),
    prediction: predictServingRow(row),
  }));

  it('are predicted, most within a fifth, and covered as often as stated', () => {
    const predictions = results.flatMap(({ measured, prediction }) =>
      'skipped' in prediction ? [] : [{ measured, ...prediction }],
    );
    expect(predictions.length).toBe(rows.length);
    const errors = predictions
      .map(({ measured, predicted }) => Math.abs(predicted / measured - 1))
      .sort((a, b) => a - b);
    expect(errors[errors.length >> 1]).toBeLessThan(0.15);
    expect(errors[Math.floor(0.8 * errors.length)]).toBeLessThan(0.25);
    const covered =
      predictions.filter(({ measured, low, high }) => low <= measured && measured <= high).length /
      predictions.length;
    expect(covered).toBeGreaterThan(0.85);
    const widths = predictions.map(({ low, high }) => high / low).sort((a, b) => a - b);
    expect(widths[widths.length >> 1]).toBeLessThan(2);
  });
});
