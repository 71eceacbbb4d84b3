/**
 * @file The bookkeeper of an attempt: the event log, usage and its cost, and the limits that end a
 * run.
 *
 * It alone appends to `events.jsonl`, at least once a second, so that a kill loses at most that.
 * Time belongs to where the work is; tokens and FLOPs come from rank 0.
 */
import { sharedBuffer } from '../base/shared.js';
import type { RunFolder } from '../checkpoints/run-folder.js';
import { createCostMeter, type PriceBook } from '../ledger/index.js';
import type { SampleRecord } from '../training/stage.js';
import type { NewEvent, RunEvent, StopReason } from '../usage/events.js';
import { appendLines, openEventLog, readEvents } from '../usage/log.js';
import { createMeter } from '../usage/meters.js';
import type { Purpose, Usage } from '../usage/usage.js';
import { USAGE_INTERVAL_MS } from './attempts.js';
import { STOP_REQUESTS } from './protocol.js';

export interface BookOptions {
  prices: PriceBook;
  /** Stop cleanly when the cost so far (all attempts of the run) reaches this. */
  maxUsd?: number;
  /** Stop cleanly after so many minutes of this attempt. */
  maxMinutes?: number;
  /** Aborted for a clean stop. */
  signal?: AbortSignal;
  onEvent?: (event: RunEvent) => void;
  onCost?: (usd: number) => void;
}

const nothingSpent = () => ({ tokensIn: 0, tokensOut: 0, modelFlops: 0, storedBytes: 0 });

export class Bookkeeper {
  /** Rank 0 reads it after each step: why to stop, an index into `STOP_REQUESTS`. */
  readonly control = sharedBuffer(4);
  /** The global step that events belong to. */
  step: number;
  private readonly requests = new Int32Array(this.control);
  private readonly startedAt = performance.now();
  private readonly log;
  private readonly meter;
  private readonly cost;
  private at: { stage: string; purpose: Purpose } = { stage: 'start', purpose: 'overhead' };
  private spent = nothingSpent();
  private heartbeat: NodeJS.Timeout | null = null;

  constructor(
    private readonly run: RunFolder,
    private readonly attempt: number,
    workers: number,
    step: number,
    private readonly options: BookOptions,
  ) {
    this.step = step;
    this.log = openEventLog(run.events, { attempt });
    this.meter = createMeter({ workers });
    this.cost = createCostMeter(options.prices);
    const { signal } = options;
    if (signal?.aborted) this.requestStop('interrupted');
    signal?.addEventListener('abort', () => this.requestStop('interrupted'));
  }

  /** Counts what earlier attempts cost; limits are on all of them. */
  async readPast(): Promise<void> {
    if (this.attempt === 0) return;
    const { events } = await readEvents(this.run.events);
    for (const event of events) if (event.type === 'usage') this.cost.add(event.usage);
  }

  /** Seconds of this attempt. */
  get seconds(): number {
    return (performance.now() - this.startedAt) / 1000;
  }

  emit(event: NewEvent): void {
    this.log.append(event);
    const { attempt } = this;
    this.options.onEvent?.({ ...event, attempt, time: new Date().toISOString() } as RunEvent);
  }

  /** Usage that no meter saw. */
  emitUsage(usage: Usage): void {
    this.emit({ type: 'usage', step: this.step, usage });
    this.cost.add(usage);
  }

  private requestStop(reason: StopReason): void {
    const index = (STOP_REQUESTS as readonly (StopReason | null)[]).indexOf(reason);
    Atomics.compareExchange(this.requests, 0, 0, index);
  }

  /** Writes what was used since the last time, and watches the limits. */
  book(): void {
    const { wallSeconds, workerSeconds, energyJoules, energyBasis, peakMemoryBytes } =
      this.meter.increment();
    const measured = { wallSeconds, workerSeconds, energyJoules, energyBasis, peakMemoryBytes };
    const { spent } = this;
    this.spent = nothingSpent();
    this.emitUsage({ ...this.at, ...measured, ...spent, basis: 'measured' });
    const { maxUsd, maxMinutes, onCost } = this.options;
    onCost?.(this.cost.usd);
    if (maxUsd !== undefined && this.cost.usd >= maxUsd) this.requestStop('max-usd');
    if (maxMinutes !== undefined && this.seconds / 60 >= maxMinutes)
      this.requestStop('max-minutes');
  }

  /**
   * Books once a second from now on.
   * @param guard handles what booking throws
   * @param check is called before, and may throw
   */
  startHeartbeat(guard: (action: () => void) => void, check: () => void): void {
    const beat = (): void => {
      check();
      this.book();
    };
    this.heartbeat = setInterval(() => guard(beat), USAGE_INTERVAL_MS);
  }

  stopHeartbeat(): void {
    if (this.heartbeat) clearInterval(this.heartbeat);
    this.heartbeat = null;
  }

  /** Time from here on belongs to this stage. */
  moveTo(stage: string, purpose: Purpose): void {
    this.book();
    this.at = { stage, purpose };
  }

  /** A step's tokens and operations, or bytes that were stored. */
  spend(more: Partial<ReturnType<typeof nothingSpent>>): void {
    for (const [name, amount] of Object.entries(more))
      this.spent[name as keyof typeof this.spent] += amount;
  }

  samples(stage: string, step: number, samples: readonly SampleRecord[]): void {
    const { attempt } = this;
    const lines = samples.map((sample) => ({ attempt, step, stage, ...sample }));
    appendLines(this.run.samples, lines, 'samples');
  }

  /** Everything so far is on disk afterwards. */
  flush(): void {
    this.book();
    this.log.flush();
  }

  /** Ends the log of an attempt that did not fail. */
  end(step: number, reason: StopReason, message?: string): void {
    this.book();
    this.emit({ type: 'ended', step, reason, message });
    this.log.close();
  }

  /** Ends the log of an attempt that failed; its caller gets the error itself, and no event. */
  fail({ message }: Error): void {
    try {
      this.book();
      this.log.append({ type: 'ended', step: this.step, reason: 'failed', message });
      this.log.close();
    } catch {
      // The disk may be what failed; the first error is the one to tell.
    }
  }
}
