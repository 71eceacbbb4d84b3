/** @file What the operations of the WebGPU backend work with. */

import type { OperationName, Operations } from '../../backend.js';
import type { NumbersOf, TensorsOf } from '../../operations/declare.js';
import type { KernelSource, ParameterType } from './kernel.js';
import type { Runner } from './runner.js';
import type { GpuTensor } from './tensor.js';

/** What the kernels may use of the device. */
export interface Features {
  /** Operands of matrix products are rounded to f16 (scaled), sums are f32. */
  readonly half: boolean;
  /** Matrix units, and the shape that they multiply (f16 to f32). */
  readonly matrix: {
    readonly m: number;
    readonly n: number;
    readonly k: number;
    readonly subgroup: number;
  } | null;
  /**
   * Threads after each other that can shuffle their registers: a power of two, the least that a
   * subgroup has; 0 for none.
   */
  readonly subgroup: number;
  /**
   * A processor plays the GPU. It runs a group's threads after each other, and changing from one to
   * the next at a barrier costs more than the work between two: so kernels that share nothing, and
   * need no barrier, take the place of those in tiles.
   */
  readonly plain: boolean;
}

export interface Context {
  readonly runner: Runner;
  readonly features: Features;
  /**
   * Numbers from the top of the local stack, for the calls inside `body`: the GPU runs them before
   * whatever comes later.
   */
  withScratch(numbers: number, body: (scratch: GpuTensor) => void): void;
}

/** The tensors of an operation, and its numbers: what its kernel is called with. */
export type On<K extends OperationName> = TensorsOf<Operations[K], GpuTensor>;
export type With<K extends OperationName> = NumbersOf<Operations[K]>;

export const THREADS = 256;

/**
 * Threads that share a row of d numbers: a power of two, each with at least four of them where
 * there are so many.
 */
export function lanesFor(d: number, { plain, subgroup }: Features): number {
  const most = plain ? Math.max(1, subgroup) : THREADS;
  let lanes = 1;
  while (lanes < most && 4 * lanes < d) lanes *= 2;
  return lanes;
}

export interface Pointwise {
  /** Names the kernel. */
  name: string;
  rows: number;
  columns: number;
  /**
   * Matrices of that shape, strided or not: the body finds `at_<name>`, the index of its element.
   */
  matrices: Readonly<Record<string, GpuTensor>>;
  /** Operands of which the first number is read alone. */
  scalars?: Readonly<Record<string, GpuTensor>>;
  /** Other operands; a kernel with any is not vectorised. */
  others?: Readonly<Record<string, GpuTensor>>;
  parameters?: Readonly<Record<string, { type: ParameterType; value: number }>>;
  declarations?: string;
  /** Operands that are bf16; see `KernelSource`. */
  bf16?: readonly string[];
  /**
   * `ld` and `st` are the functions' prefixes, `type` is f32 or vec4f; also `row` and `column`
   * where not `vector`.
   */
  body(words: {
    ld: string;
    st: string;
    raw: string;
    put: string;
    type: string;
    scalar: (x: string) => string;
  }): string;
}

/** One thread an element, or four where all matrices lie so that four can be read at once. */
export function pointwise(context: Context, options: Pointwise): void {
  const {
    name,
    matrices,
    scalars = {},
    others = {},
    parameters = {},
    declarations,
    bf16,
    body,
  } = options;
  let { rows, columns } = options;
  if (rows * columns === 0) return;
  const operands = Object.entries(matrices);
  const plain = Object.keys(others).length === 0;
  const flat = plain && operands.every(([, t]) => t.contiguous);
  if (flat) {
    columns *= rows;
    rows = 1;
  }
  const vector =
    plain &&
    columns % 4 === 0 &&
    operands.every(([, t]) => (flat ? t.offset % 4 === 0 : t.aligned));
  const width = vector ? columns / 4 : columns;
  const values: Record<string, number> = { width, count: rows * width };
  if (!flat) for (const [operand, t] of operands) values[`stride_${operand}`] = t.rowStride;
  for (const [key, { value }] of Object.entries(parameters)) values[key] = value;
  context.runner.run(
    `${name}${flat ? ' flat' : ''}${vector ? ' vector' : ''}`,
    () => {
      const types: Record<string, ParameterType> = {};
      for (const key of Object.keys(values)) types[key] = parameters[key]?.type ?? 'u32';
      const at = operands.map(([operand]) =>
        flat
          ? `  let at_${operand} = ${vector ? '4u * item' : 'item'};`
          : `  let at_${operand} = row * $stride_${operand} + ${vector ? '4u * column' : 'column'};`,
      );
      const suffix = vector ? 'v' : '';
      return {
        operands: [...Object.keys(matrices), ...Object.keys(scalars), ...Object.keys(others)],
        parameters: types,
        threads: THREADS,
        vector,
        bf16,
        declarations,
        body: `  let item = group * ${THREADS}u + tid;
  if (item >= $count) { return; }
${flat ? '' : '  let row = item / $width;\n  let column = item % $width;\n'}${at.join('\n')}
${body({
  ld: `ld${suffix}`,
  st: `st${suffix}`,
  raw: `raw${suffix}`,
  put: `put${suffix}`,
  type: vector ? 'vec4f' : 'f32',
  scalar: (x) => (vector ? `vec4f(${x})` : x),
})}`,
      } satisfies KernelSource;
    },
    { ...matrices, ...scalars, ...others },
    values,
    Math.ceil((rows * width) / THREADS),
  );
}
