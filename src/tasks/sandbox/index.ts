/**
 * @file The sandbox for a model's code, as tasks use it: QuickJS (`run.ts`) in a pool of threads.
 *
 * Two walls, one inside the other: the interpreter's own limits end nearly everything,
 * deterministically; what loops in native code without counting is ended with its thread, and the
 * next completion gets a new one.
 */
import { createPool, type Pool } from '../pool.js';
import type { SandboxJob, SandboxResult } from './run.js';

/** Seconds after which a thread is ended; an honest completion is done in a hundredth of it. */
export const LIMIT_SECONDS = 5;
const THREADS = 2;

let pool: Pool<SandboxJob, SandboxResult> | null = null;

/** Runs one completion in the pool of this process. Never rejects. */
export async function sandbox(
  job: SandboxJob,
  limitSeconds = LIMIT_SECONDS,
): Promise<SandboxResult> {
  const file = import.meta.url.endsWith('.ts') ? './worker.ts' : './worker.js';
  pool ??= createPool(new URL(file, import.meta.url), THREADS);
  const result = await pool.run(job, limitSeconds);
  return 'done' in result
    ? result.done
    : { error: result.failed.startsWith('took longer') ? 'ran too long' : result.failed };
}

export { canonical } from './canonical.js';
export type { SandboxJob, SandboxResult } from './run.js';
