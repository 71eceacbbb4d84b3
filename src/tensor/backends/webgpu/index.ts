/**
 * @file The GPU backend: WGSL kernels through WebGPU, in a browser and, through Dawn, in Node.
 *
 * An operation encodes one or a few dispatches; nothing is known to be done before
 * `read` or `sync`. Memory is the contract's stack over a few large buffers (memory.ts), kernels
 * are text completed for a shape class (kernel.ts), calls go out in few submissions (runner.ts).
 * One rank: a GPU is parallel inside.
 */
import type {
  Backend,
  FrozenRows,
  HostArray,
  Mark,
  MemoryUse,
  Placement,
  Ranks,
  Tensor,
} from '../../backend.js';
import { expandRows, sliceRows } from '../../forms.js';
import { type BackendCore, withOperations } from '../shared/checked.js';
import {
  checkTransfer,
  checkView,
  frozenShape,
  sizeOfShape,
  viewedRows,
} from '../shared/handle.js';
import type { Stacks } from '../shared/stacks.js';
import { describeAdapter, requireAdapter } from './adapter.js';
import * as tiled from './attention.js';
import * as plain from './attention-plain.js';
import { type Context, type Features, THREADS } from './context.js';
import {
  featuresOf,
  openDevice,
  threadsLieInOrder,
  type WebGpuBackendOptions,
  webGpuFingerprint,
} from './device.js';
import * as elementwise from './elementwise.js';
import * as experts from './experts.js';
import type { GpuDevice } from './gpu.js';
import { createStacks, type SlabStack, Slabs } from './memory.js';
import { muon } from './muon.js';
import * as norm from './norm.js';
import * as products from './products.js';
import { Runner } from './runner.js';
import { GpuTensor, type Slab } from './tensor.js';
import * as vocabulary from './vocabulary.js';

export {
  type AdapterDescription,
  describeAdapter,
  findAdapter,
  findAdapters,
  INSTALL_HINT,
  openGpu,
  requireAdapter,
} from './adapter.js';
export {
  PRECISIONS,
  type Precision,
  type WebGpuBackendOptions,
  webGpuFingerprint,
} from './device.js';
export type { GpuAdapter } from './gpu.js';

/** @throws UserError when there is no WebGPU, no adapter, or no device */
export async function createWebGpuBackend(options: WebGpuBackendOptions = {}): Promise<Backend> {
  const adapter = options.adapter ?? (await requireAdapter());
  const features = featuresOf(adapter, options);
  const device = await openDevice(adapter, features);
  const fingerprint = webGpuFingerprint(adapter, options);
  const { name } = describeAdapter(adapter);
  const core = new WebGpuCore(device, name, fingerprint, features, options.maxBytes);
  await core.settle();
  const attentions = features.plain ? plain : tiled;
  const { attention, attentionBackward, attentionCached } = attentions;
  return withOperations<Context, GpuTensor, WebGpuCore>(
    core,
    core.context,
    {
      ...elementwise,
      ...norm,
      ...experts,
      ...vocabulary,
      ...products,
      attention,
      attentionBackward,
      attentionCached,
      muon,
    },
    null,
  );
}

/** Numbers of a frozen matrix that are expanded at a time. */
const EXPANDED = 1 << 20;

/** One rank: there is nobody to wait for. */
const ONE_RANK: Ranks = {
  rank: 0,
  worldSize: 1,
  barrier: async () => {},
  sum: async (values) => [...values],
  reduce: () => {},
};

const columnsOf = (shape: readonly number[]): number =>
  shape.length === 0 ? 1 : shape[shape.length - 1];

/** Memory and identity: all but the operations. */
class WebGpuCore implements BackendCore {
  readonly name = 'webgpu';
  readonly onHost = false;
  readonly ranks = ONE_RANK;
  private readonly slabs: Slabs;
  private readonly stacks: Stacks<SlabStack>;
  context: Context;
  private readonly runner: Runner;
  /** Frozen matrices that are on the device already, by the rows that they came from. */
  private readonly frozen = new WeakMap<readonly FrozenRows[], Slab>();

  constructor(
    device: GpuDevice,
    deviceName: string,
    readonly fingerprint: string,
    features: Features,
    maxBytes = Number.POSITIVE_INFINITY,
  ) {
    this.runner = new Runner(device, deviceName);
    const largest = Math.min(
      device.limits.maxBufferSize,
      device.limits.maxStorageBufferBindingSize,
    );
    this.slabs = new Slabs(device, largest - (largest % 256), maxBytes);
    this.stacks = createStacks(this.slabs);
    this.context = {
      runner: this.runner,
      features,
      withScratch: (numbers, body) => {
        const mark = this.mark();
        body(this.allocate('f32', [numbers]) as GpuTensor);
        this.release(mark);
      },
    };
  }

