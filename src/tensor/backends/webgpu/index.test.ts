/**
 * @file The WebGPU backend against the reference, on whatever adapter there is. The package `webgpu` is an optional peer: where
 * it is missing there is nothing to test; `.ci/run` installs it and demands that there is.
 */
import { expect, it, vi } from 'vitest';
import { describeBackend } from '../../testing/describe-backend.js';
import { createWebGpuBackend, describeAdapter, findAdapter } from './index.js';

const adapter = await findAdapter();
const demanded = process.env.RECKONER_REQUIRE_WEBGPU === '1';

it('finds an adapter where one is demanded', () => {
  expect(adapter !== null || !demanded).toBe(true);
});

// A processor that plays a GPU takes seconds to compile a kernel.
vi.setConfig({ testTimeout: 600_000 });
if (adapter) describeBackend('webgpu', () => createWebGpuBackend(), describeAdapter(adapter).hardware ? undefined : 10);
