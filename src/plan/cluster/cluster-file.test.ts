import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { medianOf, quantileFunction } from '../../planner/distribution.js';
import type { Layout } from '../../planner/layout.js';
import { readTarget } from './cluster-file.js';
import { layoutText, parseLayout } from './layout-text.js';

const folder = mkdtempSync(join(tmpdir(), 'reckoner-target-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function file(text: string): string {
  const path = join(folder, 'cluster.yaml');
  writeFileSync(path, text);
  return path;
}

describe('readTarget', () => {
  it('takes an accelerator by any of its names, and a count', () => {
    const target = readTarget('H800-SXM-80GBx2048');
    expect(target).toMatchObject({ name: 'h800x2048', count: 2048, layout: {} });
    expect(target.accelerator.id).toBe('h800');
    expect(medianOf(target.usdPerHour.distribution)).toBe(2);
    expect(target.usdPerHour.source).toMatch(/DeepSeek-V3/);
    expect(medianOf(target.goodput)).toBeCloseTo(0.93, 9);
  });

  it.each([
    [
      'h800',
      /^--on h800: give local, <gpu>x<count> such as h800x2048, or the path of a \.yaml file$/,
    ],
    ['z9000x8', /^--on z9000x8: the accelerator "z9000" is not catalogued; these are: .*h100/],
    ['h800x0', /^--on h800x0: the count must be from 1 to 1,000,000$/],
    ['./none.yaml', /^--on \.\/none\.yaml: no such file$/],
  ])('refuses %s in one line', (on, message) => {
    expect(() => readTarget(on)).toThrow(message);
  });

  it('reads a file, with distributions where a number is not known', () => {
    const target = readTarget(
      file(`
# what we were offered
accelerator: h100
count: 1024
layout: tp8 pp4
usdPerHour: {low: 1.5, high: 2.5}
priceSource: offer of March
goodput: 0.9
hardware: {memoryGb: 94, scaleOutGbitPerSecond: {low: 200, high: 400}}
calibration: {matmul16: 0.8}
correlations: [{between: [usdPerHour, trainingTime], rank: -0.3}]
`),
    );
    expect(target).toMatchObject({
      name: 'cluster.yaml',
      count: 1024,
      goodput: 0.9,
      calibration: { matmul16: 0.8 },
    });
    expect(target.layout).toEqual({ tensor: 8, pipeline: 4 });
    expect(target.usdPerHour).toMatchObject({
      distribution: { low: 1.5, high: 2.5 },
      source: 'offer of March',
    });
    expect(target.accelerator.memoryBytes).toBe(94e9);
    // The geometric mean of both ends, in bytes a second.
    expect(target.accelerator.scaleOutBandwidth).toBeCloseTo((Math.sqrt(200 * 400) / 8) * 1e9, -3);
    expect(readTarget('h100x1024').accelerator.scaleOutBandwidth).not.toBe(
      target.accelerator.scaleOutBandwidth,
    );
  });

  it.each([
    ['count: 8', /cluster\.yaml: accelerator: name an accelerator, such as h800$/],
    ['accelerator: h800\ncount: many', /cluster\.yaml: count: must be a whole number$/],
    [
      'accelerator: h800\ncount: 8\nprice: 2',
      /cluster\.yaml: price: is not a field of a cluster; these are: accelerator, count/,
    ],
    [
      'accelerator: h800\ncount: 8\npue: cheap',
      /cluster\.yaml: pue: write a number or one of \{low, high\}/,
    ],
    [
      'accelerator: h800\ncount: 8\npue: {low: 2, high: 1}',
      /cluster\.yaml: pue\.low: must be at most high \(1\), is 2$/,
    ],
    [
      'accelerator: h800\ncount: 8\nhardware: {memoryTbPerSecond: fast}',
      /hardware\.memoryTbPerSecond: write a number/,
    ],
    ['accelerator: [h800\ncount: 8', /cluster\.yaml is not valid YAML at line \d+, column \d+: /],
    ['accelerator: z9\ncount: 8', /accelerator "z9" is not catalogued/],
    [
      'accelerator: h800\ncount: 8\nlayout: tp8 ppp',
      /layout: "ppp" is not a part of a layout; these are: tp1 pp1/,
    ],
    ['', /cluster\.yaml: is empty; give at least accelerator and count$/],
  ])('refuses a file in one line: %j', (text, message) => {
    try {
      readTarget(file(text));
      expect.unreachable();
    } catch (error) {
      expect(error).toMatchObject({ name: 'UserError', code: 'usage' });
      expect((error as Error).message).toMatch(message);
      expect((error as Error).message).not.toContain('\n');
    }
  });
});

describe('numbers that make no sense', () => {
  const clusters = fileURLToPath(new URL('../../../test/fixtures/clusters/', import.meta.url));

  it.each(readdirSync(clusters))('are refused by field and range: %s', (name) => {
    const path = join(clusters, name);
    expect(() => readTarget(path)).toThrow(
      /clusters\/.*\.yaml: [a-zA-Z.]+: must be (above 0|at least [01])( and at most 1)?, is -?[\d.]+$/,
    );
  });

  it.each([
    ['goodput: 0', 'goodput: must be above 0 and at most 1, is 0'],
    ['goodput: {low: 0.8, high: 1.2}', 'goodput.high: must be above 0 and at most 1, is 1.2'],
    ['goodput: {uniform: [0, 1]}', 'goodput.uniform[0]: must be above 0 and at most 1, is 0'],
    ['goodput: {empirical: [0.9, 7]}', 'goodput.empirical[1]: must be above 0 and at most 1, is 7'],
    [
      'goodput: {mixture: [{weight: 1, of: 2}]}',
      'goodput.mixture[0].of: must be above 0 and at most 1, is 2',
    ],
    ['loadFactor: 9', 'loadFactor: must be above 0 and at most 1, is 9'],
    ['pue: 0.4', 'pue: must be at least 1, is 0.4'],
    ['usdPerHour: -2', 'usdPerHour: must be above 0, is -2'],
    ['usdPerHour: 0', 'usdPerHour: must be above 0, is 0'],
    [
      'usdPerHour: {normal: {mean: 2, sd: 1}}',
      'usdPerHour: reaches 0 and less; write it as {low, high} with low above 0',
    ],
    [
      'hardware: {achievableFraction: 3}',
      'hardware.achievableFraction: must be above 0 and at most 1, is 3',
    ],
    ['hardware: {serverWatts: 0}', 'hardware.serverWatts: must be above 0, is 0'],
    ['hardware: {memoryGb: -80}', 'hardware.memoryGb: must be above 0'],
    ['calibration: {link: 4}', 'calibration.link: must be above 0 and at most 1, is 4'],
    ['calibration: {straggler: -1}', 'calibration.straggler: must be at least 0, is -1'],
    ['godput: 0.9', 'godput: is not a field of a cluster (did you mean goodput?); these are: '],
    [
      'hardware: {memoryGB: 80}',
      'hardware.memoryGB: is not a field of a cluster (did you mean memoryGb?); these are: ',
    ],
    [
      'calibration: {matmul61: 0.8}',
      'calibration.matmul61: is not a field of a cluster (did you mean matmul16?); these are: ',
    ],
  ])('%s', (line, message) => {
    expect(() => readTarget(file(`accelerator: h100\ncount: 8\n${line}\n`))).toThrow(
      `cluster.yaml: ${message}`,
    );
  });

  it('the tails of a distribution end at the range', () => {
    const { goodput } = readTarget(
      file('accelerator: h100\ncount: 8\ngoodput: {normal: {mean: 0.95, sd: 0.05}}\n'),
    );
    expect(quantileFunction(goodput)(0.9999)).toBe(1);
    expect(quantileFunction(goodput)(0.05)).toBeCloseTo(0.95 - 1.645 * 0.05, 4);
  });
});

describe('a layout as text', () => {
  it('is read as it is written', () => {
    const layout: Layout = {
      tensor: 2,
      pipeline: 16,
      data: 64,
      expert: 64,
      context: 2,
      expertTensor: 1,
      sequenceParallel: true,
      microBatch: 1,
      schedule: 'dualpipe',
      chunks: 1,
      recompute: 'selective',
      sharding: 'optimizer',
      precision: 'fp8',
    };
    expect(layoutText(layout)).toBe('tp2 pp16 dp64 ep64 cp2 mb1 selective recompute dualpipe');
    const { expertTensor, sequenceParallel, chunks, sharding, precision, ...written } = layout;
    expect(parseLayout(layoutText(layout), '--layout')).toEqual(written);
    const fsdp: Layout = {
      ...layout,
      pipeline: 1,
      sharding: 'weights',
      schedule: '1f1b',
      recompute: 'none',
    };
    expect(parseLayout(layoutText(fsdp), '--layout')).toMatchObject({
      pipeline: 1,
      sharding: 'weights',
    });
  });
});
