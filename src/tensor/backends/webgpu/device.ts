/**
 * @file What the kernels may use of a device, and opening one with it.
 */
import { describeAdapter } from './adapter.js';
import { type Features, THREADS } from './context.js';
import type { GpuAdapter, GpuDevice } from './gpu.js';
import type { Runner } from './runner.js';
import type { GpuTensor } from './tensor.js';

/**
 * `f32`: everything. `mixed`: operands of large products are scaled and rounded to f16; sums,
 * weights and optimizer stay f32.
 */
export type Precision = 'f32' | 'mixed';

export const PRECISIONS = ['f32', 'mixed'] as const;

export interface WebGpuBackendOptions {
  /** Default: the system's preferred one. */
  adapter?: GpuAdapter;
  /** Default `f32`. */
  precision?: Precision;
  /** False keeps `mixed` off the matrix units. Default true. */
  matrixUnits?: boolean;
  /** False joins numbers in workgroup memory alone; the bits are the same. Default true. */
  subgroups?: boolean;
  /** Kernels that need no barriers. Default: with software adapters. */
  plain?: boolean;
  /** Most bytes on the device. Default: no limit but the device's own. */
  maxBytes?: number;
}

/** Other kernels, other bits: changes when their text changes what is computed. */
const KERNELS = 2;

/**
 * The shape of matrix units that the kernels can use: f16 to f32, tiles of 32 × 32 × 32 made of it.
 */
function matrixShape(adapter: GpuAdapter): Features['matrix'] {
  const { subgroupMatrixConfigs = [], subgroupMinSize = 0, subgroupMaxSize = 0 } = adapter.info;
  if (subgroupMinSize !== subgroupMaxSize || subgroupMinSize < 4 || subgroupMinSize > 64)
    return null;
  for (const { componentType, resultComponentType, M, N, K } of subgroupMatrixConfigs) {
    const right =
      componentType === 'f16' &&
      resultComponentType === 'f32' &&
      32 % M === 0 &&
      32 % N === 0 &&
      32 % K === 0;
    if (right) return { m: M, n: N, k: K, subgroup: subgroupMinSize };
  }
  return null;
}

export function featuresOf(
  adapter: GpuAdapter,
  { precision = 'f32', matrixUnits = true, subgroups = true, plain }: WebGpuBackendOptions,
): Features {
  const without = plain ?? !describeAdapter(adapter).hardware;
  const half = precision === 'mixed' && adapter.features.has('shader-f16') && !without;
  const units =
    half && matrixUnits && adapter.features.has('chromium-experimental-subgroup-matrix');
  const shuffles = adapter.features.has('subgroups');
  return {
    half,
    matrix: units && shuffles ? matrixShape(adapter) : null,
    subgroup: subgroups && shuffles ? (adapter.info.subgroupMinSize ?? 0) : 0,
    plain: without,
  };
}

/**
 * What `createWebGpuBackend` with these options will be called: the same on every run of the same
 * device.
 */
export function webGpuFingerprint(adapter: GpuAdapter, options: WebGpuBackendOptions = {}): string {
  const { half, matrix, plain } = featuresOf(adapter, options);
  const tier = matrix ? `f16 units ${matrix.m}x${matrix.n}x${matrix.k}` : half ? 'f16' : 'f32';
  return `webgpu ${describeAdapter(adapter).name}, kernels ${KERNELS}${plain ? ' plain' : ''}, ${tier}`;
}

export function openDevice(adapter: GpuAdapter, features: Features): Promise<GpuDevice> {
  const requiredFeatures: string[] = [];
  if (features.half) requiredFeatures.push('shader-f16');
  if (features.matrix || features.subgroup > 0) requiredFeatures.push('subgroups');
  if (features.matrix) requiredFeatures.push('chromium-experimental-subgroup-matrix');
  const { limits } = adapter;
  return adapter.requestDevice({
    requiredFeatures,
    requiredLimits: {
      maxBufferSize: limits.maxBufferSize,
      maxStorageBufferBindingSize: limits.maxStorageBufferBindingSize,
      maxStorageBuffersPerShaderStage: limits.maxStorageBuffersPerShaderStage,
      maxComputeWorkgroupStorageSize: limits.maxComputeWorkgroupStorageSize,
    },
  });
}

/**
 * True when thread t shuffles with thread t ^ distance for every distance below `subgroup`. WGSL
 * does not promise that threads lie in subgroups by their numbers; every driver known lays them so,
 * and one that does not is found out here.
 * @param out room for as many integers as a group has threads
 */
export async function threadsLieInOrder(
  runner: Runner,
  out: GpuTensor,
  subgroup: number,
): Promise<boolean> {
  const distances = Array.from({ length: Math.log2(subgroup) }, (_, i) => 2 ** i);
  runner.run(
    'order of threads',
    () => ({
      operands: ['out'],
      parameters: {},
      threads: THREADS,
      body: `  var wrong = 0u;
${distances.map((d) => `  wrong |= subgroupShuffleXor(tid, ${d}u) ^ tid ^ ${d}u;`).join('\n')}
  put_out(tid, wrong);`,
    }),
    { out },
    {},
    1,
  );
  const found = new Uint32Array(await runner.read(out.slab.buffer, 4 * out.offset, 4 * THREADS));
  return found.every((wrong) => wrong === 0);
}
