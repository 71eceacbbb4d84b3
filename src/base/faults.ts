/**
 * @file Fault points: the places where a crash or a full disk would hurt most, made reachable for
 * tests.
 *
 * Code that writes calls `faultPoint(name)` before and after each write and rename; the trainer
 * calls it around each step. Without the environment variable `RECKONER_FAULT` a call costs one
 * comparison. With it:
 *
 * - `RECKONER_FAULT=kill@17` SIGKILL at the 17th point that this process passes
 * - `RECKONER_FAULT=kill@checkpoint.rename.before:3` SIGKILL at the third pass of the point with
 *   that name
 * - `RECKONER_FAULT=enospc@5`, `enospc@checkpoint.write.before:2` the 5th *write* point (the 2nd of
 *   that name) throws ENOSPC, and so does every write point after it: a full disk stays full
 * - `RECKONER_FAULT=count` prints `reckoner-faults {json}` to stderr at exit: how many points of
 *   each name were passed, so that a test can draw from them
 *
 * Each thread counts its own passes; in a run only the first rank writes, so its count is the run's
 * count.
 */
import { writeSync } from 'node:fs';

/** `write` points stand for a write to disk, and are the ones that a full disk fails. */
export type FaultKind = 'point' | 'write';

interface Fault {
  action: 'kill' | 'enospc' | 'count';
  /** Only points of this name count; null for all. */
  name: string | null;
  /** Acts on this pass, from 1. */
  at: number;
}

export interface FaultCounts {
  total: number;
  writes: number;
  byName: Record<string, number>;
}

let fault: Fault | null = null;
let passed = 0;
let counts: FaultCounts = { total: 0, writes: 0, byName: {} };

function parse(spec: string): Fault {
  if (spec === 'count') return { action: 'count', name: null, at: 0 };
  const match = /^(kill|enospc)@(?:([A-Za-z][\w.-]*):)?([1-9]\d*)$/.exec(spec);
  if (!match)
    throw new Error(
      `RECKONER_FAULT=${spec} is not count, kill@N, kill@name:N, enospc@N or enospc@name:N`,
    );
  return { action: match[1] as 'kill' | 'enospc', name: match[2] ?? null, at: Number(match[3]) };
}

/**
 * Sets the fault of this thread and restarts its counts; for tests in one process. `undefined`
 * switches faults off.
 */
export function configureFaults(spec: string | undefined): void {
  fault = spec ? parse(spec) : null;
  passed = 0;
  counts = { total: 0, writes: 0, byName: {} };
}

/** True when faults are on: writers then split their writes, so that a torn file can be made. */
export function faultsActive(): boolean {
  return fault !== null;
}

/** Passes since the start or the last `configureFaults`; counted only while faults are on. */
export function faultCounts(): FaultCounts {
  return { ...counts, byName: { ...counts.byName } };
}

/**
 * Marks a place where a run may be cut.
 * @throws an error with code ENOSPC at a `write` point, when the fault says so.
 */
export function faultPoint(name: string, kind: FaultKind = 'point'): void {
  if (fault === null) return;
  counts.total++;
  if (kind === 'write') counts.writes++;
  counts.byName[name] = (counts.byName[name] ?? 0) + 1;
  if (fault.action === 'count') return;
  if (fault.action === 'enospc' && kind !== 'write') return;
  if (fault.name !== null && fault.name !== name) {
    // A disk that is full is full for everybody, not only for the point that noticed it first.
    if (fault.action !== 'enospc' || passed < fault.at) return;
  } else {
    passed++;
  }
  if (fault.action === 'kill') {
    if (passed === fault.at) process.kill(process.pid, 'SIGKILL');
  } else if (passed >= fault.at) {
    throw Object.assign(new Error(`ENOSPC: no space left on device (fault point ${name})`), {
      code: 'ENOSPC',
      errno: -28,
    });
  }
}

if (typeof process !== 'undefined' && process.env?.RECKONER_FAULT) {
  configureFaults(process.env.RECKONER_FAULT);
  if (process.env.RECKONER_FAULT === 'count') {
    // Straight to the descriptor: a stream may not be flushed any more at exit.
    process.on('exit', () => writeSync(2, `reckoner-faults ${JSON.stringify(counts)}\n`));
  }
}
