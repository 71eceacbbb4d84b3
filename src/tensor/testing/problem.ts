/**
 * @file A problem: one call of an operation with everything drawn, ready to be given to any
 * backend.
 *
 * Shapes and numbers come from a keyed stream, so problem i of a case is the same everywhere and
 * for ever. Problem 0 has an empty batch, problem 1 has size 1 in every dimension; the others mix
 * sizes around the widths of vectors and tiles. Inputs are float32 numbers, so that all backends
 * see the same ones.
 */
import { Random } from '../../base/random.js';
import { type Backend, columns, matrixOf, sizeOf, type Tensor } from '../backend.js';
import {
  expandRows,
  FORMS,
  type Form,
  type FrozenRows,
  fitsForm,
  LAYOUTS,
  rowBytes,
} from '../forms.js';

export interface Input {
  readonly dtype: 'f32' | 'i32' | 'frozen';
  readonly shape: readonly number[];
  /** Of a frozen matrix what its blocks mean. */
  readonly data: Float32Array | Int32Array;
  /** The rows of a frozen matrix. */
  readonly parts?: readonly FrozenRows[];
  /** Columns of NaN on both sides of each row: the tensor is a strided view between them. */
  readonly gap: number;
}

export interface OutputOptions {
  /** Columns on both sides of each row that the operation must leave alone. */
  gap?: number;
  /** The input whose numbers the output starts with; NaN without. */
  initial?: string;
}

/** What a problem's `run` works with. */
export interface Context {
  readonly backend: Backend;
  /** The input of that name, on the backend. */
  input(name: string): Tensor;
  /** A fresh f32 output, to be compared when the problem has run. */
  output(name: string, shape: readonly number[], options?: OutputOptions): Tensor;
  /** Adds a tensor that the operation itself made to what is compared. */
  keep(name: string, tensor: Tensor): void;
  /** A scalar argument as it is, or its absolute value when the problem runs on absolute inputs. */
  scalar(value: number): number;
}

export interface Problem {
  /** The shapes and options, for messages. */
  readonly label: string;
  readonly inputs: Readonly<Record<string, Input>>;
  run(context: Context): void;
  /**
   * For the check by finite differences: the objective is Σ weight · output (weight: an input's
   * name; null for Σ output), and
   * `gradients` names, for each input, the output that claims to be the objective's derivative.
   */
  readonly derivative?: {
    readonly output: string;
    readonly weight: string | null;
    readonly gradients: Readonly<Record<string, string>>;
  };
}

export interface OperationCase {
  readonly name: string;
  draw(draw: Draw): Problem;
}

/**
 * `small` sizes are for finite differences, `large` ones reach over the edges of vectors, tiles and
 * chunks.
 */
export type Scale = 'small' | 'large';

const SMALL = [1, 2, 3, 4];
const LARGE = [
  1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 48, 63, 64, 65, 96, 97, 128, 131, 200,
  257, 300, 513,
];

export class Draw {
  readonly random: Random;

  constructor(
    name: string,
    /** Problem 0 is the empty one, problem 1 the smallest. */
    readonly index: number,
    readonly scale: Scale,
  ) {
    this.random = new Random('operation case', name, index, scale);
  }

  /** A size of at least 1 and at most `limit`. */
  size(limit = 33): number {
    if (this.index === 1) return 1;
    const sizes = (this.scale === 'small' ? SMALL : LARGE).filter((n) => n <= limit);
    return this.random.pick(sizes);
  }

  /** A batch size: like `size`, and 0 in problem 0. */
  rows(limit = 33): number {
    return this.index === 0 ? 0 : this.size(limit);
  }

  /** Any size, 0 included, whatever the problem's number. */
  sizeOrZero(limit = 33): number {
    return this.random.chance(0.1) ? 0 : this.size(limit);
  }

  flag(): boolean {
    return this.random.chance(0.5);
  }

  /** Normal numbers of standard deviation `deviation`. */
  numbers(shape: readonly number[], deviation = 1, gap = 0): Input {
    return this.from(shape, () => deviation * this.random.normal(), gap);
  }

