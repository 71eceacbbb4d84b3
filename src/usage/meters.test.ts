import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createMeter, describeMachine, openRapl, peakMemoryBytes } from './meters.js';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reckoner-rapl-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function domain(entry: string, name: string, microjoules: number, range = 262_143_328_850): void {
  mkdirSync(join(folder, entry), { recursive: true });
  writeFileSync(join(folder, entry, 'name'), `${name}\n`);
  writeFileSync(join(folder, entry, 'energy_uj'), `${microjoules}\n`);
  writeFileSync(join(folder, entry, 'max_energy_range_uj'), `${range}\n`);
}

describe('RAPL', () => {
  it('sums packages, leaves out their parts and the platform, and undoes a wrap', () => {
    domain('intel-rapl:0', 'package-0', 1_000_000);
    domain('intel-rapl:0:0', 'core', 5);
    domain('intel-rapl:1', 'package-1', 900_000_000, 1_000_000_000);
    domain('intel-rapl:2', 'psys', 0);
    const rapl = openRapl(folder);
    expect(rapl?.domains).toEqual(['package-0', 'package-1']);
    expect(rapl?.increment()).toBe(0);
    domain('intel-rapl:0', 'package-0', 3_500_000);
    domain('intel-rapl:1', 'package-1', 50_000_000, 1_000_000_000);
    domain('intel-rapl:2', 'psys', 9e9);
    expect(rapl?.increment()).toBeCloseTo(2.5 + 150, 9);
    rmSync(join(folder, 'intel-rapl:0', 'energy_uj'));
    expect(rapl?.increment()).toBeNull();
  });

  it('is absent where there is nothing to read', () => {
    expect(openRapl(join(folder, 'none'))).toBeNull();
    expect(openRapl(folder)).toBeNull();
  });

  it('makes a meter say measured, and estimated once it cannot be read any more', () => {
    domain('intel-rapl:0', 'package-0', 0);
    let now = 0;
    const meter = createMeter({
      workers: 2,
      wattsPerBusyCore: 10,
      powercap: folder,
      now: () => now,
    });
    expect(meter.energySource).toContain('RAPL');
    now = 1000;
    domain('intel-rapl:0', 'package-0', 33_000_000);
    expect(meter.increment()).toMatchObject({
      wallSeconds: 1,
      workerSeconds: 2,
      energyJoules: 33,
      energyBasis: 'measured',
    });
    rmSync(join(folder, 'intel-rapl:0', 'energy_uj'));
    now = 3000;
    expect(meter.increment()).toMatchObject({
      workerSeconds: 4,
      energyJoules: 40,
      energyBasis: 'estimated',
    });
  });
});

describe('createMeter', () => {
  it('gives increments that add up, and estimates energy from the catalog', () => {
    let now = 5;
    const meter = createMeter({ workers: 3, powercap: join(folder, 'none'), now: () => now });
    expect(meter.energySource).toContain('3 x 7 W');
    now = 2005;
    const first = meter.increment();
    expect(first).toMatchObject({
      wallSeconds: 2,
      workerSeconds: 6,
      energyJoules: 42,
      energyBasis: 'estimated',
    });
    expect(meter.increment()).toMatchObject({ wallSeconds: 0, workerSeconds: 0, energyJoules: 0 });
    expect(first.peakMemoryBytes).toBeGreaterThan(process.memoryUsage().rss / 4);
  });

  it('counts processor time', () => {
    const meter = createMeter({ workers: 1, powercap: folder });
    const start = process.cpuUsage();
    let sum = 0;
    while (process.cpuUsage(start).user < 30_000) sum += Math.sqrt(sum + 1);
    expect(meter.increment().cpuSeconds).toBeGreaterThanOrEqual(0.03);
  });

  it('peak memory never falls', () => {
    const before = peakMemoryBytes();
    const block = new Uint8Array(32 << 20).fill(1);
    expect(peakMemoryBytes()).toBeGreaterThanOrEqual(before);
    expect(block[7]).toBe(1);
  });

  it('describes the machine', () => {
    const machine = describeMachine();
    expect(machine.cores).toBeGreaterThan(0);
    expect(machine.cpu).not.toBe('');
    expect(machine.node).toBe(process.version);
    expect(machine.memoryBytes).toBeGreaterThan(1e8);
  });
});
