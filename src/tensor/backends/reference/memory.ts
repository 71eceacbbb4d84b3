/**
 * @file The reference backend's memory: a stack of typed arrays.
 *
 * "Uninitialised" is taken at its word: fresh and freed floats are NaN, so a kernel or a model that
 * reads what nobody wrote, or what was already released, shows it at once.
 */
import { UserError } from '../../../base/errors.js';
import {
  isContiguous,
  type Mark,
  type MemoryUse,
  matrixOf,
  type Placement,
  sizeOf,
  type Tensor,
} from '../../backend.js';
import { demand, type Matrix } from '../../operations/reference-kernel.js';

type Numbers = Float64Array | Int32Array | Uint16Array;

/** Where a tensor's numbers are: `data` from `offset` on. */
interface Storage {
  readonly data: Numbers;
  readonly offset: number;
}

const storageOf = (tensor: Tensor): Storage => tensor.storage as Storage;

function poison(data: Numbers): void {
  if (data instanceof Float64Array) data.fill(Number.NaN);
  else data.fill(-0x80000000);
}

/** One stack of allocations. */
class Stack {
  private readonly allocations: Numbers[] = [];
  bytes = 0;
  highWater = 0;

  get height(): number {
    return this.allocations.length;
  }

  push(dtype: 'f32' | 'i32', size: number): Numbers {
    let data: Numbers;
    try {
      data = dtype === 'f32' ? new Float64Array(size) : new Int32Array(size);
    } catch {
      throw new UserError(
        'state',
        `out of memory: ${size} numbers were asked for; use a smaller batch or model`,
      );
    }
    poison(data);
    this.allocations.push(data);
    this.bytes += data.byteLength;
    this.highWater = Math.max(this.highWater, this.bytes);
    return data;
  }

  popTo(height: number): void {
    demand(
      height <= this.height,
      'release: the mark is above the top of the stack; it was released before',
    );
    for (const data of this.allocations.splice(height)) {
      this.bytes -= data.byteLength;
      poison(data);
    }
  }
}

export function createMemory() {
  const stacks: Record<Placement, Stack> = { local: new Stack(), shared: new Stack() };
  return {
    allocate(
      dtype: 'f32' | 'i32',
      shape: readonly number[],
      placement: Placement = 'local',
    ): Tensor {
      const data = stacks[placement].push(dtype, sizeOf({ shape }));
      return {
        dtype,
        shape: [...shape],
        rowStride: shape[shape.length - 1] ?? 1,
        placement,
        storage: { data, offset: 0 },
      };
    },
    mark: (): Mark => ({ local: stacks.local.height, shared: stacks.shared.height }),
    release(mark: Mark): void {
      stacks.local.popTo(mark.local);
      stacks.shared.popTo(mark.shared);
    },
    memory: (): MemoryUse => ({
      localBytes: stacks.local.bytes,
      localHighWaterBytes: stacks.local.highWater,
      sharedBytes: stacks.shared.bytes,
      sharedHighWaterBytes: stacks.shared.highWater,
    }),
    freeze(bits: Uint16Array, shape: readonly [number, number]): Tensor {
      demand(
        bits.length === shape[0] * shape[1],
        `freeze: ${bits.length} numbers do not fill [${shape}]`,
      );
      return {
        dtype: 'bf16',
        shape: [...shape],
        rowStride: shape[1],
        placement: 'local',
        storage: { data: bits, offset: 0 },
      };
    },
    view(
      tensor: Tensor,
      offset: number,
      shape: readonly number[],
      rowStride = shape[shape.length - 1] ?? 1,
    ): Tensor {
      const { data, offset: base } = storageOf(tensor);
      const view: Tensor = {
        ...tensor,
        shape: [...shape],
        rowStride,
        storage: { data, offset: base + offset },
      };
      const { rows, columns } = matrixOf(view);
      const end =
        rows === 0 || columns === 0 ? 0 : base + offset + (rows - 1) * rowStride + columns;
      demand(
        end <= data.length,
        `view: [${shape}] at ${offset} reaches beyond the ${data.length} numbers there`,
      );
      return view;
    },
    write(tensor: Tensor, values: ArrayLike<number>): void {
      demand(
        values.length <= sizeOf(tensor),
        `write: ${values.length} numbers do not fit into [${tensor.shape}]`,
      );
      (tensor.dtype === 'i32' ? ints(tensor) : floats(tensor)).set(values);
    },
    async read(tensor: Tensor): Promise<Float64Array | Int32Array> {
      if (tensor.dtype === 'i32') return ints(tensor).slice();
      if (tensor.dtype === 'bf16') return matrix(tensor).data.slice();
      return floats(tensor).slice();
    },
  };
}

/** The numbers of a contiguous f32 tensor, in place. */
export function floats(tensor: Tensor): Float64Array {
  const { data, offset } = storageOf(tensor);
  demand(
    data instanceof Float64Array,
    `an f32 tensor was expected, not ${tensor.dtype} [${tensor.shape}]`,
  );
  demand(
    isContiguous(tensor),
    `a contiguous tensor was expected, not [${tensor.shape}] with stride ${tensor.rowStride}`,
  );
  return data.subarray(offset, offset + sizeOf(tensor));
}

/** The numbers of a contiguous i32 tensor, in place. */
export function ints(tensor: Tensor): Int32Array {
  const { data, offset } = storageOf(tensor);
  demand(
    data instanceof Int32Array,
    `an i32 tensor was expected, not ${tensor.dtype} [${tensor.shape}]`,
  );
  demand(
    isContiguous(tensor),
    `a contiguous tensor was expected, not [${tensor.shape}] with stride ${tensor.rowStride}`,
  );
  return data.subarray(offset, offset + sizeOf(tensor));
}

/** An f32 tensor, strided or not, as a matrix in place; a bf16 tensor as a float64 copy. */
export function matrix(tensor: Tensor): Matrix {
  const { data, offset } = storageOf(tensor);
  const { rows, columns } = matrixOf(tensor);
  if (data instanceof Uint16Array) {
    // A bfloat16 is the upper half of a float32.
    const bits = new Uint32Array(rows * columns);
    for (let i = 0; i < rows; i++) {
      for (let j = 0; j < columns; j++)
        bits[i * columns + j] = data[offset + i * tensor.rowStride + j] << 16;
    }
    return {
      data: Float64Array.from(new Float32Array(bits.buffer)),
      offset: 0,
      rows,
      columns,
      stride: columns,
    };
  }
  demand(
    data instanceof Float64Array,
    `an f32 tensor was expected, not ${tensor.dtype} [${tensor.shape}]`,
  );
  return { data, offset, rows, columns, stride: tensor.rowStride };
}