  /** Numbers from a function. */
  from(shape: readonly number[], next: (index: number) => number, gap = 0): Input {
    return {
      dtype: 'f32',
      shape,
      data: Float32Array.from({ length: sizeOf({ shape }) }, (_, i) => next(i)),
      gap,
    };
  }

  integers(values: readonly number[]): Input {
    return { dtype: 'i32', shape: [values.length], data: Int32Array.from(values), gap: 0 };
  }

  /** `count` integers in [0, below). */
  indices(count: number, below: number): Input {
    return this.integers(Array.from({ length: count }, () => this.random.integer(0, below - 1)));
  }

  /**
   * A frozen matrix of some form whose blocks fill its rows, or of two forms, one below the other:
   * random blocks with scales that make numbers of about 1.
   */
  frozen(shape: readonly [number, number], forms: readonly Form[] = FORMS): Input {
    const [rows, width] = shape;
    const fitting = forms.filter((form) => fitsForm(form, width));
    const cut = this.flag() ? rows : this.random.integer(0, rows);
    const parts = [cut, rows - cut].map((count) =>
      frozenPart(this.random, this.random.pick(fitting), count, width),
    );
    return { dtype: 'frozen', shape, data: expandRows(parts, width), parts, gap: 0 };
  }

  /** A width that is whole blocks of at least one quantized form: a multiple of 32. */
  wholeBlocks(limit = 33): number {
    return 32 * this.size(Math.max(1, Math.floor(limit / 32)));
  }

  /** 0 half of the time: contiguous. */
  gap(): number {
    return this.flag() ? 0 : this.random.integer(1, 5);
  }

  /** Ascending offsets that cut `total` rows into `parts` runs, some of them empty. */
  offsets(total: number, parts: number): Input {
    const cuts = Array.from({ length: parts - 1 }, () => this.random.integer(0, total)).sort(
      (a, b) => a - b,
    );
    return this.integers([0, ...cuts, total]);
  }
}

/** Random blocks: bytes as they come, with scales of a size that makes numbers of about 1. */
export function frozenPart(random: Random, form: Form, rows: number, width: number): FrozenRows {
  const { bytes: size, scales, numbers } = LAYOUTS[form];
  const bytes = new Uint8Array(rows * rowBytes(form, width));
  if (numbers === 1) {
    // A plain number, cut to the form's bits.
    const one = new Float32Array(1);
    const word = new Uint32Array(one.buffer);
    const view = new DataView(bytes.buffer);
    for (let at = 0; at < bytes.length; at += size) {
      one[0] = random.normal();
      if (form === 'f32') view.setFloat32(at, one[0], true);
      else if (form === 'bf16') view.setUint16(at, word[0] >>> 16, true);
      // Between 2⁻⁴ and 4, and 0 and a number below all normal ones now and then.
      else view.setUint16(at, halfBits(random, 11, 16), true);
    }
    return { form, rows, bytes };
  }
  for (let i = 0; i < bytes.length; i++) bytes[i] = random.integer(0, 255);
  const view = new DataView(bytes.buffer);
  const [low, high] = form === 'q8_0' || numbers > 32 ? [5, 8] : [10, 13];
  for (let at = 0; at < bytes.length; at += size)
    for (const scale of scales) view.setUint16(at + scale, halfBits(random, low, high), true);
  return { form, rows, bytes };
}

/** A binary16 number with an exponent of `low` to `high`; one in eight is subnormal. */
const halfBits = (random: Random, low: number, high: number): number => {
  const exponent = random.chance(1 / 8) ? 0 : random.integer(low, high);
  return (random.integer(0, 1) << 15) | (exponent << 10) | random.integer(0, 1023);
};

export type Results = Record<string, ArrayLike<number>>;

const SENTINEL = 12345.5;

/**
 * Runs a problem and reads its outputs. `absolute` replaces every number that goes in by its
 * absolute value.
 */
