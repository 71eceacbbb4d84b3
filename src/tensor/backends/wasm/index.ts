/**
 * @file The CPU backend: SIMD kernels in WebAssembly over one memory that all ranks share, and our
 * machine code, or the system's BLAS, for matrix products.
 *
 * An operation calls one kernel with addresses and is done when it returns, so `sync` has nothing
 * to wait for.
 */
import { UserError } from '../../../base/errors.js';
import type {
  Backend,
  FrozenRows,
  HostArray,
  Mark,
  MemoryUse,
  Placement,
  Tensor,
} from '../../backend.js';
import { sliceRows } from '../../forms.js';
import { type BackendCore, withOperations } from '../shared/checked.js';
import {
  checkTransfer,
  checkView,
  frozenShape,
  sizeOfShape,
  viewedRows,
} from '../shared/handle.js';
import type { Stacks } from '../shared/stacks.js';
import { ATTENTION_SCRATCH_BYTES } from './attention.js';
import type { WasmContext } from './context.js';
import { decoder } from './decoder.js';
import { elementwise } from './elementwise.js';
import { experts } from './experts.js';
import { createGemm, GEMM_SCRATCH_BYTES, type Gemm, planGemm } from './gemm.js';
import { type IndependentRows, independentRows } from './independent-rows.js';
import type { KernelExports } from './kernels.js';
import type { Build, Kernels } from './load.js';
import {
  createStacks,
  createWasmMemory,
  layoutOf,
  type WasmMemory,
  type WasmMemoryOptions,
  type WasmStack,
} from './memory.js';
import type { GemmChoice, Products } from './product-choice.js';
import { expander, products } from './products.js';
import { WasmRanks } from './ranks.js';
import { WasmTensor } from './tensor.js';
import { vocabulary } from './vocabulary.js';

export { hasRelaxedSimd } from './features.js';
export type { Build, Kernels } from './load.js';
export { createWasmMemory, type WasmMemory, type WasmMemoryOptions } from './memory.js';
export type { GemmChoice, Products } from './product-choice.js';
export { PRODUCTS, productsOf } from './product-choice.js';
export { abortRanks } from './ranks.js';

export interface WasmBackendOptions extends WasmMemoryOptions {
  /**
   * The group's memory, from `createWasmMemory`; without it the backend makes its own, from the
   * sizes given here.
   */
  memory?: WasmMemory;
  /** Default 0. */
  rank?: number;
  /** Default `auto`: relaxed SIMD where the engine has it. */
  build?: Build;
  /** What may multiply matrices. Default `auto`. */
  products?: Products;
  /**
   * What the main thread found with `probeGemm`, so that all ranks compute alike; without it this
   * thread looks for itself.
   */
  choice?: GemmChoice;
  /** Compiled kernels, for hosts without files (a browser) or to spare workers the compilation. */
  kernels?: Kernels;
}

/**
 * Decides what multiplies matrices, by measurement. The main thread asks before any worker starts,
 * and tells them all.
 */
export async function probeGemm(
  options: Pick<WasmBackendOptions, 'products' | 'build' | 'kernels'> = {},
): Promise<GemmChoice> {
  const kernels = options.kernels ?? (await import('./load.js')).loadKernels(options.build);
  return planGemm(kernels, options.products);
}

/** @throws UserError when memory, kernels or options are not to be had. */
export async function createWasmBackend(options: WasmBackendOptions = {}): Promise<Backend> {
  const kernels = options.kernels ?? (await import('./load.js')).loadKernels(options.build);
  const memory = options.memory ?? createWasmMemory(options);
  const rank = options.rank ?? 0;
  if (!Number.isInteger(rank) || rank < 0 || rank >= memory.worldSize) {
    throw new UserError(
      'usage',
      `rank is ${rank}; it must be an integer from 0 to ${memory.worldSize - 1}.`,
    );
  }
  const abort = (): never => {
    throw new Error('A WASM kernel aborted.');
  };
  const { exports } = new WebAssembly.Instance(kernels.module, {
    env: { memory: memory.memory, abort },
  });
  const layout = layoutOf(memory, rank);
  const stacks = createStacks(memory, layout);
  const withScratch = scratchOf(stacks);
  const gemm = await createGemm({
    exports,
    memory: memory.memory,
    scratch: layout.gemmScratch,
    withScratch,
    team: memory.helpers > 0 ? { control: layout.team, helpers: layout.helpers } : undefined,
    scratchBytes: GEMM_SCRATCH_BYTES,
    products: options.products,
    relaxed: kernels.relaxed,
    choice: options.choice,
  });
  const core = new WasmCore(
    memory,
    rank,
    { ...exports, ...gemm.exports } as WebAssembly.Exports,
    kernels,
    gemm,
    stacks,
  );
  const { i32s } = core.context;
  return withOperations(
    core,
    core.context,
    { ...elementwise, ...products, ...decoder, ...experts, ...vocabulary },
    (t: WasmTensor) => i32s[t.address / 4 + t.size - 1],
  );
}

