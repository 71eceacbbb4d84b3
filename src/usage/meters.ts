/**
 * @file Meters: how long, how much memory, how much energy.
 *
 * Time is the monotonic clock's. Memory is the peak resident size of the process (VmHWM on Linux,
 * getrusage elsewhere); worker threads are part of the process. Energy is read from RAPL (Running
 * Average Power Limit, Intel SDM vol. 3B §15.10; Linux
 * `/sys/class/powercap`) where the kernel lets us, as the sum over processor packages: that is the
 * whole package, other programs on the machine included, and excludes memory and disk. Elsewhere
 * (virtual machines, macOS, kernels that keep the file to root) it is estimated as reserved
 * core-seconds × watts per busy core from the catalog, and marked so.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { cpus, totalmem } from 'node:os';
import { join } from 'node:path';
import { priceOf } from '../catalog/catalog.js';
import type { Machine } from './events.js';
import type { Basis } from './usage.js';

const POWERCAP = '/sys/class/powercap';

export interface Increment {
  wallSeconds: number;
  /** Wall seconds × workers. */
  workerSeconds: number;
  /** Processor time of all threads of this process, user and system. */
  cpuSeconds: number;
  energyJoules: number;
  energyBasis: Basis;
  /** Highest so far, not an increment. */
  peakMemoryBytes: number;
}

export interface Meter {
  /** What was used since the last call, or since the meter was made. */
  increment(): Increment;
  /** Where the energy comes from, for people. */
  readonly energySource: string;
}

export interface MeterOptions {
  /** Cores reserved. */
  workers: number;
  /** For the estimate; default from the catalog (`cpu.power.busy-core`). */
  wattsPerBusyCore?: number;
  /** For tests. */
  powercap?: string;
  /** Monotonic milliseconds; for tests. */
  now?: () => number;
}

/** Starts measuring now. */
export function createMeter(options: MeterOptions): Meter {
  const now = options.now ?? (() => performance.now());
  const watts = options.wattsPerBusyCore ?? priceOf('cpu.power.busy-core').value;
  const rapl = openRapl(options.powercap ?? POWERCAP);
  let time = now();
  let cpu = process.cpuUsage();
  return {
    energySource: rapl
      ? `RAPL, processor packages: ${rapl.domains.join(', ')}`
      : `estimate: ${options.workers} x ${watts} W a busy core${options.wattsPerBusyCore === undefined ? ` (${priceOf('cpu.power.busy-core').source})` : ''}`,
    increment() {
      const time1 = now();
      const cpu1 = process.cpuUsage();
      const wallSeconds = Math.max(0, time1 - time) / 1000;
      const workerSeconds = wallSeconds * options.workers;
      const cpuSeconds = (cpu1.user - cpu.user + (cpu1.system - cpu.system)) / 1e6;
      time = time1;
      cpu = cpu1;
      const measured = rapl?.increment() ?? null;
      return {
        wallSeconds,
        workerSeconds,
        cpuSeconds,
        energyJoules: measured ?? workerSeconds * watts,
        energyBasis: measured === null ? 'estimated' : 'measured',
        peakMemoryBytes: peakMemoryBytes(),
      };
    },
  };
}

/** Peak resident size of this process, all threads. */
export function peakMemoryBytes(): number {
  // Node gives kilobytes on every platform; on Linux this is VmHWM.
  return process.resourceUsage().maxRSS * 1024;
}

interface Rapl {
  domains: string[];
  /** Joules since the last call; null when a counter can no longer be read. */
  increment(): number | null;
}

/**
 * The package domains under a powercap folder, or null when there is none that can be read. A
 * counter counts microjoules up to `max_energy_range_uj` and starts again at 0; one wrap between
 * two readings is undone (at 200 W a wrap takes over 20 minutes, and usage is read every second).
 */
export function openRapl(folder: string): Rapl | null {
  const readings: { name: string; file: string; range: number; last: number }[] = [];
  try {
    for (const entry of readdirSync(folder)) {
      // intel-rapl:0 is a package (AMD uses the name too); intel-rapl:0:0 is a part of it; psys
      // holds the packages.
      if (!/^intel-rapl:\d+$/.test(entry)) continue;
      const name = readFileSync(join(folder, entry, 'name'), 'utf8').trim();
      if (!name.startsWith('package')) continue;
      const file = join(folder, entry, 'energy_uj');
      const range = readCount(join(folder, entry, 'max_energy_range_uj'));
      readings.push({ name, file, range, last: readCount(file) });
    }
  } catch {
    return null;
  }
  if (readings.length === 0) return null;
  return {
    domains: readings.map((reading) => reading.name),
    increment() {
      let joules = 0;
      try {
        for (const reading of readings) {
          const value = readCount(reading.file);
          joules +=
            (value >= reading.last ? value - reading.last : value + reading.range - reading.last) /
            1e6;
          reading.last = value;
        }
      } catch {
        return null;
      }
      return joules;
    },
  };
}

function readCount(file: string): number {
  const value = Number(readFileSync(file, 'utf8').trim());
  if (!Number.isFinite(value)) throw new Error(`${file} holds no number`);
  return value;
}

/** This machine, for the log. */
export function describeMachine(): Machine {
  const processors = cpus();
  return {
    cpu: processors[0]?.model.trim() || process.arch,
    cores: processors.length,
    memoryBytes: totalmem(),
    platform: `${process.platform}-${process.arch}`,
    node: process.version,
  };
}