export async function execute(
  problem: Problem,
  backend: Backend,
  absolute = false,
): Promise<Results> {
  const mark = backend.mark();
  const inputs = new Map<string, Tensor>();
  const outputs = new Map<string, { tensor: Tensor; gap: number; shape: readonly number[] }>();
  for (const [name, input] of Object.entries(problem.inputs))
    inputs.set(name, upload(backend, input, absolute));

  problem.run({
    backend,
    input: (name) => required(inputs.get(name), name),
    output(name, shape, { gap = 0, initial } = {}) {
      const { rows, columns: width } = matrixOf({ shape } as Tensor);
      const wide = backend.allocate('f32', gap === 0 ? shape : [rows, width + 2 * gap]);
      backend.fill({ out: wide, value: gap === 0 ? Number.NaN : SENTINEL });
      const tensor = gap === 0 ? wide : columns(backend, wide, gap, gap + width);
      if (initial) backend.copy({ out: tensor, a: required(inputs.get(initial), initial) });
      outputs.set(name, { tensor: wide, gap, shape });
      return tensor;
    },
    keep(name, tensor) {
      const { rows, columns: width } = matrixOf(tensor);
      let whole = tensor;
      if (tensor.dtype === 'f32') {
        whole = backend.allocate('f32', [rows, width]);
        backend.copy({ out: whole, a: tensor });
      }
      outputs.set(name, { tensor: whole, gap: 0, shape: tensor.shape });
    },
    scalar: (value) => (absolute ? Math.abs(value) : value),
  });

  const results: Results = {};
  for (const [name, { tensor, gap, shape }] of outputs) {
    results[name] = withoutGaps(
      await backend.read(tensor),
      gap,
      shape,
      `${problem.label}: ${name}`,
    );
  }
  backend.release(mark);
  return results;
}

/**
 * Fills memory that is about to be used with NaN, so that an output that should have been
 * overwritten, and was not, is seen.
 */
export function leaveGarbage(backend: Backend): void {
  const mark = backend.mark();
  backend.fill({ out: backend.allocate('f32', [1 << 16]), value: Number.NaN });
  backend.release(mark);
}

function upload(backend: Backend, input: Input, absolute: boolean): Tensor {
  const { dtype, shape, data, gap, parts } = input;
  if (parts) {
    const [rows, width] = shape;
    const absolutes = Float32Array.from(data, Math.abs);
    const positive = { form: 'f32', rows, bytes: new Uint8Array(absolutes.buffer) } as const;
    return backend.freeze(absolute ? [positive] : parts, width);
  }
  if (dtype === 'i32') {
    const tensor = backend.allocate('i32', shape);
    backend.write(tensor, data as Int32Array);
    return tensor;
  }
  const numbers = absolute ? (data as Float32Array).map(Math.abs) : (data as Float32Array);
  if (gap === 0) {
    const tensor = backend.allocate('f32', shape);
    backend.write(tensor, numbers);
    return tensor;
  }
  const { rows, columns: width } = matrixOf({ shape } as Tensor);
  const stride = width + 2 * gap;
  const padded = new Float64Array(rows * stride).fill(Number.NaN);
  for (let i = 0; i < rows; i++)
    padded.set(numbers.subarray(i * width, (i + 1) * width), i * stride + gap);
  const wide = backend.allocate('f32', [rows, stride]);
  backend.write(wide, padded);
  return columns(backend, wide, gap, gap + width);
}

function withoutGaps(
  data: ArrayLike<number>,
  gap: number,
  shape: readonly number[],
  what: string,
): ArrayLike<number> {
  if (gap === 0) return data;
  const width = shape[shape.length - 1];
  const kept: number[] = [];
  for (let index = 0; index < data.length; index++) {
    const column = (index % (width + 2 * gap)) - gap;
    if (column >= 0 && column < width) kept.push(data[index]);
    else if (data[index] !== SENTINEL)
      throw new Error(`${what}: wrote ${data[index]} beside its columns`);
  }
  return kept;
}

function required(tensor: Tensor | undefined, name: string): Tensor {
  if (!tensor) throw new Error(`the problem has no input ${name}`);
  return tensor;
}