const columnsOf = (shape: readonly number[]): number =>
  shape.length === 0 ? 1 : shape[shape.length - 1];

/** Runs a body with bytes from the top of the local stack. */
const scratchOf =
  ({ local }: Stacks<WasmStack>): WasmContext['withScratch'] =>
  (bytes, body) => {
    const { top } = local;
    const address = local.push(bytes);
    try {
      body(address);
    } finally {
      local.cutTo(top);
    }
  };

/** Memory and identity: all but the operations. */
class WasmCore implements BackendCore {
  readonly name = 'wasm';
  readonly onHost = true;
  readonly threads: number;
  readonly fingerprint: string;
  readonly ranks: WasmRanks;
  readonly context: WasmContext;
  private readonly blocks: IndependentRows;

  constructor(
    memory: WasmMemory,
    rank: number,
    exports: WebAssembly.Exports,
    kernels: Kernels,
    private readonly gemm: Gemm,
    private readonly stacks: Stacks<WasmStack>,
  ) {
    const layout = layoutOf(memory, rank);
    const { buffer } = memory.memory;
    this.fingerprint = `wasm ${kernels.relaxed ? 'relaxed' : 'plain'} ${kernels.id}, ${gemm.name}`;
    this.threads = gemm.threads ?? 1;
    this.ranks = new WasmRanks(memory, rank, exports);
    const withScratch = scratchOf(stacks);
    const own = exports as unknown as KernelExports;
    this.blocks = independentRows(gemm, memory.memory, withScratch);
    this.context = {
      kernels: own,
      f32s: new Float32Array(buffer),
      i32s: new Int32Array(buffer),
      products: {
        gemm: this.blocks.gemm,
        expand: expander(gemm, own, memory.memory, withScratch),
        withScratch,
      },
      attention: {
        kernels: own,
        memory: memory.memory,
        gemm,
        scratch: layout.attentionScratch,
        scratchBytes: ATTENTION_SCRATCH_BYTES,
      },
      withScratch,
    };
  }

  allocate(dtype: 'f32' | 'i32', shape: readonly number[], placement: Placement = 'local'): Tensor {
    const address = this.stacks.of(placement).push(4 * sizeOfShape('allocate', shape));
    return new WasmTensor(dtype, shape, columnsOf(shape), placement, address);
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

  freeze(parts: readonly FrozenRows[], columns: number): Tensor {
    return new WasmTensor('frozen', frozenShape(parts, columns), columns, 'local', 0, parts);
  }

  view(
    tensor: Tensor,
    offset: number,
    shape: readonly number[],
    rowStride = columnsOf(shape),
  ): Tensor {
    const t = tensor as WasmTensor;
    if (t.frozen) {
      const [from, to] = viewedRows(t, offset, shape, rowStride);
      return this.freeze(sliceRows(t.frozen, t.columns, from, to), t.columns);
    }
    const address = t.address + 4 * offset;
    return checkView(t, offset, new WasmTensor(t.dtype, shape, rowStride, t.placement, address));
  }

  write(tensor: Tensor, data: HostArray | readonly number[]): void {
    const t = tensor as WasmTensor;
    checkTransfer('write', t, data.length);
    this.numbersOf(t).set(data, t.address / 4);
  }

  async read(tensor: Tensor): Promise<HostArray> {
    const t = tensor as WasmTensor;
    checkTransfer('read', t);
    const from = t.address / 4;
    return this.numbersOf(t).slice(from, from + t.size);
  }

  private numbersOf(t: WasmTensor): Float32Array | Int32Array {
    return t.dtype === 'f32' ? this.context.f32s : this.context.i32s;
  }

  independentRows(on: boolean): void {
    this.blocks.switch(on);
  }

  async sync(): Promise<void> {}

  async close(): Promise<void> {
    await this.gemm.close?.();
  }
}
