import { describe, expect, it } from 'vitest';
import { sequencesToConverge } from '../../catalog/data/convergence.js';
import { parseCsv } from './csv.js';
import { groupsOf, quantile } from './report.js';
import { countsCausally, predictTrainingRow } from './training.js';
import { validate } from './validate.js';

const COLUMNS =
  'source,model,params_total,params_active,layers,hidden,ffn,heads,kv_heads,vocab,seq_len,gpu,n_gpus,tp,pp,dp,ep,cp,micro_batch,global_batch,interleave,recompute,precision,measured_metric,measured_value,unit,note';
const table = (...lines: string[]): string => [COLUMNS, ...lines].join('\n');
const KORTHIKANTI =
  'Korthikanti et al.,GPT-3 175B,1.75e11,1.75e11,96,12288,49152,96,96,51200,2048,A100-SXM-80GB,64,8,8,1,1,1,1,64,3,full,fp16';
const GPT_OSS = 'somebody,GPT OSS 120B,,,,,,,,,4096,B200,64,1,1,64,64,1,4,1280,,,bf16';

describe('a table of measurements', () => {
  it('is predicted in the unit of each row, and the rest is skipped with the reason', () => {
    const report = validate(
      table(
        `${KORTHIKANTI},step_time,18.13,s,`,
        `${KORTHIKANTI},step_time,18130,ms,`,
        `${KORTHIKANTI},mood,3,?,`,
        `${KORTHIKANTI.replace('A100-SXM-80GB', 'Abacus')},step_time,18.13,s,`,
        'x,AlphaStar,,,,,,,,,,TPU v3,32,,,,,,,,,,,mfu,30,%,',
        `${KORTHIKANTI},step_time,,s,`,
      ),
    );
    expect(report.rows).toBe(6);
    expect(report.predicted + report.skipped.length).toBe(report.rows);
    expect(report.skipped.map(({ row }) => row)).toEqual([3, 4, 5, 6]);
    expect(report.skipped[0].reason).toMatch(/^mood is not a speed/);
    expect(report.skipped[1].reason).toBe('accelerator Abacus is not in the catalogue');
    expect(report.skipped[2].reason).toMatch(
      /AlphaStar gives no layers and is not in the catalogue/,
    );
    const [seconds, milliseconds] = report.predictions;
    expect(milliseconds.predicted / seconds.predicted).toBeCloseTo(1000, 9);
    expect(seconds.predicted / 18.13).toBeGreaterThan(0.75);
    expect(seconds.predicted / 18.13).toBeLessThan(1.25);
    expect(seconds.low).toBeLessThan(seconds.predicted);
    expect(seconds.high).toBeGreaterThan(seconds.predicted);
    expect(report.groups.map(({ by, key, n }) => `${by} ${key} ${n}`)).toEqual([
      'metric step_time 2',
      'family dense 2',
      'gpu a100 2',
      'source Korthikanti et al. 2',
    ]);
  });

  it('never reads what it predicts, nor a figure in the note', () => {
    const one = validate(
      table(`${GPT_OSS},tokens_per_s_per_gpu,8047,tokens/s/GPU,forced expert balance`),
    ).predictions[0];
    const other = validate(
      table(
        `${GPT_OSS},tokens_per_s_per_gpu,1,tokens/s/GPU,forced expert balance; 8047 measured in 1.2 s`,
      ),
    ).predictions[0];
    expect(other.predicted).toBe(one.predicted);
  });

  it('gives one configuration one step time, whatever metric it is printed in', () => {
    const metrics = [
      'step_time,18.13,s',
      'tokens_per_s_per_gpu,113,tokens/s/GPU',
      'samples_per_s_total,3.5,samples/s',
      'tokens_per_s_total,7230,tokens/s',
    ];
    const [step, tokens, samples, all] = validate(
      table(...metrics.map((metric) => `${KORTHIKANTI},${metric},`)),
    ).predictions;
    expect(tokens.predicted * step.predicted).toBeCloseTo((64 * 2048) / 64, 6);
    expect(samples.predicted * step.predicted).toBeCloseTo(64, 6);
    expect(all.predicted).toBeCloseTo(64 * tokens.predicted, 6);
  });

  it('widens the interval for what a row leaves out', () => {
    const full = predictTrainingRow(parseCsv(table(`${KORTHIKANTI},mfu,50,%,`)).rows[0]);
    const bare = predictTrainingRow(
      parseCsv(table('x,GPT-3 175B,,,,,,,,,,A100-SXM-80GB,,,,,,,,,,,,mfu,50,%,')).rows[0],
    );
    if ('skipped' in full || 'skipped' in bare) throw new Error('skipped');
    expect(bare.high / bare.low).toBeGreaterThan(full.high / full.low);
  });

  it.each([
    ['', /no header line/],
    ['a,b\n1,2,3', /row 1 has 3 fields for 2 columns/],
    ['a,b\n"1,2', /a quote in row 1 is never closed/],
    ['a,b\n1,2', /the header names neither a training table/],
  ])('refuses %j', (text, message) => {
    expect(() => validate(text, 'rows.csv')).toThrow(message);
  });
});

