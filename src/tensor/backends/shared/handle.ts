/**
 * @file What the handles of all backends share: rows, columns, size and contiguity, worked out once
 * when a handle is made, so that checks and kernels only read them.
 */
import type { DType, Placement, Tensor } from '../../tensor.js';

export abstract class Handle implements Tensor {
  readonly rows: number;
  readonly columns: number;
  readonly size: number;
  readonly contiguous: boolean;

  constructor(
    readonly dtype: DType,
    readonly shape: readonly number[],
    readonly rowStride: number,
    readonly placement: Placement,
  ) {
    let rows = 1;
    const last = shape.length - 1;
    for (let i = 0; i < last; i++) rows *= shape[i];
    this.rows = rows;
    this.columns = last < 0 ? 1 : shape[last];
    this.size = rows * this.columns;
    this.contiguous = rowStride === this.columns || rows <= 1;
  }

  abstract get storage(): unknown;

  /** Elements from the first number to behind the last. */
  get extent(): number {
    return this.size === 0 ? 0 : (this.rows - 1) * this.rowStride + this.columns;
  }
}

const describe = (t: Handle): string =>
  `${t.dtype} [${t.shape.join(', ')}]${t.contiguous ? '' : ` with row stride ${t.rowStride}`}`;

/**
 * An error that names the method and shows every tensor: `matmul: b [K, N] has 5 rows, and K is 4:
 * out f32 [2, 3], a …`.
 */
export function mismatch(
  method: string,
  problem: string,
  tensors: Readonly<Record<string, Tensor | null | undefined>>,
): Error {
  const shown = Object.entries(tensors).map(
    ([name, t]) => `${name} ${t ? describe(t as Handle) : 'null'}`,
  );
  return new Error(`${method}: ${problem}: ${shown.join(', ')}`);
}

/** The size of a shape. @throws when it is none */
export function sizeOfShape(method: string, shape: readonly number[]): number {
  let size = 1;
  for (const dimension of shape) size *= dimension;
  if (!Number.isInteger(size) || size < 0)
    throw new Error(`${method}: [${shape.join(', ')}] is no shape.`);
  return size;
}

/** Ends a view that reaches outside its tensor. */
export function checkView<H extends Handle>(tensor: H, offset: number, view: H): H {
  if (
    offset < 0 ||
    (view.size > 0 && offset + view.extent > tensor.extent) ||
    view.rowStride < view.columns
  )
    throw mismatch('view', `offset ${offset} does not fit`, { tensor, view });
  return view;
}

/** Ends a transfer of `length` numbers between the host and a tensor that cannot take or give it. */
export function checkTransfer(method: 'read' | 'write', tensor: Handle, length = 0): void {
  if (tensor.dtype === 'bf16' || !tensor.contiguous)
    throw mismatch(method, 'wants a contiguous f32 or i32 tensor', { tensor });
  if (length > tensor.size) throw mismatch(method, `${length} numbers do not fit`, { tensor });
}

/** Ends `freeze` with bits that are not as many as the shape has. */
export function checkFrozen(bits: Uint16Array, shape: readonly number[]): void {
  if (bits.length !== sizeOfShape('freeze', shape))
    throw new Error(`freeze: ${bits.length} numbers for [${shape.join(', ')}].`);
}
