/**
 * @file What GPU there is and how fast it is, measured; and the choice between it and the
 * processor.
 */
import { availableParallelism } from 'node:os';
import type { Backend } from '../../tensor/backend.js';
import { createWasmBackend, type Products, probeGemm } from '../../tensor/backends/wasm/index.js';
import {
  type AdapterDescription,
  createWebGpuBackend,
  describeAdapter,
  findAdapter,
  findAdapters,
  type GpuAdapter,
  INSTALL_HINT,
  openGpu,
  type Precision,
} from '../../tensor/backends/webgpu/index.js';
import type { BackendKind } from './backend.js';

export interface GpuReport extends AdapterDescription {
  /** Floating-point operations a second of a square product, 10⁹. */
  gflops: number;
  /** Bytes a second read and written by a copy, 10⁹. */
  gigabytesPerSecond: number;
}

/**
 * Seconds of one call: the best of several, each long enough to be seen, until `milliseconds` have
 * gone by.
 */
async function secondsOf(
  backend: Backend,
  call: () => void,
  milliseconds: number,
): Promise<number> {
  call();
  await backend.sync();
  let best = Number.POSITIVE_INFINITY;
  let calls = 1;
  const end = performance.now() + milliseconds;
  do {
    const start = performance.now();
    for (let i = 0; i < calls; i++) call();
    await backend.sync();
    const seconds = (performance.now() - start) / 1000;
    best = Math.min(best, seconds / calls);
    if (seconds < 0.02) calls = Math.min(256, 2 * calls);
  } while (performance.now() < end);
  return best;
}

/** 10⁹ floating-point operations a second of [rows, side] · [side, side]. */
export async function productGflops(
  backend: Backend,
  rows: number,
  side: number,
  milliseconds = 200,
): Promise<number> {
  const mark = backend.mark();
  const [out, a, b] = [
    [rows, side],
    [rows, side],
    [side, side],
  ].map((shape) => backend.allocate('f32', shape));
  backend.fill({ out: a, value: 0.5 });
  backend.fill({ out: b, value: 0.25 });
  const seconds = await secondsOf(
    backend,
    () => backend.matmul({ out, a, b, transposeB: true }),
    milliseconds,
  );
  backend.release(mark);
  return (2 * rows * side * side) / seconds / 1e9;
}

async function copyRate(backend: Backend, numbers: number): Promise<number> {
  const mark = backend.mark();
  const [out, a] = [0, 1].map(() => backend.allocate('f32', [numbers]));
  backend.fill({ out: a, value: 1 });
  const seconds = await secondsOf(backend, () => backend.copy({ out, a }), 200);
  backend.release(mark);
  return (8 * numbers) / seconds / 1e9;
}

/** Every adapter, measured for about half a second; the first is what `--backend webgpu` takes. */
export async function inspectGpus(precision?: Precision): Promise<GpuReport[]> {
  const reports: GpuReport[] = [];
  for (const adapter of await findAdapters()) reports.push(await inspect(adapter, precision));
  return reports;
}

async function inspect(adapter: GpuAdapter, precision?: Precision): Promise<GpuReport> {
  const description = describeAdapter(adapter);
  const backend = await createWebGpuBackend({ adapter, precision });
  try {
    const size = description.hardware ? 2048 : 256;
    return {
      ...description,
      gflops: await productGflops(backend, size, size),
      gigabytesPerSecond: await copyRate(backend, description.hardware ? 1 << 24 : 1 << 20),
    };
  } finally {
    await backend.close();
  }
}

/** Why no GPU is used: what to add. */
export async function gpuAdvice(): Promise<string | null> {
  return (await openGpu()) ? null : `a GPU can be used through WebGPU: ${INSTALL_HINT}`;
}

export interface ChoiceRequest {
  products?: Products;
  /** Model configurations of the run. */
  models: readonly object[];
  /** Called with what `auto` chose, and why. */
  onChoice?: (kind: BackendKind, why: string) => void;
}

/**
 * `auto` becomes a GPU where there is a real one whose products at the model's own width are faster
 * than all cores' together; a software adapter is never chosen.
 */
export async function resolveBackend(
  asked: BackendKind | 'auto',
  { products, models, onChoice }: ChoiceRequest,
): Promise<BackendKind> {
  if (asked !== 'auto') return asked;
  const adapter = await findAdapter();
  if (!adapter) {
    onChoice?.('wasm', `there is no GPU (${(await gpuAdvice()) ?? 'WebGPU finds no adapter'})`);
    return 'wasm';
  }
  const { name, hardware } = describeAdapter(adapter);
  if (!hardware) {
    onChoice?.('wasm', `${name} is a software adapter, not a GPU`);
    return 'wasm';
  }
  const side = Math.max(
    64,
    ...models.map((model) => Number((model as { hidden_size?: number }).hidden_size ?? 0)),
  );
  const rate = async (backend: Backend): Promise<number> => {
    try {
      return await productGflops(backend, 1024, side);
    } finally {
      await backend.close();
    }
  };
  const gpu = await rate(await createWebGpuBackend({ adapter }));
  const choice = await probeGemm({ products });
  const localBytes = 4 * (3 * 1024 * side + side * side) + 2 ** 24;
  const cores =
    availableParallelism() *
    (await rate(await createWasmBackend({ choice, sharedBytes: 65536, localBytes })));
  const kind = gpu > cores ? 'webgpu' : 'wasm';
  const [g, c] = [gpu, cores].map((value) => value.toFixed(0));
  onChoice?.(
    kind,
    `at a width of ${side}, ${name} does ${g} GFLOP/s and ${availableParallelism()} cores ${c}`,
  );
  return kind;
}
