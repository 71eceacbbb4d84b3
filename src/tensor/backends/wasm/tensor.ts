/** @file Handles of the WASM backend. */
import type { DType, Placement, Tensor } from '../../backend.js';
import { Handle, mismatch } from '../shared/handle.js';

export class WasmTensor extends Handle {
  constructor(
    dtype: DType,
    shape: readonly number[],
    rowStride: number,
    placement: Placement,
    /** Byte address in the memory; 0 for bf16. */
    readonly address: number,
    /** The numbers of a frozen bf16 matrix. */
    readonly bits: Uint16Array | null = null,
  ) {
    super(dtype, shape, rowStride, placement);
  }

  get storage(): unknown {
    return this.bits ?? this.address;
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
