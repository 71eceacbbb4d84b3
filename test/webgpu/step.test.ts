/**
 * @file What a training step asks of a device: a few submissions, no new buffer, and nothing read
 * back but the loss and the metrics.
 */
import { tmpdir } from 'node:os';
import { describe, expect, it, vi } from 'vitest';
import { createModel, parseModelConfig } from '../../src/models/index.js';
import { openLocalPolicy } from '../../src/policy/local/local-policy.js';
import type { Needs } from '../../src/policy/policy.js';
import { loadRecipe, resolveRecipe } from '../../src/recipe/index.js';
import { createStage } from '../../src/stages/index.js';
import type { GpuAdapter, GpuBuffer } from '../../src/tensor/backends/webgpu/gpu.js';
import { createWebGpuBackend, findAdapter } from '../../src/tensor/backends/webgpu/index.js';

const adapter = await findAdapter();

interface Asked {
  submissions: number;
  reads: number;
  bytesRead: number;
  buffers: number;
  kernels: number;
}

/** The adapter, with everything counted that its device is asked. */
function counting(real: GpuAdapter): { adapter: GpuAdapter; asked: Asked } {
  const asked = { submissions: 0, reads: 0, bytesRead: 0, buffers: 0, kernels: 0 };
  const counted: GpuAdapter = {
    features: real.features,
    limits: real.limits,
    info: real.info,
    async requestDevice(descriptor) {
      const device = await real.requestDevice(descriptor);
      const { queue } = device;
      const submit = queue.submit.bind(queue);
      Object.defineProperty(queue, 'submit', {
        value(buffers: readonly object[]) {
          asked.submissions++;
          submit(buffers);
        },
      });
      Object.defineProperty(device, 'queue', { value: queue });
      const createBuffer = device.createBuffer.bind(device);
      device.createBuffer = (description) => {
        asked.buffers++;
        const buffer = createBuffer(description);
        const map = buffer.mapAsync.bind(buffer);
        const mapAsync: GpuBuffer['mapAsync'] = (mode, offset, size) => {
          asked.reads++;
          asked.bytesRead += size ?? 0;
          return map(mode, offset, size);
        };
        Object.defineProperty(buffer, 'mapAsync', { value: mapAsync });
        return buffer;
      };
      const compile = device.createComputePipeline.bind(device);
      device.createComputePipeline = (description) => {
        asked.kernels++;
        return compile(description);
      };
      return device;
    },
  };
  return { adapter: counted, asked };
}

vi.setConfig({ testTimeout: 600_000 });

describe.runIf(adapter !== null)('a training step', () => {
  it('is a few submissions, and reads nothing but loss and metrics', async () => {
    const { adapter: counted, asked } = counting(adapter as GpuAdapter);
    const backend = await createWebGpuBackend({ adapter: counted });
    // r1-mini's first stage: latent attention, experts, a second prediction, Muon; a small batch.
    const whole = loadRecipe('r1-mini');
    const [sft] = whole.stages;
    const stages = [{ ...sft, batch: 4 } as typeof sft];
    const { recipe, tokenizer, tasks, taskOf } = resolveRecipe({ ...whole, stages });
    const model = createModel(backend, parseModelConfig(recipe.model, 'recipe'));
    model.store.initialize(1);
    const { seed, microBatchTokens } = recipe;
    const { ranks } = backend;
    const parts = { backend, model, eos: tokenizer.special.eos, microBatchTokens };
    const open = async (needs: Needs) => openLocalPolicy(parts, needs);
    const place = { stage: 'sft', dataFolder: tmpdir(), open };
    const common = { ranks, tokenizer, task: tasks[0], taskOf, seed };
    const stage = await createStage({ ...common, ...place }, recipe.stages, 0);
    // Lengths differ from step to step: what a longer batch needs is there after a few.
    for (let step = 1; step <= 3; step++) await stage.step(step);
    const before = { ...asked };
    const steps = 2;
    for (let step = 4; step < 4 + steps; step++) {
      const { values } = await stage.step(step);
      expect(values.loss).toBeGreaterThan(0);
    }
    expect(asked.buffers).toBe(before.buffers);
    expect(asked.kernels).toBe(before.kernels);
    // The losses; the experts' loads and balance loss; squares of the gradient's norm.
    expect((asked.reads - before.reads) / steps).toBeLessThanOrEqual(6);
    expect((asked.bytesRead - before.bytesRead) / steps).toBeLessThan(1024);
    expect((asked.submissions - before.submissions) / steps).toBeLessThanOrEqual(8);
    await backend.close();
  });
});
