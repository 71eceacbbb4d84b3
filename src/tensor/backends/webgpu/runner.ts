/**
 * @file From calls to the GPU's queue.
 *
 * A call becomes one dispatch in an open command encoder: its pipeline (compiled once a
 * specialisation), a bind group (one for each set of slabs, so nearly always the same), and 256
 * bytes of parameters in a ring that goes up with the submission. Nothing is submitted before
 * somebody reads, waits, or much has come together. Small writes are staged the same way and copied
 * by the encoder, so that they keep their place among the dispatches.
 *
 * Everything that goes wrong on the device is heard of later: it is kept, and thrown at the next
 * read or wait.
 */
import { UserError } from '../../../base/errors.js';
import type { GpuBindGroup, GpuPipeline, GpuPipelineLayout } from './gpu.js';
import {
  type GpuBuffer,
  type GpuComputePass,
  type GpuDevice,
  type GpuEncoder,
  MAP_READ,
  STAGE_COMPUTE,
  USAGE,
} from './gpu.js';
import { type KernelSource, wgsl } from './kernel.js';
import type { GpuTensor, Slab } from './tensor.js';

const PARAMETER_BYTES = 256;
/** Dispatches of one submission: few enough that the GPU starts while the rest is still encoded. */
const MOST_DISPATCHES = 512;
const STAGE_BYTES = 1 << 20;
/** A larger write goes straight to its buffer. */
const LARGEST_STAGED = 1 << 16;
const MOST_GROUPS = 65535;

interface Compiled {
  pipeline: GpuPipeline;
  bindings: number;
  parameters: readonly (readonly [string, boolean])[];
}

export type Groups = number | readonly [number, number, number];

export class Runner {
  private readonly layouts: { group: object; pipeline: GpuPipelineLayout }[] = [];
  private readonly sources = new Map<string, KernelSource>();
  private readonly compiled = new Map<string, Compiled>();
  private readonly bindGroups = new Map<string, GpuBindGroup>();
  private readonly parameterBuffer: GpuBuffer;
  private readonly words = new Uint32Array((MOST_DISPATCHES * PARAMETER_BYTES) / 4);
  private readonly floats = new Float32Array(this.words.buffer);
  private readonly stageBuffer: GpuBuffer;
  private readonly stage = new Uint8Array(STAGE_BYTES);
  private readonly readBuffers = new Map<number, GpuBuffer[]>();
  private encoder: GpuEncoder | null = null;
  private pass: GpuComputePass | null = null;
  private lastPipeline: GpuPipeline | null = null;
  private dispatches = 0;
  private staged = 0;
  private failure: Error | null = null;
  private closed = false;
  /** Submissions since the start, for tests and measurements. */
  submissions = 0;

  constructor(
    readonly device: GpuDevice,
    /** Names the device in messages. */
    readonly deviceName: string,
  ) {
    this.parameterBuffer = device.createBuffer({
      size: MOST_DISPATCHES * PARAMETER_BYTES,
      usage: USAGE.uniform | USAGE.copyTarget,
    });
    this.stageBuffer = device.createBuffer({
      size: STAGE_BYTES,
      usage: USAGE.copySource | USAGE.copyTarget,
    });
    device.addEventListener('uncapturederror', ({ error }) => {
      const memory = error.constructor.name === 'GPUOutOfMemoryError';
      this.failure ??= memory
        ? new UserError(
            'state',
            `The GPU ${deviceName} is out of memory; use a smaller micro-batch or model.`,
          )
        : new Error(`WebGPU: ${error.message}`);
    });
    void device.lost.then(({ reason, message }) => {
      if (this.closed) return;
      const why = (message || reason || 'no reason given').split('\n')[0];
      this.failure = new UserError(
        'state',
        `The GPU ${deviceName} was lost (${why}); the run can be taken up again with --resume, or with --backend wasm.`,
      );
    });
  }

  /** @throws what went wrong on the device since the last look */
  check(): void {
    if (this.failure) throw this.failure;
  }

