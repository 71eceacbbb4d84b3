/**
 * @file What the handles of all backends share: rows, columns, size and contiguity, worked out once
 * when a handle is made, so that checks and kernels only read them.
 */
import { type FrozenRows, fitsForm, rowBytes } from '../../forms.js';
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
  if (tensor.dtype === 'frozen' || !tensor.contiguous)
    throw mismatch(method, 'wants a contiguous f32 or i32 tensor', { tensor });
  if (length > tensor.size) throw mismatch(method, `${length} numbers do not fit`, { tensor });
}

/** The shape of a frozen matrix. @throws for a part whose bytes are not its rows */
export function frozenShape(parts: readonly FrozenRows[], columns: number): [number, number] {
  let all = 0;
  for (const { form, rows, bytes } of parts) {
    all += rows;
    const whole = fitsForm(form, columns) && bytes.length === rows * rowBytes(form, columns);
    if (!whole) throw new Error(`freeze: ${bytes.length} bytes for ${form} [${rows}, ${columns}].`);
  }
  return [all, columns];
}

/** The rows that a view of a frozen matrix takes. @throws unless they are whole rows */
export function viewedRows(
  tensor: Handle,
  offset: number,
  shape: readonly number[],
  rowStride: number,
): [from: number, to: number] {
  const { columns } = tensor;
  const from = columns === 0 ? 0 : offset / columns;
  const whole = shape.length === 2 && shape[1] === columns && rowStride === columns;
  if (!whole || !Number.isInteger(from) || from < 0 || from + shape[0] > tensor.rows)
    throw mismatch('view', 'a view of a frozen matrix has whole rows', { tensor });
  return [from, from + shape[0]];
}
