/**
 * @file The sandbox for a model's code, as tasks use it: QuickJS (`run.ts`) in a pool of threads.
 *
 * Two walls, one inside the other: the interpreter's own limits end nearly everything,
 * deterministically; what loops in native code without counting is ended with its thread, and the
 * next completion gets a new one.
 */
import { availableParallelism } from 'node:os';
import { createPool, type Pool } from '../pool.js';
import type { SandboxJob, SandboxResult } from './run.js';

/** Seconds after which a thread is ended, at most and at least. */
export const LIMIT_SECONDS = 5;
const LEAST_SECONDS = 2.5;
/** How many times the usual job's seconds one may take before its thread is ended. */
const PATIENCE = 50;
/** Stack for recursion as deep as Node's. */
const STACK_MB = 32;
const THREADS = Math.min(8, Math.max(2, availableParallelism()));

let pool: Pool<SandboxJob, SandboxResult> | null = null;
/** Seconds of a usual job, as they come; jobs that the clock ended are not among them. */
let usual = LIMIT_SECONDS / PATIENCE;

/**
 * Runs one completion in the pool of this process. Never rejects. The limit begins short and
 * follows what jobs take, so that a group of endless ones does not cost minutes.
 */
export async function sandbox(job: SandboxJob, limitSeconds?: number): Promise<SandboxResult> {
  const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
  pool ??= createPool(new URL(file, import.meta.url), THREADS, STACK_MB);
  const limit = limitSeconds ?? Math.min(LIMIT_SECONDS, Math.max(LEAST_SECONDS, usual * PATIENCE));
  const result = await pool.run(job, limit);
  if ('done' in result) {
    if (result.seconds !== undefined) usual += (result.seconds - usual) / 16;
    return result.done;
  }
  // What the clock ended, another machine may let end: the reason says so.
  return {
    error: result.failed.startsWith('took longer')
      ? `ran too long (by the clock, ${Number(limit.toFixed(1))} s)`
      : result.failed,
  };
}

export { canonical } from './canonical.js';
export type { SandboxJob, SandboxResult } from './run.js';
