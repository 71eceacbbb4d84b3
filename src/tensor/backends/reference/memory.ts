/**
 * @file The reference backend's memory: a stack of typed arrays.
 *
 * "Uninitialised" is taken at its word: fresh and freed floats are NaN, so a kernel or a model that
 * reads what was never written, or what was already released, shows it at once.
 */
import { UserError } from '../../../base/errors.js';
import type { DType, FrozenRows, HostArray, Placement, Tensor } from '../../backend.js';
import { expandRows, sliceRows } from '../../forms.js';
import type { Matrix } from '../../operations/reference-kernel.js';
import {
  checkTransfer,
  checkView,
  frozenShape,
  Handle,
  sizeOfShape,
  viewedRows,
} from '../shared/handle.js';
import { type Stack, Stacks } from '../shared/stacks.js';

type Numbers = Float64Array | Int32Array;

/** Its numbers are `data` from `offset` on. */
export class ReferenceTensor extends Handle {
  constructor(
    dtype: DType,
    shape: readonly number[],
    rowStride: number,
    placement: Placement,
    readonly data: Numbers,
    readonly offset: number,
    /** The rows of a frozen matrix, which has no `data`. */
    readonly frozen: readonly FrozenRows[] | null = null,
  ) {
    super(dtype, shape, rowStride, placement);
  }

  get storage(): unknown {
    return this.frozen ?? this.data;
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
    freeze(parts: readonly FrozenRows[], columns: number) {
      return frozenTensor(parts, frozenShape(parts, columns));
    },
    view(tensor: Tensor, offset: number, shape: readonly number[], rowStride = lastOf(shape)) {
      const t = tensor as ReferenceTensor;
      if (t.frozen) {
        const [from, to] = viewedRows(t, offset, shape, rowStride);
        return frozenTensor(sliceRows(t.frozen, t.columns, from, to), [to - from, t.columns]);
      }
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

const NOTHING = new Float64Array(0);

const frozenTensor = (parts: readonly FrozenRows[], shape: readonly [number, number]) =>
  new ReferenceTensor('frozen', shape, shape[1], 'local', NOTHING, 0, parts);

/** An f32 tensor, strided or not, as a matrix in place; a frozen one as a float64 copy. */
export function matrix(t: ReferenceTensor): Matrix {
  const { data, frozen, offset, rows, columns, rowStride } = t;
  if (!frozen) return { data: data as Float64Array, offset, rows, columns, stride: rowStride };
  const numbers = Float64Array.from(expandRows(frozen, columns));
  return { data: numbers, offset: 0, rows, columns, stride: columns };
}
