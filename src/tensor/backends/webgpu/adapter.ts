/**
 * @file Finding a GPU: a browser's, or Dawn's through the package `webgpu` in Node.
 *
 * The package is 130 MB of binaries, so it is an optional peer: whoever wants a GPU adds it. Dawn
 * logs and times out like a browser; its switches are set so that experiments (matrix units) are
 * offered where the driver has them.
 */
import { UserError } from '../../../base/errors.js';
import type { Gpu, GpuAdapter } from './gpu.js';

/** How to get WebGPU in Node, for messages. */
export const INSTALL_HINT = 'npm install --no-save -D webgpu';

const DAWN_SWITCHES = ['enable-dawn-features=allow_unsafe_apis'];

let opened: Promise<Gpu | null> | null = null;

/** True in a page or a browser's worker. */
const inBrowser = (): boolean =>
  !(globalThis as { process?: { versions?: { node?: string } } }).process?.versions?.node;

/**
 * Dawn, from Node's package; null where the package is missing.
 * @param options as in `backend=null`, a device that computes nothing
 */
export async function createDawn(...options: string[]): Promise<Gpu | null> {
  try {
    // A variable, so that bundlers and type checkers do not look for a package that need not be
    // there.
    const name = 'webgpu';
    const { create } = (await import(name)) as { create(options: string[]): Gpu };
    return create([...DAWN_SWITCHES, ...options]);
  } catch (error) {
    // Node's words for a package that is not there, and those of the test runner's loader.
    if (/Cannot find (package|module)|Could not resolve/.test((error as Error).message))
      return null;
    throw new UserError(
      'state',
      `The package webgpu does not load: ${(error as Error).message.split('\n')[0]}`,
    );
  }
}

async function findGpu(): Promise<Gpu | null> {
  const own = (globalThis as { navigator?: { gpu?: Gpu } }).navigator?.gpu;
  return own ?? (inBrowser() ? null : createDawn());
}

/** WebGPU, or null where there is none. */
export function openGpu(): Promise<Gpu | null> {
  opened ??= findGpu();
  return opened;
}

export interface AdapterDescription {
  /** Vendor, architecture and device, as the driver calls them. */
  name: string;
  /** True for a GPU, false for a processor that plays one (SwiftShader, llvmpipe). */
  hardware: boolean;
  halfPrecision: boolean;
  subgroups: boolean;
  matrixUnits: boolean;
  /** Most bytes of one tensor. */
  largestTensorBytes: number;
}

export function describeAdapter(adapter: GpuAdapter): AdapterDescription {
  const { vendor, architecture, device, description, isFallbackAdapter } = adapter.info;
  const words = [vendor, architecture, device, description].filter(
    (word, i, all) => word && all.indexOf(word) === i,
  );
  const name = words.join(' ') || 'unnamed GPU';
  return {
    name,
    hardware: !isFallbackAdapter && !/swiftshader|llvmpipe|software/i.test(name),
    halfPrecision: adapter.features.has('shader-f16'),
    subgroups: adapter.features.has('subgroups'),
    matrixUnits: adapter.features.has('chromium-experimental-subgroup-matrix'),
    largestTensorBytes: Math.min(
      adapter.limits.maxBufferSize,
      adapter.limits.maxStorageBufferBindingSize,
    ),
  };
}

/**
 * The adapters that WebGPU tells apart, the system's preferred one first: where there are two, the
 * fast and the thrifty one.
 */
export async function findAdapters(): Promise<GpuAdapter[]> {
  const gpu = await openGpu();
  if (!gpu) return [];
  const asked = [
    { powerPreference: 'high-performance' },
    {},
    { powerPreference: 'low-power' },
  ] as const;
  const found: GpuAdapter[] = [];
  for (const options of asked) {
    const adapter = await gpu.requestAdapter(options);
    if (
      adapter &&
      found.every((one) => describeAdapter(one).name !== describeAdapter(adapter).name)
    )
      found.push(adapter);
  }
  return found;
}

/** The system's preferred adapter, or null where there is none. */
export async function findAdapter(): Promise<GpuAdapter | null> {
  const gpu = await openGpu();
  if (!gpu) return null;
  return (
    (await gpu.requestAdapter({ powerPreference: 'high-performance' })) ??
    (await gpu.requestAdapter())
  );
}

/** @throws UserError when there is no WebGPU or no adapter */
export async function requireAdapter(): Promise<GpuAdapter> {
  if (!(await openGpu())) {
    throw new UserError(
      'state',
      `There is no WebGPU here; in Node, add it with \`${INSTALL_HINT}\`.`,
      'backend',
    );
  }
  const adapter = await findAdapter();
  if (!adapter)
    throw new UserError(
      'state',
      'WebGPU finds no adapter here; is a Vulkan, Metal or D3D12 driver installed?',
      'backend',
    );
  return adapter;
}
