/**
 * @file Every kernel of every tier is WGSL that Dawn takes: on its null device, which offers every
 * feature and computes nothing. So the tiers that no machine at hand can run (f16, matrix units,
 * wide subgroups) are at least known to compile.
 */
import { describe, expect, it, vi } from 'vitest';
import type { Backend, FrozenRows } from '../../backend.js';
import { operationCases } from '../../testing/cases/index.js';
import { Draw, execute } from '../../testing/problem.js';
import { createDawn } from './adapter.js';
import type { GpuAdapter, GpuMatrixShape } from './gpu.js';
import { createWebGpuBackend, type WebGpuBackendOptions } from './index.js';

// Held for as long as the tests: an adapter does not keep what it came from.
const dawn = await createDawn('backend=null');

it('finds the null device where WebGPU is demanded', () => {
  expect(dawn !== null || process.env.RECKONER_REQUIRE_WEBGPU !== '1').toBe(true);
});

type Unit = Pick<GpuMatrixShape, 'M' | 'N' | 'K'>;

/**
 * The null adapter as one with matrix units of that shape; what is compiled on it goes to `texts`.
 */
function pretending(adapter: GpuAdapter, unit: Unit | null, texts: string[]): GpuAdapter {
  const configs = unit ? [{ componentType: 'f16', resultComponentType: 'f32', ...unit }] : [];
  const { vendor, architecture, device, description } = adapter.info;
  return {
    features: adapter.features,
    limits: adapter.limits,
    info: {
      vendor,
      architecture,
      device,
      description,
      subgroupMinSize: 32,
      subgroupMaxSize: 32,
      subgroupMatrixConfigs: configs,
    },
    async requestDevice(descriptor) {
      const device = await adapter.requestDevice(descriptor);
      const compile = device.createShaderModule.bind(device);
      device.createShaderModule = (module) => {
        texts.push(module.code);
        return compile(module);
      };
      // Nothing is written to what is read: whatever lies there would say that threads lie in no
      // order.
      const make = device.createBuffer.bind(device);
      device.createBuffer = (description) => {
        const buffer = make(description);
        buffer.getMappedRange = (_offset, bytes = description.size) => new ArrayBuffer(bytes);
        return buffer;
      };
      return device;
    },
  };
}

/** Products that are large enough for f16, in every layout, aligned and not. */
function products(backend: Backend): void {
  for (const [m, n, k] of [
    [160, 160, 160],
    [161, 163, 165],
    [64, 64, 2048],
    [1500, 1500, 16],
  ]) {
    const mark = backend.mark();
    const out = backend.allocate('f32', [m, n]);
    const zeros = (rows: number): FrozenRows[] => [
      { form: 'bf16', rows, bytes: new Uint8Array(2 * k * n) },
    ];
    const frozen = { normal: zeros(k), transposed: zeros(n) };
    for (const transposeA of [false, true]) {
      const a = backend.allocate('f32', transposeA ? [k, m] : [m, k]);
      for (const transposeB of [false, true]) {
        const shape: [number, number] = transposeB ? [n, k] : [k, n];
        const bits = backend.freeze(transposeB ? frozen.transposed : frozen.normal, shape[1]);
        for (const b of [backend.allocate('f32', shape), bits])
          for (const accumulate of [false, true])
            backend.matmul({ out, a, b, transposeA, transposeB, accumulate });
      }
    }
    backend.release(mark);
  }
  const experts = backend.allocate('f32', [4, 160, 64]);
  const offsets = backend.allocate('i32', [5]);
  const [wide, narrow] = [160, 64].map((columns) => backend.allocate('f32', [256, columns]));
  backend.groupedMatmul({
    out: wide,
    a: narrow,
    b: experts,
    offsets,
    kind: 'forward',
    accumulate: false,
  });
  backend.groupedMatmul({
    out: narrow,
    a: wide,
    b: experts,
    offsets,
    kind: 'input',
    accumulate: true,
  });
  backend.groupedMatmul({
    out: experts,
    a: wide,
    b: narrow,
    offsets,
    kind: 'weight',
    accumulate: false,
  });
  const batch = [0, 1, 2].map(() => backend.allocate('f32', [2, 160, 160]));
  backend.batchedMatmul({ out: batch[0], a: batch[1], b: batch[2], transposeB: true });
}

const f16 = { precision: 'mixed', plain: false } as const;
/** What a tier's kernels say, and no other's. */
const tiers: [
  name: string,
  WebGpuBackendOptions,
  Unit | null,
  fingerprint: RegExp,
  said: string,
  unsaid: string,
][] = [
  ['f32', { plain: false, subgroups: false }, null, /, f32$/, 'workgroupBarrier', 'subgroup'],
  [
    'f32 with subgroups',
    { plain: false },
    null,
    /, f32$/,
    'v = max(v, subgroupShuffleXor(v, 16u))',
    'f16',
  ],
  [
    'f32 without barriers',
    { plain: true, subgroups: false },
    null,
    / plain, f32$/,
    '_3_1 +=',
    'tileA',
  ],
  ['f16', f16, null, /, f16$/, 'vec4<f16>', 'subgroup_matrix'],
  [
    'matrix units of 16 × 16 × 16',
    f16,
    { M: 16, N: 16, K: 16 },
    /, f16 units 16x16x16$/,
    'left<f16, 16, 16>',
    'vec4<f16>',
  ],
  [
    'matrix units of 8 × 8 × 8',
    f16,
    { M: 8, N: 8, K: 8 },
    /, f16 units 8x8x8$/,
    'left<f16, 8, 8>',
    'vec4<f16>',
  ],
];

vi.setConfig({ testTimeout: 120_000 });
describe.runIf(dawn !== null).each(tiers)('%s', (_, options, unit, name, said, unsaid) => {
  it('compiles', async () => {
    const texts: string[] = [];
    const nothing = (await dawn?.requestAdapter()) as GpuAdapter;
    const backend = await createWebGpuBackend({
      ...options,
      adapter: pretending(nothing, unit, texts),
    });
    expect(backend.fingerprint).toMatch(name);
    products(backend);
    await backend.sync();
    for (const operation of operationCases) {
      const mark = backend.mark();
      // Nothing is computed, and what is read is whatever lies there.
      for (const index of [2, 3, 4])
        await execute(operation.draw(new Draw(operation.name, index, 'large')), backend).catch(
          (error: Error) => {
            if (!error.message.includes('beside its columns')) throw error;
          },
        );
      backend.release(mark);
      await backend.sync();
    }
    await backend.close();
    expect(texts.length).toBeGreaterThan(100);
    expect(texts.some((text) => text.includes(said))).toBe(true);
    expect(texts.filter((text) => text.includes(unsaid))).toEqual([]);
  });
});
