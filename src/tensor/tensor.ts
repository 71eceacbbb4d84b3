/** @file Handles to numbers on a device, and what their shapes say. */

/**
 * `frozen` tensors are weights in the form that they came in (forms.ts); they may live outside the
 * device's working memory. They are read as `b` by `matmul`, as the table by `embedding` and as the
 * head by `tokenLogProbabilities` and its derivative (which then has no `dHead`); nothing else
 * takes them. A view of one has whole rows.
 */
export type DType = 'f32' | 'i32' | 'frozen';

/**
 * `local`: this rank's own. `shared`: one copy that every rank of a data-parallel group sees; every
 * rank must make the same sequence of shared allocations and releases. With one rank the two are
 * alike.
 */
export type Placement = 'local' | 'shared';

/** A handle to numbers on a device. Make views with `Backend.view`, `columns` and `rows`. */
export interface Tensor {
  readonly dtype: DType;
  /** Row-major dimensions. */
  readonly shape: readonly number[];
  /** Elements from the start of one row to the next; equals the last dimension when contiguous. */
  readonly rowStride: number;
  readonly placement: Placement;
  /** The backend's own business: a byte address, a buffer and an offset, an array. */
  readonly storage: unknown;
}

/** A position of both stacks, from `mark`. */
export type Mark = { readonly local: number; readonly shared: number };

export type HostArray = Float32Array | Float64Array | Int32Array;

/** The number of elements. */
export function sizeOf(tensor: { readonly shape: readonly number[] }): number {
  let size = 1;
  for (const dimension of tensor.shape) size *= dimension;
  return size;
}

/** Rows and columns of a tensor seen as a matrix: all dimensions but the last, and the last. */
export function matrixOf(tensor: Tensor): { rows: number; columns: number } {
  const columns = tensor.shape.length === 0 ? 1 : tensor.shape[tensor.shape.length - 1];
  let rows = 1;
  for (let i = 0; i < tensor.shape.length - 1; i++) rows *= tensor.shape[i];
  return { rows, columns };
}

/** True when rows follow each other without a gap. */
export function isContiguous(tensor: Tensor): boolean {
  const { rows, columns } = matrixOf(tensor);
  return tensor.rowStride === columns || rows <= 1;
}
