/**
 * @file The reference backend's memory: a stack of typed arrays.
 *
 * "Uninitialised" is taken at its word: fresh and freed floats are NaN, so a kernel or a model that
 * reads what was never written, or what was already released, shows it at once.
 */
import { UserError } from '../../../base/errors.js';
import type { DType, HostArray, Placement, Tensor } from '../../backend.js';
import type { Matrix } from '../../operations/reference-kernel.js';
import { checkFrozen, checkTransfer, checkView, Handle, sizeOfShape } from '../shared/handle.js';
import { type Stack, Stacks } from '../shared/stacks.js';

type Numbers = Float64Array | Int32Array | Uint16Array;

/** Its numbers are `data` from `offset` on. */
export class ReferenceTensor extends Handle {
  constructor(
    dtype: DType,
    shape: readonly number[],
    rowStride: number,
    placement: Placement,
    readonly data: Numbers,
    readonly offset: number,
  ) {
    super(dtype, shape, rowStride, placement);
  }

  get storage(): unknown {
    return this.data;
  }
}

function poison(data: Numbers): void {
  if (data instanceof Float64Array) data.fill(Number.NaN);
  else data.fill(-0x80000000);
}

/** Positions are numbers of allocations. */
class ArrayStack implements Stack {
  private readonly allocations: Numbers[] = [];
  bytes = 0;
  highWater = 0;

  get top(): number {
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

  cutTo(top: number): void {
    for (const data of this.allocations.splice(top)) {
      this.bytes -= data.byteLength;
      poison(data);
    }
  }
}

export function createMemory() {
  const stacks = new Stacks(new ArrayStack(), new ArrayStack());
  const lastOf = (shape: readonly number[]): number => shape[shape.length - 1] ?? 1;
  return {
    allocate(dtype: 'f32' | 'i32', shape: readonly number[], placement: Placement = 'local') {
      const data = stacks.of(placement).push(dtype, sizeOfShape('allocate', shape));
      return new ReferenceTensor(dtype, [...shape], lastOf(shape), placement, data, 0);
    },
    mark: () => stacks.mark(),
    release: (mark: Parameters<typeof stacks.release>[0]) => stacks.release(mark),
    memory: () => stacks.use(),
    freeze(bits: Uint16Array, shape: readonly [number, number]) {
      checkFrozen(bits, shape);
      return new ReferenceTensor('bf16', [...shape], shape[1], 'local', bits, 0);
    },
    view(tensor: Tensor, offset: number, shape: readonly number[], rowStride = lastOf(shape)) {
      const t = tensor as ReferenceTensor;
      const at = t.offset + offset;
      return checkView(
        t,
        offset,
        new ReferenceTensor(t.dtype, [...shape], rowStride, t.placement, t.data, at),
      );
    },
    write(tensor: Tensor, values: ArrayLike<number>): void {
      const t = tensor as ReferenceTensor;
      checkTransfer('write', t, values.length);
      flat(t).set(values);
    },
    async read(tensor: Tensor): Promise<HostArray> {
      const t = tensor as ReferenceTensor;
      checkTransfer('read', t);
      return flat(t).slice() as HostArray;
    },
  };
}

/** The numbers of a contiguous tensor, in place. */
export function flat(t: ReferenceTensor): Numbers {
  return t.data.subarray(t.offset, t.offset + t.size);
}

/** An f32 tensor, strided or not, as a matrix in place; a bf16 tensor as a float64 copy. */
export function matrix(t: ReferenceTensor): Matrix {
  const { data, offset, rows, columns, rowStride } = t;
  if (data instanceof Float64Array) return { data, offset, rows, columns, stride: rowStride };
  // A bfloat16 is the upper half of a float32.
  const bits = new Uint32Array(rows * columns);
  for (let i = 0; i < rows; i++)
    for (let j = 0; j < columns; j++)
      bits[i * columns + j] = data[offset + i * rowStride + j] << 16;
  const numbers = Float64Array.from(new Float32Array(bits.buffer));
  return { data: numbers, offset: 0, rows, columns, stride: columns };
}