  /** Number of bindings → layouts. */
  private layout(bindings: number): { group: object; pipeline: GpuPipelineLayout } {
    let found = this.layouts[bindings];
    if (!found) {
      const visibility = STAGE_COMPUTE;
      const entries: object[] = [
        {
          binding: 0,
          visibility,
          buffer: { type: 'uniform', hasDynamicOffset: true, minBindingSize: PARAMETER_BYTES },
        },
      ];
      for (let i = 1; i <= bindings; i++)
        entries.push({ binding: i, visibility, buffer: { type: 'storage' } });
      const group = this.device.createBindGroupLayout({ entries });
      found = { group, pipeline: this.device.createPipelineLayout({ bindGroupLayouts: [group] }) };
      this.layouts[bindings] = found;
    }
    return found;
  }

  /**
   * Encodes one dispatch.
   * @param key names the specialisation; `build` makes its source when it is new
   * @param groups a number of groups, or three of them
   */
  run(
    key: string,
    build: () => KernelSource,
    tensors: Readonly<Record<string, GpuTensor>>,
    parameters: Readonly<Record<string, number>>,
    groups: Groups,
  ): void {
    let source = this.sources.get(key);
    if (!source) {
      source = build();
      this.sources.set(key, source);
    }
    const { operands } = source;
    const slabs: Slab[] = [];
    let pattern = key;
    const slots: number[] = [];
    for (const name of operands) {
      const { slab } = tensors[name];
      if (slab.fill) {
        const { fill } = slab;
        slab.fill = undefined;
        fill();
      }
      let slot = slabs.indexOf(slab);
      if (slot < 0) slot = slabs.push(slab) - 1;
      slots.push(slot);
      pattern += `.${slot}`;
    }
    let compiled = this.compiled.get(pattern);
    if (!compiled) {
      compiled = this.compile(source, key, slots, slabs.length);
      this.compiled.set(pattern, compiled);
    }
    if (this.dispatches === MOST_DISPATCHES) this.flush();
    const base = (this.dispatches * PARAMETER_BYTES) / 4;
    let word = base;
    for (const name of operands) this.words[word++] = tensors[name].offset;
    for (const [name, float] of compiled.parameters) {
      if (float) this.floats[word++] = parameters[name];
      else this.words[word++] = parameters[name];
    }
    const pass = this.openPass();
    if (this.lastPipeline !== compiled.pipeline) {
      pass.setPipeline(compiled.pipeline);
      this.lastPipeline = compiled.pipeline;
    }
    pass.setBindGroup(0, this.bindGroup(slabs), [this.dispatches * PARAMETER_BYTES]);
    if (typeof groups === 'number') {
      const x = Math.min(groups, MOST_GROUPS);
      pass.dispatchWorkgroups(x, Math.ceil(groups / x), 1);
    } else pass.dispatchWorkgroups(groups[0], groups[1], groups[2]);
    this.dispatches++;
  }

  private compile(
    source: KernelSource,
    key: string,
    slots: readonly number[],
    bindings: number,
  ): Compiled {
    const module = this.device.createShaderModule({ code: wgsl(source, slots), label: key });
    const pipeline = this.device.createComputePipeline({
      label: key,
      layout: this.layout(bindings).pipeline,
      compute: { module, entryPoint: 'main' },
    });
    const parameters = Object.entries(source.parameters).map(
      ([name, type]) => [name, type === 'f32'] as const,
    );
    return { pipeline, bindings, parameters };
  }

  private bindGroup(slabs: readonly Slab[]): GpuBindGroup {
    let key = '';
    for (const { id } of slabs) key += `${id},`;
    let group = this.bindGroups.get(key);
    if (!group) {
      const entries: object[] = [
        { binding: 0, resource: { buffer: this.parameterBuffer, size: PARAMETER_BYTES } },
      ];
      slabs.forEach(({ buffer }, i) => {
        entries.push({ binding: i + 1, resource: { buffer } });
      });
      group = this.device.createBindGroup({ layout: this.layout(slabs.length).group, entries });
      this.bindGroups.set(key, group);
    }
    return group;
  }

