/**
 * @file How one WebAssembly memory is divided among the ranks of a data-parallel group.
 *
 *     | static data | control block | sums | shared stack | rank 0: scratch, stack | rank 1: scratch, stack | …
 *
 * All ranks instantiate the kernels over the same memory, so weights exist once and a gradient is
 * reduced by reading the peers' copies directly: a local allocation lies at the same offset in
 * every rank's region. The kernels hold no mutable static data (AssemblyScript's stub runtime, no
 * global arrays), so instances do not disturb each other. Pages that nobody touched cost nothing,
 * so regions can be generous; a WASM memory ends at 4 GiB.
 */
import { UserError } from '../../../base/errors.js';
import type { Placement } from '../../backend.js';
import { type Stack, Stacks } from '../shared/stacks.js';
import { ATTENTION_SCRATCH_BYTES } from './attention.js';
import { FROZEN_TILE_BYTES, GEMM_SCRATCH_BYTES } from './gemm.js';

export const ALIGNMENT = 64;
/** Values that `Ranks.sum` takes at most. */
export const SUM_CAPACITY = 1024;

const PAGE = 65536;
const LIMIT = 65536 * PAGE;
const CONTROL_BYTES = PAGE;
const DEFAULT_SHARED_BYTES = 256 * 1024 * 1024;
const DEFAULT_LOCAL_BYTES = 2 * 1024 * 1024 * 1024;
/** Where the system does not give the default, half of it is asked for, and so on down to this. */
const LEAST_LOCAL_BYTES = 128 * 1024 * 1024;

const align = (bytes: number, to: number): number => Math.ceil(bytes / to) * to;
const megabytes = (bytes: number): string =>
  `${(bytes / 1048576).toFixed(bytes < 10485760 ? 1 : 0)} MB`;

export interface WasmMemoryOptions {
  worldSize?: number;
  /** Size of the stack that all ranks see. Default 256 MB. */
  sharedBytes?: number;
  /** Size of each rank's own stack. Default 2 GB, less when 4 GB do not hold that many. */
  localBytes?: number;
  /** Threads that help with the products of the only rank. Default 0. */
  helpers?: number;
}

/**
 * A memory and its division; post it to workers, which join with `createWasmBackend({ memory, rank
 * })`.
 */
export interface WasmMemory {
  readonly memory: WebAssembly.Memory;
  readonly worldSize: number;
  readonly sharedBytes: number;
  readonly localBytes: number;
  readonly helpers: number;
}

/** Byte addresses of one rank's parts. */
export interface Layout {
  control: number;
  /** Float64 slots of `Ranks.sum`: [2, worldSize, SUM_CAPACITY]. */
  sums: number;
  shared: number;
  gemmScratch: number;
  attentionScratch: number;
  local: number;
  /** Words that the helpers and their rank share, and each helper's scratch. */
  team: number;
  helpers: readonly number[];
  /** Bytes from a rank's region to the next rank's. */
  regionBytes: number;
  totalBytes: number;
}

/** Of one helper. */
const HELPER_BYTES = align(GEMM_SCRATCH_BYTES + FROZEN_TILE_BYTES, PAGE);
const SCRATCH_BYTES =
  align(GEMM_SCRATCH_BYTES, ALIGNMENT) + align(ATTENTION_SCRATCH_BYTES, ALIGNMENT);

export function layoutOf(memory: Omit<WasmMemory, 'memory'>, rank: number): Layout {
  const control = PAGE;
  const sums = control + CONTROL_BYTES;
  const shared = align(sums + 2 * memory.worldSize * SUM_CAPACITY * 8, PAGE);
  const regions = align(shared + memory.sharedBytes, PAGE);
  const regionBytes = align(SCRATCH_BYTES + memory.localBytes, PAGE);
  const gemmScratch = regions + rank * regionBytes;
  const attentionScratch = gemmScratch + align(GEMM_SCRATCH_BYTES, ALIGNMENT);
  const team = regions + memory.worldSize * regionBytes;
  const helpers = Array.from(
    { length: memory.helpers },
    (_, i) => team + CONTROL_BYTES + i * HELPER_BYTES,
  );
  return {
    control,
    sums,
    shared,
    gemmScratch,
    attentionScratch,
    local: gemmScratch + SCRATCH_BYTES,
    team,
    helpers,
    regionBytes,
    totalBytes: team + (memory.helpers > 0 ? CONTROL_BYTES + memory.helpers * HELPER_BYTES : 0),
  };
}

