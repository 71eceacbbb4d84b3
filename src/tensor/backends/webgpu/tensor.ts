/** @file Handles of the WebGPU backend: a slab (one GPU buffer), an offset in numbers, and a shape. */
import type { DType, Placement } from '../../backend.js';
import { Handle } from '../shared/handle.js';
import type { GpuBuffer } from './gpu.js';

/** One buffer that tensors lie in. */
export interface Slab {
  /** Its number among all slabs of the device: part of the key of a bind group. */
  readonly id: number;
  readonly buffer: GpuBuffer;
  readonly bytes: number;
  /** Puts its numbers there, before it is read first. */
  fill?: () => void;
}

export class GpuTensor extends Handle {
  constructor(
    dtype: DType,
    shape: readonly number[],
    rowStride: number,
    placement: Placement,
    readonly slab: Slab,
    /** Numbers (not bytes) from the start of the slab. */
    readonly offset: number,
    /** A frozen matrix whose numbers are BF16 on the device, two in a word. */
    readonly bf16 = false,
  ) {
    super(dtype, shape, rowStride, placement);
  }

  get storage(): unknown {
    return this.slab;
  }

  /**
   * True when four numbers after each other can be read at once, wherever a row's columns begin at
   * a multiple of four.
   */
  get aligned(): boolean {
    return this.offset % 4 === 0 && (this.rows <= 1 || this.rowStride % 4 === 0);
  }

  /** A view that is known to fit. */
  part(
    offset: number,
    shape: readonly number[],
    rowStride = shape.length === 0 ? 1 : shape[shape.length - 1],
  ): GpuTensor {
    const { dtype, placement, slab, bf16 } = this;
    return new GpuTensor(dtype, shape, rowStride, placement, slab, this.offset + offset, bf16);
  }
}
