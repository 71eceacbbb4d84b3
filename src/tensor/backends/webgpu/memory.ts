/**
 * @file Memory of the WebGPU backend: two stacks over slabs.
 *
 * A slab is one GPU buffer, no larger than a shader may bind, and a tensor lies in one slab whole.
 * A stack has as many slabs as it ever needed; each is bound from end to end, so that a kernel
 * needs one binding a slab and not one a tensor, and no bind group is made anew because a tensor
 * lies elsewhere. Slabs are kept when the stack shrinks: after the first step nothing is allocated.
 */
import { UserError } from '../../../base/errors.js';
import type { Placement } from '../../backend.js';
import { type Stack, Stacks } from '../shared/stacks.js';
import { type GpuDevice, USAGE } from './gpu.js';
import type { Slab } from './tensor.js';

/** Numbers are put at multiples of 256 bytes, which vector loads and copies like. */
const ALIGNMENT = 256;
const FIRST_SLAB_BYTES = 64 * 2 ** 20;

const megabytes = (bytes: number): string =>
  `${Math.ceil(bytes / 2 ** 20).toLocaleString('en')} MB`;

/** Makes the buffers and numbers them. */
export class Slabs {
  readonly all: Slab[] = [];
  bytes = 0;

  constructor(
    private readonly device: GpuDevice,
    /** Most bytes of one slab. */
    readonly largest: number,
    /** Most bytes of all of them. */
    private readonly limit: number,
  ) {}

  make(bytes: number, what: string): Slab {
    if (bytes > this.largest) {
      throw new UserError(
        'state',
        `A tensor of ${megabytes(bytes)} is more than this GPU lets a shader bind (${megabytes(this.largest)}); use a smaller ` +
          'micro-batch or model.',
      );
    }
    if (this.bytes + bytes > this.limit) {
      throw new UserError(
        'state',
        `Out of ${what} memory on the GPU: ${megabytes(bytes)} asked for, ${megabytes(this.limit - this.bytes)} of ` +
          `${megabytes(this.limit)} left; use a smaller micro-batch or model.`,
      );
    }
    const usage = USAGE.storage | USAGE.copySource | USAGE.copyTarget;
    const slab: Slab = {
      id: this.all.length,
      buffer: this.device.createBuffer({ size: bytes, usage }),
      bytes,
    };
    this.all.push(slab);
    this.bytes += bytes;
    return slab;
  }

  destroy(): void {
    for (const slab of this.all) slab.buffer.destroy();
  }
}

export interface Place {
  slab: Slab;
  /** Bytes. */
  address: number;
}

/** One stack: positions are bytes over all its slabs, put end to end. */
export class SlabStack implements Stack {
  private readonly slabs: { slab: Slab; from: number }[] = [];
  private end = 0;
  top = 0;
  highWater = 0;

  constructor(
    private readonly name: Placement,
    private readonly supply: Slabs,
  ) {}

  push(bytes: number): Place {
    const size = Math.max(ALIGNMENT, Math.ceil(bytes / ALIGNMENT) * ALIGNMENT);
    for (const { slab, from } of this.slabs) {
      if (from + slab.bytes <= this.top) continue;
      const at = Math.max(from, this.top);
      if (at + size > from + slab.bytes) continue;
      this.moveTo(at + size);
      return { slab, address: at - from };
    }
    const wanted = Math.max(
      size,
      Math.min(this.supply.largest, Math.max(FIRST_SLAB_BYTES, this.end)),
    );
    let slab: Slab;
    try {
      slab = this.supply.make(wanted, this.name);
    } catch (error) {
      if (wanted === size) throw error;
      slab = this.supply.make(size, this.name);
    }
    const from = this.end;
    this.slabs.push({ slab, from });
    this.end += slab.bytes;
    this.moveTo(from + size);
    return { slab, address: 0 };
  }

  get bytes(): number {
    return this.top;
  }

  cutTo(top: number): void {
    this.top = top;
  }

  private moveTo(position: number): void {
    this.top = position;
    if (position > this.highWater) this.highWater = position;
  }
}

/** The two stacks over a supply of slabs. */
export const createStacks = (supply: Slabs): Stacks<SlabStack> =>
  new Stacks(new SlabStack('local', supply), new SlabStack('shared', supply));