/**
 * The memory of a group.
 * @throws UserError (usage) when it does not fit in 4 GiB, (state) when the system does not give
 * it.
 */
export function createWasmMemory(options: WasmMemoryOptions = {}): WasmMemory {
  const worldSize = options.worldSize ?? 1;
  if (!Number.isInteger(worldSize) || worldSize < 1)
    throw new UserError('usage', `worldSize is ${worldSize}, not a positive integer.`);
  const sharedBytes = align(options.sharedBytes ?? DEFAULT_SHARED_BYTES, PAGE);
  const { helpers = 0 } = options;
  const room = layoutOf({ worldSize, sharedBytes, localBytes: 0, helpers }, 0).totalBytes;
  const perRank = Math.floor((LIMIT - room) / worldSize / PAGE) * PAGE;
  const localBytes =
    options.localBytes === undefined
      ? Math.min(DEFAULT_LOCAL_BYTES, perRank)
      : align(options.localBytes, PAGE);
  const { totalBytes } = layoutOf({ worldSize, sharedBytes, localBytes, helpers }, 0);
  if (perRank <= 0) {
    throw new UserError(
      'usage',
      `what ${worldSize} worker(s) share (weights, gradients and optimizer) needs ${megabytes(sharedBytes)}, but a WebAssembly memory ends at 4096 MB; use a smaller model, or train an adapter.`,
    );
  }
  if (totalBytes > LIMIT || localBytes <= 0) {
    throw new UserError(
      'usage',
      `${worldSize} worker(s) with ${megabytes(localBytes)} each and ${megabytes(sharedBytes)} shared need ` +
        `${megabytes(totalBytes)}, but a WebAssembly memory ends at 4096 MB; use fewer workers or smaller micro-batches.`,
    );
  }
  for (let local = localBytes; ; local = align(local / 2, PAGE)) {
    const { totalBytes: bytes } = layoutOf(
      { worldSize, sharedBytes, localBytes: local, helpers },
      0,
    );
    try {
      return { memory: allocate(bytes), worldSize, sharedBytes, localBytes: local, helpers };
    } catch (error) {
      // A phone may not give what a step will hardly need.
      if (options.localBytes === undefined && local > LEAST_LOCAL_BYTES) continue;
      throw new UserError(
        'state',
        `The system does not give ${megabytes(bytes)} of memory: ${(error as Error).message}`,
      );
    }
  }
}

function allocate(bytes: number): WebAssembly.Memory {
  const pages = bytes / PAGE;
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

/** One region that grows upwards and is cut back; positions are bytes. */
export class WasmStack implements Stack {
  top = 0;
  highWater = 0;

  constructor(
    private readonly name: Placement,
    private readonly base: number,
    private readonly capacity: number,
  ) {}

  get bytes(): number {
    return this.top;
  }

  push(bytes: number): number {
    const next = this.top + align(bytes, ALIGNMENT);
    if (next > this.capacity) {
      throw new UserError(
        'state',
        `Out of ${this.name} memory: ${megabytes(bytes)} asked for, ${megabytes(this.capacity - this.top)} of ` +
          `${megabytes(this.capacity)} left; use a smaller micro-batch or model, or fewer workers.`,
      );
    }
    const address = this.base + this.top;
    this.top = next;
    if (next > this.highWater) this.highWater = next;
    return address;
  }

  cutTo(top: number): void {
    this.top = top;
  }
}

/** The two stacks of a rank. */
export const createStacks = (memory: WasmMemory, layout: Layout): Stacks<WasmStack> =>
  new Stacks(
    new WasmStack('local', layout.local, memory.localBytes),
    new WasmStack('shared', layout.shared, memory.sharedBytes),
  );
