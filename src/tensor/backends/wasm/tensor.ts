/** @file Handles of the WASM backend. */
import type { DType, FrozenRows, Placement, Tensor } from '../../backend.js';
import { Handle, mismatch } from '../shared/handle.js';

export class WasmTensor extends Handle {
  constructor(
    dtype: DType,
    shape: readonly number[],
    rowStride: number,
    placement: Placement,
    /** Byte address in the memory; 0 for a frozen matrix. */
    readonly address: number,
    /** The rows of a frozen matrix. */
    readonly frozen: readonly FrozenRows[] | null = null,
  ) {
    super(dtype, shape, rowStride, placement);
  }

  get storage(): unknown {
    return this.frozen ?? this.address;
  }
}

/** A contiguous f32 tensor of this rank's own. */
export function f32Local(method: string, t: Tensor): WasmTensor {
  const own = t as WasmTensor;
  if (t.placement !== 'local') throw mismatch(method, 'wants a local tensor', { tensor: t });
  if (t.dtype !== 'f32' || !own.contiguous)
    throw mismatch(method, 'wants a contiguous f32 tensor', { tensor: t });
  return own;
}
