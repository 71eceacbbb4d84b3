/**
 * @file The whole contract between Reckoner and a device.
 *
 * Everything above this file (operations, models, trainers) works with handles. Data may live in a
 * WebAssembly memory, in JavaScript arrays or in a GPU's buffers; nobody but the backend looks.
 * Methods enqueue work and return at once; the only ways to see data are `read` and `sync`, and
 * both are awaited. So a WebGPU backend can implement this interface without a change to any model
 * or trainer.
 *
 * Conventions, everywhere:
 * - An operation takes one object: its tensors and numbers by name. An output never overlaps an
 *   input unless the declaration says so.
 * - A tensor is row-major. A matrix view may have a `rowStride` larger than its row length (a
 *   column slice of a wider matrix); operations accept strided views exactly where they are
 *   declared `strided`. Everything else must be contiguous.
 * - Every backend refuses a call that its declaration does not allow, in the same words.
 * - "rows" of a tensor are all its dimensions but the last, flattened.
 * - `accumulate: true` adds to what the output holds; `false` overwrites it (the output may be
 *   uninitialised).
 * - Any dimension may be 0; the call then does nothing, except that a non-accumulating output is
 *   still defined (zeros for a product over an empty inner dimension).
 * - The same call on the same bits gives the same bits.
 *
 * Memory is a stack, not a heap: `allocate` moves its top, `release(mark())` moves it back. A stage
 * marks the stack, puts its gradients and caches on it, and each step marks it again for
 * activations. Memory does not grow from step to step.
 */

import type { FrozenRows } from './forms.js';
import type { ArgumentsOf } from './operations/declare.js';
import { type HostArray, type Mark, matrixOf, type Placement, type Tensor } from './tensor.js';

export type { Form, FrozenRows } from './forms.js';
export * from './tensor.js';

/**
 * The declarations of all operations by name. Every file under `operations/` adds its own (by a
 * `declare module`), so that this file does not depend on them.
 */
// biome-ignore lint/suspicious/noEmptyInterface: it is filled where operations are declared
export interface Operations {}

export type OperationName = keyof Operations;

/** What one operation takes. */
export type Call<K extends OperationName> = ArgumentsOf<Operations[K]>;

/** A backend's methods that compute: each takes one object of arguments. */
export type Methods = { readonly [K in OperationName]: (call: Call<K>) => void };

export interface MemoryUse {
  localBytes: number;
  /** Largest `localBytes` since the backend was made. */
  localHighWaterBytes: number;
  sharedBytes: number;
  sharedHighWaterBytes: number;
}

/** The ranks of a data-parallel group, all running the same program. */
export interface Ranks {
  readonly rank: number;
  readonly worldSize: number;
  /** Waits until every rank has come here. @throws UserError when another rank has failed. */
  barrier(): Promise<void>;
  /**
   * Every rank gives `values` (equally many, at most 1024); every rank gets their sums, added in
   * rank order (float64).
   */
  sum(values: readonly number[]): Promise<number[]>;
  /**
   * Adds one tensor over all ranks: `tensor` must be the same local allocation in every rank. After
   * the call this rank's copy holds the sum, added in rank order. The caller puts a `barrier`
   * before (all ranks have written) and one after (before anyone overwrites); different ranks may
   * reduce different tensors or rows at the same time.
   */
  reduce(tensor: Tensor): void;
}

/**
 * A device: memory, and a method for each operation of `operations/index.ts`. What an operation
 * takes and does is declared there, beside its reference.
 */
export interface Backend extends Methods {
  readonly name: string;
  /**
   * What results rest on, for the snapshot: backend, kernel build, matrix-product library and
   * version.
   */
  readonly fingerprint: string;
  /** The host's own processor does the work; false where it waits for a device that does. */
  readonly onHost: boolean;
  /** Threads that compute a product together; 1 where it is left out. */
  readonly threads?: number;
  readonly ranks: Ranks;

  // ── memory ─────────────────────────────────────────────────────────────────────────────────────
  /**
   * Uninitialised. @throws UserError (state) when memory is exhausted; the message says how much
   * was asked for.
   */
  allocate(dtype: 'f32' | 'i32', shape: readonly number[], placement?: Placement): Tensor;
  mark(): Mark;
  /** Frees everything allocated since `mark`. */
  release(mark: Mark): void;
  memory(): MemoryUse;
  /**
   * A frozen matrix, kept outside the working memory: its rows, in one form or several, one part
   * below the other. The bytes are not copied and must not change once they are used.
   */
  freeze(parts: readonly FrozenRows[], columns: number): Tensor;
  /**
   * Another shape over the same numbers, starting `offset` elements in. `rowStride` defaults to the
   * last dimension.
   */
  view(tensor: Tensor, offset: number, shape: readonly number[], rowStride?: number): Tensor;
  /** Copies host data into the start of a contiguous tensor. */
  write(tensor: Tensor, data: HostArray | readonly number[]): void;
  /** A copy of a contiguous tensor's numbers. The only way to see them. */
  read(tensor: Tensor): Promise<HostArray>;
  /** Waits until everything enqueued is done. */
  sync(): Promise<void>;
  /** Releases workers, buffers and libraries. */
  close(): Promise<void>;
  /**
   * From now on a row of a product depends, to the last bit, on that row of `a` and on `b` alone,
   * not on how many rows there are. Slower; for what must come out the same whatever else is in a
   * batch. A backend without the method has it always.
   */
  independentRows?(on: boolean): void;
}

/** Columns [from, to) of a matrix, as a strided view. */
export function columns(backend: Backend, tensor: Tensor, from: number, to: number): Tensor {
  return backend.view(tensor, from, [matrixOf(tensor).rows, to - from], tensor.rowStride);
}

/** Rows [from, to) of a matrix, as a view. */
export function rows(backend: Backend, tensor: Tensor, from: number, to: number): Tensor {
  return backend.view(
    tensor,
    from * tensor.rowStride,
    [to - from, matrixOf(tensor).columns],
    tensor.rowStride,
  );
}
