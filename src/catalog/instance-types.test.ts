/**
 * @file The catalogue of instance types: each row is found by its cloud's pattern, and machines
 * without an accelerator are not.
 */
import { describe, expect, it } from 'vitest';
import { CLOUDS } from './data/instance-types.js';
import { ACCELERATED_MACHINE, CPU_MACHINE, machineOf, machines } from './instance-types.js';

/** RE2's `(?i)` in front is a flag here. */
const pattern = (re2: string): RegExp => new RegExp(re2.replace(/^\(\?i\)/, ''), 'i');
const accelerated = pattern(ACCELERATED_MACHINE);
const cpu = pattern(CPU_MACHINE);

describe('instance types', () => {
  it.each(machines().map(({ type }) => type))('%s has accelerators', (type) => {
    expect(accelerated.test(`BoxUsage:${type}`)).toBe(true);
    expect(accelerated.test(`${type} in us-east-1`)).toBe(true);
  });

  it('a type stands in one list', () => {
    const types = Object.values(CLOUDS).flatMap(({ lists }) =>
      lists.flatMap((list) => Object.keys(list.types)),
    );
    expect(new Set(types).size).toBe(types.length);
    expect(machines()).toHaveLength(types.length);
  });

  it('each list has a source and a date, and most rows were compared with it', () => {
    for (const { lists } of Object.values(CLOUDS))
      for (const { source, date } of lists) {
        expect(source).toMatch(/^https:\/\//);
        expect(date).toMatch(/^20\d\d(-\d\d)?$/);
      }
    const compared = machines().filter(({ recalled }) => !recalled);
    expect(compared.length / machines().length).toBeGreaterThan(0.7);
  });

  it.each([
    ['p5.4xlarge', 'H100', 1],
    ['g7e.48xlarge', 'RTX PRO 6000', 8],
    ['Standard_ND96asr_v4', 'A100', 8],
    ['ND96asr v4', 'A100', 8],
    ['ml.p4d.24xlarge', 'A100', 8],
    ['Standard_NV24ads_V710_v5', 'Radeon Pro V710', 1],
    ['tpu7x-standard-4t', 'TPU v7', 4],
    ['BM.GPU.MI355X.8', 'MI355X', 8],
  ])('%s: %s, %d', (type, accelerator, count) => {
    expect(machineOf(type)).toMatchObject({ accelerator, count });
  });

  it.each([
    ...['t4g.large', 'm7i.metal-24xl', 'hpc7g.16xlarge', 'u-6tb1.112xlarge', 'x2gd.medium'],
    ...['u7i-12tb.224xlarge', 'mac2-m2pro.metal', 'r8gb.48xlarge', 'i7ie.metal-48xl'],
    ...['m1.small', 'c7i-flex.large', 'im4gn.large', 'is4gen.medium', 'z1d.metal'],
    ...['Standard_D4s_v5', 'Standard_E104i_v5', 'Standard_M832ids_16_v3', 'Standard_HB176rs_v4'],
    ...['Standard_B2ts_v2', 'Standard_DC2as_v5', 'Standard_L80as_v3', 'Standard_FX48-24mds_v2'],
    ...['Standard_E64-16ads_v7', 'Standard_D96ls_v6', 'Standard_A1_v2', 'Standard_PB6s'],
    ...['n2-standard-8', 'c4d-highmem-384-metal', 'n4a-standard-2', 'e2-micro', 'z3-highmem-88'],
    ...['VM.Standard.E5.Flex', 'BM.Standard.E6.256', 'cpu_4x_general', 'cd-hc-a384ib-genoa'],
    ...['cd-gp-l-a192-genoa', 'turin-gp-l'],
  ])('%s has none', (type) => {
    expect(accelerated.test(type)).toBe(false);
  });

  it.each([
    ...['t4g.large', 'm7i.metal-24xl', 'u-6tb1.112xlarge', 'u7i-12tb.224xlarge'],
    ...['mac2-m2pro.metal', 'i7ie.metal-48xl', 'c7i-flex.large', 'hpc7g.16xlarge'],
    ...['Standard_M832ids_16_v3', 'Standard_FX48-24mds_v2', 'Standard_E64-16ads_v7'],
    ...['Standard_D96ls_v6', 'cd-hc-a384ib-genoa', 'cd-gp-l-a192-genoa', 'turin-gp-l'],
    ...['M64ms', 'M416ds 10 v3', 'M128-64bds_3_v3', 'HX176-24rs', 'DC96ads cc v5', 'FX48mds'],
    ...['c4d-highmem-384-metal', 'n4a-standard-2', 'z3-highmem-88-highlssd'],
  ])('%s is a machine of processors', (type) => {
    expect(cpu.test(type)).toBe(true);
  });
});
