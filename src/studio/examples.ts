/**
 * @file Example prompts of the models that the page offers to talk to, made in threads
 * (example-worker.ts) and kept.
 */
import type { TaskReference } from '../tasks/index.js';
import { createPool, type Pool } from '../tasks/pool.js';

export interface ExampleJob {
  task: TaskReference;
  /** Of the run that the task is of. */
  folder: string;
}

/** A problem takes microseconds; a task of the user's own has to be loaded. */
const LIMIT_SECONDS = 1;
/** The list of models waits no longer than this; later it has the rest. */
const PATIENCE_MS = 1500;
const LONGEST = 10_000;

export interface Examples {
  /** Null where there is none, or not yet. */
  get(job: ExampleJob): Promise<string | null>;
  close(): Promise<void>;
}

export function createExamples(): Examples {
  const known = new Map<string, Promise<string | null>>();
  let pool: Pool<ExampleJob, string> | null = null;
  return {
    get(job) {
      const key = JSON.stringify(job);
      let example = known.get(key);
      if (example === undefined) {
        pool ??= createPool(new URL('./example-worker.js', import.meta.url), 1);
        example = pool
          .run(job, LIMIT_SECONDS)
          .then((result) => ('done' in result ? result.done.slice(0, LONGEST) : null));
        known.set(key, example);
      }
      const late = new Promise<null>((resolve) => {
        setTimeout(() => resolve(null), PATIENCE_MS).unref();
      });
      return Promise.race([example, late]);
    },
    close: async () => pool?.close(),
  };
}
