/**
 * @file The ranks of a data-parallel group: barrier, sum and reduction over one shared memory.
 *
 * The barrier counts arrivals and a generation: the last to arrive starts the next generation and
 * wakes the others. Barriers are frequent and ranks arrive close together, so a rank first spins
 * for some microseconds, then sleeps in `Atomics.wait`, and now and then lets its event loop turn,
 * so that the thread that runs the group still hears of a worker's death (and can call
 * `abortRanks`).
 */
import { UserError } from '../../../base/errors.js';
import type { Ranks, Tensor } from '../../backend.js';
import { layoutOf, SUM_CAPACITY, type WasmMemory } from './memory.js';
import { f32Local, type WasmTensor } from './tensor.js';

const ABORTED = 0;
const ARRIVED = 1;
const GENERATION = 2;
/** Looks at the generation before sleeping: some tens of microseconds. */
const SPINS = 4000;
const SLEEP_MILLISECONDS = 5;

type SumCopies = (out: number, first: number, stride: number, copies: number, n: number) => void;

const controlOf = (memory: WasmMemory): Int32Array =>
  new Int32Array(memory.memory.buffer, layoutOf(memory, 0).control, 16);

/**
 * Makes every rank's next (or present) `barrier` throw. Called when a rank fails; the memory
 * cannot be used again.
 */
export function abortRanks(memory: WasmMemory): void {
  const control = controlOf(memory);
  Atomics.store(control, ABORTED, 1);
  Atomics.notify(control, GENERATION);
}

const turnEventLoop = (): Promise<void> =>
  new Promise((resolve) => {
    if (typeof setImmediate === 'function') setImmediate(resolve);
    else setTimeout(resolve, 0);
  });

export class WasmRanks implements Ranks {
  readonly worldSize: number;
  private readonly control: Int32Array;
  private readonly sums: Float64Array;
  private readonly regionBytes: number;
  private readonly sumCopies: SumCopies;
  private sumCalls = 0;

  constructor(
    memory: WasmMemory,
    readonly rank: number,
    exports: WebAssembly.Exports,
  ) {
    const layout = layoutOf(memory, rank);
    this.worldSize = memory.worldSize;
    this.control = controlOf(memory);
    this.sums = new Float64Array(
      memory.memory.buffer,
      layout.sums,
      2 * memory.worldSize * SUM_CAPACITY,
    );
    this.regionBytes = layout.regionBytes;
    this.sumCopies = exports.sumCopies as unknown as SumCopies;
  }

  async barrier(): Promise<void> {
    const { control } = this;
    this.throwIfAborted();
    if (this.worldSize === 1) return;
    const generation = Atomics.load(control, GENERATION);
    if (Atomics.add(control, ARRIVED, 1) + 1 === this.worldSize) {
      Atomics.store(control, ARRIVED, 0);
      Atomics.add(control, GENERATION, 1);
      Atomics.notify(control, GENERATION);
      return;
    }
    for (let i = 0; i < SPINS; i++) if (Atomics.load(control, GENERATION) !== generation) return;
    while (Atomics.load(control, GENERATION) === generation) {
      this.throwIfAborted();
      if (Atomics.wait(control, GENERATION, generation, SLEEP_MILLISECONDS) === 'timed-out')
        await turnEventLoop();
    }
  }

  private throwIfAborted(): void {
    if (Atomics.load(this.control, ABORTED) !== 0) {
      throw new UserError(
        'state',
        `Worker ${this.rank} stopped because another worker of the group failed; its message says why.`,
      );
    }
  }

  async sum(values: readonly number[]): Promise<number[]> {
    if (values.length > SUM_CAPACITY)
      throw new Error(`ranks.sum: ${values.length} values, at most ${SUM_CAPACITY}.`);
    if (this.worldSize === 1) return [...values];
    // Two sets of slots by turns: whoever writes the next sum cannot disturb a rank that still
    // reads this one.
    const set = (this.sumCalls++ % 2) * this.worldSize * SUM_CAPACITY;
    this.sums.set(values, set + this.rank * SUM_CAPACITY);
    await this.barrier();
    const total = new Array<number>(values.length).fill(0);
    for (let r = 0; r < this.worldSize; r++) {
      const slot = set + r * SUM_CAPACITY;
      for (let i = 0; i < total.length; i++) total[i] += this.sums[slot + i];
    }
    return total;
  }

  reduce(tensor: Tensor): void {
    const t: WasmTensor = f32Local('ranks.reduce', tensor);
    if (this.worldSize === 1 || t.size === 0) return;
    this.sumCopies(
      t.address,
      t.address - this.rank * this.regionBytes,
      this.regionBytes,
      this.worldSize,
      t.size,
    );
  }
}
