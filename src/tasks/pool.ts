/**
 * @file A pool of threads for grading: jobs that may be slow, hang, crash or eat memory, and must
 * not take the run with them.
 *
 * A thread does one job at a time, so when a job overruns its time the thread is ended with it,
 * another takes its place, and no other job is touched. A pool keeps the process alive only while
 * it has work. Results depend on the job alone, never on which thread did it or in which order.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';

export type PoolResult<Result> =
  /** With the seconds from its start. */
  { readonly done: Result; readonly seconds?: number } | { readonly failed: string };

export interface Pool<Job, Result> {
  /** Never rejects: a job that throws, hangs or ends its thread has failed, with the reason. */
  run(job: Job, limitSeconds: number): Promise<PoolResult<Result>>;
  /** Threads alive now. */
  size(): number;
  close(): Promise<void>;
}

/** What a thread sends back for each job. */
export type ThreadReply = { done: unknown } | { failed: string };

interface Waiting {
  job: unknown;
  limitSeconds: number;
  resolve(result: PoolResult<never>): void;
}

/** A thread that grows beyond this is ended, and its job has failed. */
const MEMORY_MB = 256;

/**
 * Tests run the TypeScript sources, which a thread of Node 20 cannot load by itself; as built, it
 * is an ordinary module.
 */
function startThread(module: URL, stackMb: number): Worker {
  const resourceLimits = {
    maxOldGenerationSizeMb: MEMORY_MB,
    maxYoungGenerationSizeMb: 8,
    stackSizeMb: stackMb,
  };
  if (!module.pathname.endsWith('.ts')) return new Worker(module, { resourceLimits });
  const jiti = JSON.stringify(createRequire(import.meta.url).resolve('jiti'));
  const file = JSON.stringify(fileURLToPath(module));
  return new Worker(`require(${jiti}).createJiti(${file})(${file})`, {
    eval: true,
    resourceLimits,
  });
}

/**
 * @param size most threads at once; they are started when there is work for them
 * @param stackMb of each thread's stack
 */
export function createPool<Job, Result>(module: URL, size: number, stackMb = 4): Pool<Job, Result> {
  const queue: Waiting[] = [];
  const idle: Worker[] = [];
  const alive = new Set<Worker>();
  let closed = false;

  function next(): void {
    while (queue.length > 0 && !closed) {
      const worker = idle.pop() ?? (alive.size < size ? start() : undefined);
      if (worker === undefined) return;
      give(worker, queue.shift() as Waiting);
    }
  }

  function start(): Worker {
    const worker = startThread(module, stackMb);
    alive.add(worker);
    worker.once('exit', () => {
      alive.delete(worker);
      const at = idle.indexOf(worker);
      if (at >= 0) idle.splice(at, 1);
    });
    return worker;
  }

  function give(worker: Worker, { job, limitSeconds, resolve }: Waiting): void {
    let timer: NodeJS.Timeout | undefined;
    let settled = false;
    let begun = performance.now();
    const settle = (result: PoolResult<never>, healthy: boolean): void => {
      if (settled) return;
      settled = true;
      clearTimeout(timer);
      worker.removeAllListeners('message');
      worker.removeAllListeners('error');
      worker.removeListener('exit', onExit);
      if (healthy && !closed) {
        worker.unref();
        idle.push(worker);
      } else {
        alive.delete(worker);
        // An error that comes while it ends has nobody left to tell.
        worker.on('error', () => {});
        void worker.terminate();
      }
      resolve(result);
      next();
    };
    const onExit = (): void => settle({ failed: 'its thread ended' }, false);
    worker.ref();
    worker.on('exit', onExit);
    worker.on('error', (error: Error & { code?: string }) => {
      const memory = error.code === 'ERR_WORKER_OUT_OF_MEMORY';
      settle({ failed: memory ? 'took too much memory' : oneLine(error.message) }, false);
    });
    worker.on('message', (reply: ThreadReply | 'started') => {
      if (reply !== 'started') {
        const seconds = (performance.now() - begun) / 1000;
        return settle({ ...reply, seconds } as PoolResult<never>, true);
      }
      begun = performance.now();
      // The clock runs from here, so that starting a thread is not counted.
      timer = setTimeout(
        () => settle({ failed: `took longer than ${limitSeconds} s` }, false),
        limitSeconds * 1000,
      );
    });
    try {
      worker.postMessage(job);
    } catch (error) {
      settle({ failed: `cannot be sent to a thread: ${oneLine((error as Error).message)}` }, true);
    }
  }

  return {
    run: (job, limitSeconds) =>
      new Promise((resolve) => {
        if (closed) return resolve({ failed: 'the pool is closed' });
        queue.push({ job, limitSeconds, resolve });
        next();
      }),
    size: () => alive.size,
    async close() {
      closed = true;
      for (const { resolve } of queue.splice(0)) resolve({ failed: 'the pool is closed' });
      await Promise.all([...alive].map((worker) => worker.terminate()));
    },
  };
}

/** Someone else's message as part of a reason: one line, short. */
export const oneLine = (text: string): string => text.replace(/\s+/g, ' ').trim().slice(0, 80);
