/**
 * @file Handles of the WASM backend and the checks on them.
 *
 * Rows, columns and size are worked out once, when a handle is made, so that a method's checks are
 * a few comparisons.
 */
import type { DType, Placement, Tensor } from '../../backend.js';

export class WasmTensor implements Tensor {
  readonly rows: number;
  readonly columns: number;
  readonly size: number;
  readonly contiguous: boolean;

  constructor(
    readonly dtype: DType,
    readonly shape: readonly number[],
    readonly rowStride: number,
    readonly placement: Placement,
    /** Byte address in the memory; 0 for bf16. */
    readonly address: number,
    /** The numbers of a frozen bf16 matrix. */
    readonly bits: Uint16Array | null = null,
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
    return this.bits ?? this.address;
  }

  /** Elements from the first number to behind the last. */
  get extent(): number {
    return this.size === 0 ? 0 : (this.rows - 1) * this.rowStride + this.columns;
  }
}

const describe = (t: Tensor): string =>
  `${t.dtype} [${t.shape.join(', ')}]${(t as WasmTensor).contiguous ? '' : ` with row stride ${t.rowStride}`}`;

/**
 * An error that names the method and shows every tensor: `matmul: inner sizes differ: out f32 [2,
 * 3], a …`.
 */
export function mismatch(
  method: string,
  problem: string,
  tensors: Record<string, Tensor | null>,
): Error {
  const shown = Object.entries(tensors).map(([name, t]) => `${name} ${t ? describe(t) : 'null'}`);
  return new Error(`${method}: ${problem}: ${shown.join(', ')}`);
}

/** An f32 matrix, strided or not. */
export function f32Strided(method: string, t: Tensor): WasmTensor {
  if (t.dtype !== 'f32') throw mismatch(method, 'wants f32', { tensor: t });
  return t as WasmTensor;
}

/** A contiguous f32 tensor. */
export function f32(method: string, t: Tensor): WasmTensor {
  if (t.dtype !== 'f32' || !(t as WasmTensor).contiguous)
    throw mismatch(method, 'wants a contiguous f32 tensor', { tensor: t });
  return t as WasmTensor;
}

/** A contiguous i32 tensor. */
export function i32(method: string, t: Tensor): WasmTensor {
  if (t.dtype !== 'i32' || !(t as WasmTensor).contiguous)
    throw mismatch(method, 'wants a contiguous i32 tensor', { tensor: t });
  return t as WasmTensor;
}

/** A contiguous f32 tensor of this rank's own. */
export function f32Local(method: string, t: Tensor): WasmTensor {
  if (t.placement !== 'local') throw mismatch(method, 'wants a local tensor', { tensor: t });
  return f32(method, t);
}
