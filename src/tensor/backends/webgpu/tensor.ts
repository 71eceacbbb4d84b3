/**
 * @file Handles of the WebGPU backend: a slab (one GPU buffer), an offset in numbers, and a shape;
 * and the checks on them.
 */
import type { DType, Placement, Tensor } from '../../backend.js';
import type { GpuBuffer } from './gpu.js';

/** One buffer that tensors lie in. */
export interface Slab {
  /** Its number among all slabs of the device: part of the key of a bind group. */
  readonly id: number;
  readonly buffer: GpuBuffer;
  readonly bytes: number;
}

export class GpuTensor implements Tensor {
  readonly rows: number;
  readonly columns: number;
  readonly size: number;
  readonly contiguous: boolean;

  constructor(
    readonly dtype: DType,
    readonly shape: readonly number[],
    readonly rowStride: number,
    readonly placement: Placement,
    readonly slab: Slab,
    /** Numbers (not bytes) from the start of the slab. */
    readonly offset: number,
  ) {
    let rows = 1;
    const last = shape.length - 1;
    for (let i = 0; i < last; i++) rows *= shape[i];
    this.rows = rows;
    this.columns = last < 0 ? 1 : shape[last];
    this.size = rows * this.columns;
    this.contiguous = rowStride === this.columns || rows <= 1;
  }

  get storage(): unknown {
    return this.slab;
  }

  /** Numbers from the first to behind the last. */
  get extent(): number {
    return this.size === 0 ? 0 : (this.rows - 1) * this.rowStride + this.columns;
  }

  /**
   * True when four numbers after each other can be read at once, wherever a row's columns begin at
   * a multiple of four.
   */
  get aligned(): boolean {
    return this.offset % 4 === 0 && (this.rows <= 1 || this.rowStride % 4 === 0);
  }
}

const describe = (t: Tensor): string =>
  `${t.dtype} [${t.shape.join(', ')}]${(t as GpuTensor).contiguous ? '' : ` with row stride ${t.rowStride}`}`;

/** An error that names the method and shows every tensor. */
export function mismatch(
  method: string,
  problem: string,
  tensors: Record<string, Tensor | null>,
): Error {
  const shown = Object.entries(tensors).map(([name, t]) => `${name} ${t ? describe(t) : 'null'}`);
  return new Error(`${method}: ${problem}: ${shown.join(', ')}`);
}

/** An f32 matrix, strided or not. */
export function f32Strided(method: string, t: Tensor): GpuTensor {
  if (t.dtype !== 'f32') throw mismatch(method, 'wants f32', { tensor: t });
  return t as GpuTensor;
}

/** A contiguous f32 tensor. */
export function f32(method: string, t: Tensor): GpuTensor {
  if (t.dtype !== 'f32' || !(t as GpuTensor).contiguous)
    throw mismatch(method, 'wants a contiguous f32 tensor', { tensor: t });
  return t as GpuTensor;
}

/** Contiguous f32, or a frozen matrix. */
export function f32OrFrozen(method: string, t: Tensor): GpuTensor {
  return t.dtype === 'bf16' && (t as GpuTensor).contiguous ? (t as GpuTensor) : f32(method, t);
}

/** A contiguous i32 tensor. */
export function i32(method: string, t: Tensor): GpuTensor {
  if (t.dtype !== 'i32' || !(t as GpuTensor).contiguous)
    throw mismatch(method, 'wants a contiguous i32 tensor', { tensor: t });
  return t as GpuTensor;
}

/** Ends a call whose shapes do not fit. */
export function mustFit(
  method: string,
  right: boolean,
  tensors: Record<string, Tensor | null>,
): void {
  if (!right) throw mismatch(method, 'shapes do not fit', tensors);
}