describe('definitions', () => {
  const row = (note: string, metric = 'mfu', source = '') => ({
    measured_metric: metric,
    note,
    source,
  });
  it('counts attention as the row says, or as its framework does', () => {
    expect(countsCausally(row('non-causal attention'))).toBe(false);
    expect(countsCausally(row('causal'))).toBe(true);
    expect(countsCausally(row('', 'mfu_causal'))).toBe(true);
    expect(countsCausally(row(''))).toBe(false);
    expect(countsCausally(row('', 'mfu', 'Megatron-Bridge performance summary'))).toBe(true);
  });

  it('predicts the memory of sequence parallelism and recomputation as Korthikanti et al. measured it', () => {
    const shares = ['none+sequence-parallel', 'selective', 'selective+sequence-parallel'].map(
      (recompute) => {
        const line = `Korthikanti,22B,2.2e10,2.2e10,48,6144,24576,64,64,51200,2048,A100-SXM-80GB,8,8,1,1,1,1,4,4,1,${recompute},fp16`;
        const metric = 'activation_memory_relative_to_tp_baseline,50,%,';
        return validate(table(`${line},${metric}`)).predictions[0].predicted;
      },
    );
    // Published for the 22B model: 66.84, 49.42, 16.18.
    expect(shares[0]).toBeCloseTo(66.8, 0);
    expect(shares[1]).toBeCloseTo(49.4, 0);
    expect(shares[2]).toBeCloseTo(16.2, 0);
  });
});

describe('time to train', () => {
  it('takes the sequences that MLCommons publishes for a batch, and no other target', () => {
    const line = (batch: number, source = 'MLCommons training results'): string =>
      `${source},Llama-2-70B LoRA,,,,,,,,,8192,H200,8,,,,,,,${batch},,,fp8,time_to_train,24,min,`;
    const [eight, between] = validate(table(line(8), line(11))).predictions;
    expect(eight.predicted / 24).toBeGreaterThan(0.75);
    expect(eight.predicted / 24).toBeLessThan(1.25);
    expect(between.predicted).toBeGreaterThan(eight.predicted);
    expect(validate(table(line(8, 'somebody'))).skipped[0].reason).toMatch(
      /not a published benchmark/,
    );
    expect(sequencesToConverge('GPT-3 175B', 'full', 2048)).toBeCloseTo(577536, 3);
    expect(sequencesToConverge('GPT-3 175B', 'full', 16384)).toBeGreaterThan(786432);
    expect(sequencesToConverge('GPT-3 175B', 'adapters', 2048)).toBeUndefined();
  });
});

describe('groups', () => {
  it('have the median, the 90th percentile, the bias and the coverage of their rows', () => {
    const rows = [-0.5, -0.1, 0, 0.1, 0.2].map((error, row) => ({
      row,
      metric: 'm',
      family: 'dense',
      gpu: 'g',
      source: 's',
      measured: 1,
      predicted: 1 + error,
      low: 0.85 * (1 + error),
      high: 1.15 * (1 + error),
    }));
    const [group] = groupsOf(rows);
    expect(group).toMatchObject({
      by: 'metric',
      key: 'm',
      n: 5,
      medianAbsError: expect.closeTo(0.1),
      p90AbsError: 0.5,
      bias: 0,
      coverage90: 0.6,
    });
    expect(quantile([1, 2, 3, 4], 0.5)).toBe(2);
  });
});

describe('commas and quotes', () => {
  it('reads quoted fields, doubled quotes and Windows lines', () => {
    expect(parseCsv('\uFEFFa,b\r\n"1,2","say ""x"""\r\n\r\n3,\r\n').rows).toEqual([
      { a: '1,2', b: 'say "x"' },
      { a: '3', b: '' },
    ]);
  });
});