  /** Looks whether threads shuffle as the kernels want; otherwise they do without. */
  async settle(): Promise<void> {
    const { features } = this.context;
    if (features.subgroup === 0) return;
    const mark = this.mark();
    const out = this.allocate('i32', [THREADS]) as GpuTensor;
    const inOrder = await threadsLieInOrder(this.runner, out, features.subgroup);
    this.release(mark);
    if (!inOrder) this.context = { ...this.context, features: { ...features, subgroup: 0 } };
  }

  allocate(dtype: 'f32' | 'i32', shape: readonly number[], placement: Placement = 'local'): Tensor {
    const bytes = 4 * sizeOfShape('allocate', shape);
    const { slab, address } = this.stacks.of(placement).push(bytes);
    return new GpuTensor(dtype, [...shape], columnsOf(shape), placement, slab, address / 4);
  }

  mark(): Mark {
    return this.stacks.mark();
  }

  release(mark: Mark): void {
    this.stacks.release(mark);
  }

  memory(): MemoryUse {
    return this.stacks.use();
  }

  /**
   * BF16 stays what it is; other forms are expanded to float32 once. The bytes are copied when
   * the first kernel reads them.
   */
  freeze(parts: readonly FrozenRows[], columns: number): Tensor {
    const shape = frozenShape(parts, columns);
    const bf16 = parts.every(({ form }) => form === 'bf16');
    let slab = this.frozen.get(parts);
    if (!slab) {
      const size = (bf16 ? 2 : 4) * shape[0] * columns;
      slab = this.slabs.make(Math.max(256, Math.ceil(size / 256) * 256), 'frozen');
      const made = slab;
      slab.fill = () => {
        if (bf16) this.upload(made, parts);
        else this.uploadExpanded(made, parts, columns);
      };
      this.frozen.set(parts, slab);
    }
    return new GpuTensor('frozen', shape, columns, 'local', slab, 0, bf16);
  }

  /** A transfer is whole words, so what is left of one part goes with the next. */
  private upload(slab: Slab, parts: readonly FrozenRows[]): void {
    let at = 0;
    let left = new Uint8Array(0);
    parts.forEach(({ bytes }, i) => {
      let all = bytes;
      if (left.length > 0) {
        all = new Uint8Array(left.length + bytes.length);
        all.set(left);
        all.set(bytes, left.length);
      }
      const whole = all.length - (all.length % 4);
      this.runner.write(slab.buffer, at, all.subarray(0, whole));
      at += whole;
      left = all.slice(whole);
      if (i === parts.length - 1 && left.length > 0)
        this.runner.write(slab.buffer, at, Uint8Array.of(...left, 0, 0));
    });
  }

  private uploadExpanded(slab: Slab, parts: readonly FrozenRows[], columns: number): void {
    const most = Math.max(1, Math.floor(EXPANDED / Math.max(1, columns)));
    let done = 0;
    for (const part of parts)
      for (let from = 0; from < part.rows; from += most) {
        const rows = sliceRows([part], columns, from, Math.min(part.rows, from + most));
        const numbers = expandRows(rows, columns);
        this.runner.write(slab.buffer, 4 * done, new Uint8Array(numbers.buffer));
        done += numbers.length;
      }
  }

  view(
    tensor: Tensor,
    offset: number,
    shape: readonly number[],
    rowStride = columnsOf(shape),
  ): Tensor {
    const t = tensor as GpuTensor;
    if (t.dtype === 'frozen') viewedRows(t, offset, shape, rowStride);
    return checkView(t, offset, t.part(offset, shape, rowStride));
  }

  write(tensor: Tensor, data: HostArray | readonly number[]): void {
    const t = tensor as GpuTensor;
    checkTransfer('write', t, data.length);
    const Type = t.dtype === 'f32' ? Float32Array : Int32Array;
    const typed = data instanceof Type ? data : Type.from(data as ArrayLike<number>);
    this.runner.write(
      t.slab.buffer,
      4 * t.offset,
      new Uint8Array(typed.buffer, typed.byteOffset, typed.byteLength),
    );
  }

  async read(tensor: Tensor): Promise<HostArray> {
    const t = tensor as GpuTensor;
    checkTransfer('read', t);
    const data =
      t.size === 0
        ? new ArrayBuffer(0)
        : await this.runner.read(t.slab.buffer, 4 * t.offset, 4 * t.size);
    return t.dtype === 'f32' ? new Float32Array(data) : new Int32Array(data);
  }

  sync(): Promise<void> {
    return this.runner.sync();
  }

  async close(): Promise<void> {
    this.slabs.destroy();
    this.runner.close();
  }
}
