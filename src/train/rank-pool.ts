/**
 * @file The rank pool: one thread a rank, their messages, and the first failure of any of them.
 */
import { UserError } from '../base/errors.js';
import { abortPlan, type BackendPlan } from '../policy/local/backend.js';
import type { Thread } from '../policy/local/thread.js';
import type { FromRank, RankJob, ToRank } from './protocol.js';

export interface PoolOptions {
  workers: number;
  plan: BackendPlan;
  jobOf(rank: number): RankJob;
  /** Starts what runs a rank. */
  start(job: RankJob): Thread;
  /** Takes a message of rank 0. */
  receive(message: FromRank, reply: (message: ToRank) => void): void;
}

export class RankPool {
  private readonly threads: Thread[] = [];
  /** The first reason why the run cannot go on. */
  private failure: Error | null = null;

  constructor(private readonly options: PoolOptions) {}

  /** Runs all ranks to their end. @throws the first failure of any of them */
  async run(): Promise<void> {
    const { workers, jobOf } = this.options;
    await Promise.all(
      Array.from({ length: workers }, (_, rank) => this.runRank(rank, jobOf(rank))),
    );
    if (this.failure) throw this.failure;
  }

  /** Runs `action`; what it throws stops the ranks. */
  readonly guard = (action: () => void): void => {
    try {
      action();
    } catch (error) {
      this.fail(error as Error);
    }
  };

  private runRank(rank: number, job: RankJob): Promise<void> {
    const { plan, start, receive } = this.options;
    const thread = start(job);
    this.threads.push(thread);
    return new Promise((resolve) => {
      thread.on('message', (message: FromRank) => {
        if (message.kind === 'failed') {
          this.failure ??= errorOf(message.error);
          abortPlan(plan);
        } else if (rank === 0)
          this.guard(() => receive(message, (answer) => thread.postMessage(answer)));
        // A rank whose events cannot be written waits for them to be on disk in vain.
        if (message.kind === 'flush' && this.failure) void thread.terminate();
      });
      thread.on('error', (error) => this.fail(error as Error));
      thread.on('exit', (code) => {
        if (code !== 0)
          this.fail(new Error(`rank ${rank} ended without a word (exit code ${code})`));
        resolve();
      });
    });
  }

  /** Stops the ranks and keeps the first reason. */
  private fail(error: Error): void {
    this.failure ??= error;
    abortPlan(this.options.plan);
    // Alone, a rank waits for no other one and would not notice.
    if (this.options.workers === 1) void this.threads[0]?.terminate();
  }
}

function errorOf({
  code,
  field,
  message,
  stack,
}: Extract<FromRank, { kind: 'failed' }>['error']): Error {
  return code === 'bug'
    ? Object.assign(new Error(message), { stack })
    : new UserError(code, message, field);
}
