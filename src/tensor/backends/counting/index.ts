/**
 * @file A backend that computes nothing and counts memory: what a program allocates on it is what
 * it allocates on the WASM backend, to the byte, in milliseconds and without the memory.
 *
 * Every call is checked as on any backend. Everything that is read is zero.
 */
import type { Backend, FrozenRows, HostArray, Placement, Tensor } from '../../backend.js';
import type { Declaration } from '../../operations/declare.js';
import { OPERATIONS } from '../../operations/index.js';
import { type BackendCore, type Kernels, withOperations } from '../shared/checked.js';
import { checkTransfer, checkView, frozenShape, Handle, sizeOfShape } from '../shared/handle.js';
import { type Stack, Stacks } from '../shared/stacks.js';
import { ALIGNMENT } from '../wasm/memory.js';

class CountedTensor extends Handle {
  readonly storage: unknown;

  constructor(
    dtype: Tensor['dtype'],
    shape: readonly number[],
    rowStride: number,
    placement: Placement,
    storage?: unknown,
  ) {
    super(dtype, shape, rowStride, placement);
    this.storage = storage ?? this;
  }
}

class CountedStack implements Stack {
  top = 0;
  highWater = 0;

  get bytes(): number {
    return this.top;
  }

  push(bytes: number): void {
    this.top += Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    this.highWater = Math.max(this.highWater, this.top);
  }

  cutTo(top: number): void {
    this.top = top;
  }

  /** Forgets what was higher than now. */
  rest(): void {
    this.highWater = this.top;
  }
}

export interface CountingBackend extends Backend {
  /** From now on high-water marks are of what comes. */
  restHighWater(): void;
}

/** Nothing is computed; what other backends compose of other operations is composed here, too. */
const nothing = (): void => {};
const kernels = Object.fromEntries(
  Object.entries(OPERATIONS)
    .filter(([, declared]) => !(declared as unknown as Declaration).compose)
    .map(([name]) => [name, nothing]),
) as unknown as Kernels<null, CountedTensor>;

const columnsOf = (shape: readonly number[]): number => shape[shape.length - 1] ?? 1;

/** A rank of its own, with as much memory as is asked for. */
export function createCountingBackend(): CountingBackend {
  const stacks = new Stacks(new CountedStack(), new CountedStack());
  const core: BackendCore & Pick<CountingBackend, 'restHighWater'> = {
    name: 'counting',
    restHighWater() {
      stacks.local.rest();
      stacks.shared.rest();
    },
    onHost: true,
    fingerprint: 'counting',
    ranks: {
      rank: 0,
      worldSize: 1,
      barrier: async () => {},
      sum: async (values) => [...values],
      reduce: nothing,
    },
    allocate(dtype, shape, placement = 'local') {
      stacks.of(placement).push(4 * sizeOfShape('allocate', shape));
      return new CountedTensor(dtype, shape, columnsOf(shape), placement);
    },
    mark: () => stacks.mark(),
    release: (mark) => stacks.release(mark),
    memory: () => stacks.use(),
    freeze(parts: readonly FrozenRows[], columns: number) {
      return new CountedTensor('frozen', frozenShape(parts, columns), columns, 'local');
    },
    view(tensor, offset, shape, rowStride = columnsOf(shape)) {
      const t = tensor as CountedTensor;
      const view = new CountedTensor(t.dtype, shape, rowStride, t.placement, t.storage);
      return checkView(t, offset, view);
    },
    write: (tensor, data) => checkTransfer('write', tensor as CountedTensor, data.length),
    async read(tensor): Promise<HostArray> {
      const t = tensor as CountedTensor;
      checkTransfer('read', t);
      return t.dtype === 'i32' ? new Int32Array(t.size) : new Float32Array(t.size);
    },
    sync: async () => {},
    close: async () => {},
  };
  return withOperations<null, CountedTensor, typeof core>(core, null, kernels, null);
}
