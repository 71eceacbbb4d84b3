import { afterEach, describe, expect, it } from 'vitest';
import { configureFaults, faultCounts, faultPoint, faultsActive } from './faults.js';

afterEach(() => configureFaults(undefined));

/** Passes the points in turn and says which threw. */
function thrownAt(points: [string, 'point' | 'write'][]): number[] {
  const thrown: number[] = [];
  points.forEach(([name, kind], index) => {
    try {
      faultPoint(name, kind);
    } catch (error) {
      expect(error).toMatchObject({ code: 'ENOSPC' });
      thrown.push(index);
    }
  });
  return thrown;
}

const POINTS: [string, 'point' | 'write'][] = [
  ['a.write', 'write'],
  ['a.rename', 'point'],
  ['b.write', 'write'],
  ['a.write', 'write'],
  ['b.write', 'write'],
];

describe('fault points', () => {
  it('do nothing and count nothing unless asked', () => {
    expect(faultsActive()).toBe(false);
    expect(thrownAt(POINTS)).toEqual([]);
    expect(faultCounts().total).toBe(0);
  });

  it('fail the Nth write and all writes after it, but nothing else', () => {
    configureFaults('enospc@2');
    expect(thrownAt(POINTS)).toEqual([2, 3, 4]);
    configureFaults('enospc@a.write:2');
    expect(thrownAt(POINTS)).toEqual([3, 4]);
  });

  it('count by name', () => {
    configureFaults('count');
    thrownAt(POINTS);
    expect(faultCounts()).toEqual({
      total: 5,
      writes: 4,
      byName: { 'a.write': 2, 'a.rename': 1, 'b.write': 2 },
    });
  });

  it('kill the process at the Nth pass of a name', () => {
    const kill = process.kill;
    const killed: unknown[] = [];
    process.kill = ((pid: number, signal: string) =>
      killed.push([pid, signal, faultCounts().total])) as never;
    try {
      configureFaults('kill@b.write:2');
      thrownAt(POINTS);
      configureFaults('kill@2');
      thrownAt(POINTS);
    } finally {
      process.kill = kill;
    }
    expect(killed).toEqual([
      [process.pid, 'SIGKILL', 5],
      [process.pid, 'SIGKILL', 2],
    ]);
  });

  it('refuse a specification that is not one', () => {
    for (const spec of ['kill', 'kill@0', 'kill@x', 'enospc@-1', 'burn@3'])
      expect(() => configureFaults(spec)).toThrow(/RECKONER_FAULT/);
  });
});