  /** Forgets what binds a slab that is about to be destroyed. */
  forget(slab: Slab): void {
    for (const key of this.bindGroups.keys())
      if (`,${key}`.includes(`,${slab.id},`)) this.bindGroups.delete(key);
  }

  private openEncoder(): GpuEncoder {
    this.encoder ??= this.device.createCommandEncoder();
    return this.encoder;
  }

  private openPass(): GpuComputePass {
    if (!this.pass) {
      this.pass = this.openEncoder().beginComputePass();
      this.lastPipeline = null;
    }
    return this.pass;
  }

  private endPass(): void {
    this.pass?.end();
    this.pass = null;
  }

  /** Copies bytes (a multiple of four) to a buffer, in the order of the calls. */
  write(buffer: GpuBuffer, offset: number, data: Uint8Array): void {
    const { byteLength } = data;
    if (byteLength === 0) return;
    if (!this.encoder || byteLength > LARGEST_STAGED) {
      this.flush();
      this.device.queue.writeBuffer(buffer, offset, data);
      return;
    }
    if (this.staged + byteLength > STAGE_BYTES) this.flush();
    this.stage.set(data, this.staged);
    this.endPass();
    this.openEncoder().copyBufferToBuffer(
      this.stageBuffer,
      this.staged,
      buffer,
      offset,
      byteLength,
    );
    this.staged += Math.ceil(byteLength / 4) * 4;
  }

  /** Gives everything encoded to the GPU. */
  flush(): void {
    if (!this.encoder) return;
    this.endPass();
    const { queue } = this.device;
    if (this.staged > 0) queue.writeBuffer(this.stageBuffer, 0, this.stage, 0, this.staged);
    if (this.dispatches > 0)
      queue.writeBuffer(
        this.parameterBuffer,
        0,
        this.words,
        0,
        (this.dispatches * PARAMETER_BYTES) / 4,
      );
    queue.submit([this.encoder.finish()]);
    this.submissions++;
    this.encoder = null;
    this.dispatches = 0;
    this.staged = 0;
  }

  /** A copy of bytes of a buffer. Reads that begin in the same turn share a submission. */
  async read(buffer: GpuBuffer, offset: number, bytes: number): Promise<ArrayBuffer> {
    this.check();
    const size = 2 ** Math.max(8, Math.ceil(Math.log2(bytes)));
    const free = this.readBuffers.get(size) ?? [];
    this.readBuffers.set(size, free);
    const staging =
      free.pop() ?? this.device.createBuffer({ size, usage: USAGE.mapRead | USAGE.copyTarget });
    this.endPass();
    this.openEncoder().copyBufferToBuffer(buffer, offset, staging, 0, bytes);
    await Promise.resolve();
    this.flush();
    await this.settled(staging.mapAsync(MAP_READ, 0, bytes));
    const data = staging.getMappedRange(0, bytes).slice(0);
    staging.unmap();
    free.push(staging);
    return data;
  }

  /** Waits until the GPU has done everything. */
  async sync(): Promise<void> {
    this.check();
    this.flush();
    await this.settled(this.device.queue.onSubmittedWorkDone());
  }

  /** What the device says about itself comes before what a failed wait says about it. */
  private async settled(wait: Promise<void>): Promise<void> {
    try {
      await wait;
    } catch (error) {
      // The message of a lost device arrives on its own.
      await new Promise((resolve) => setTimeout(resolve, 0));
      this.check();
      throw new UserError(
        'state',
        `The GPU ${this.deviceName} was lost (${(error as Error).message}); the run can be taken up again with --resume.`,
      );
    }
    this.check();
  }

  close(): void {
    this.closed = true;
    this.endPass();
    this.encoder = null;
    for (const buffers of this.readBuffers.values()) for (const buffer of buffers) buffer.destroy();
    this.parameterBuffer.destroy();
    this.stageBuffer.destroy();
    this.device.destroy();
  }
}
