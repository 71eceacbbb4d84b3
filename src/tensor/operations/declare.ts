/**
 * @file What an operation is, said once: its arguments with their kinds and named dimensions, what
 * must hold between them, and its float64 reference kernel.
 *
 * From a declaration follow the types of a call and of every backend's kernel, and the checks that
 * every backend makes (check.ts). Dimensions are names or small expressions of names
 * (expression.ts); the same name is the same number everywhere in a declaration. A tensor declared
 * with one dimension is all its numbers in a row, with two its rows (all dimensions but the last,
 * flattened) and columns, with three the last two and the rest.
 *
 * @example
 * const norm = {
 *   rmsNorm: declare({
 *     args: {
 *       out: strided('N', 'H*d'), inverseRms: f32('N', 'H'),
 *       x: strided('N', 'H*d'), weight: f32('d'), epsilon: real(),
 *     },
 *     reference({ out, inverseRms, x, weight }, { N, H, d, epsilon }) { … },
 *   }),
 * };
 */
import type { Tensor } from '../tensor.js';
import type { Names } from './expression.js';
import type { Matrix, Minus } from './reference-kernel.js';

/**
 * `f32` and `i32` are contiguous. `strided` is f32 whose rows may lie apart. `weights` is f32 or
 * a frozen matrix, contiguous; `stridedWeights` may have its rows apart. `numbers` is f32 or i32.
 */
export type TensorKind = 'f32' | 'strided' | 'i32' | 'weights' | 'stridedWeights' | 'numbers';

export interface TensorSpec<
  K extends TensorKind = TensorKind,
  D extends readonly string[] = readonly string[],
> {
  readonly role: 'tensor';
  readonly kind: K;
  readonly dims: D;
  readonly optional: boolean;
}

const tensor =
  <K extends TensorKind>(kind: K) =>
  <const D extends readonly string[]>(...dims: D): TensorSpec<K, D> => ({
    role: 'tensor',
    kind,
    dims,
    optional: false,
  });

export const f32 = tensor('f32');
export const strided = tensor('strided');
export const i32 = tensor('i32');
export const weights = tensor('weights');
export const stridedWeights = tensor('stridedWeights');
export const numbers = tensor('numbers');

/** A tensor that may be null: an output that is not wanted, an input that is left out. */
export interface OptionalSpec<S extends TensorSpec = TensorSpec> {
  readonly role: 'optional';
  readonly spec: S;
}

export const optional = <S extends TensorSpec>(spec: S): OptionalSpec<S> => ({
  role: 'optional',
  spec,
});

/** A tensor whose dimensions depend on another argument: a flag or a choice. */
export interface DependingSpec<S extends TensorSpec = TensorSpec> {
  readonly role: 'depending';
  readonly on: string;
  readonly cases: Readonly<Record<string, S>>;
}

export const depending = <S extends TensorSpec>(
  on: string,
  cases: Readonly<Record<string, S>>,
): DependingSpec<S> => ({ role: 'depending', on, cases });

/** Not a tensor: a number, a flag, a choice. */
export interface ScalarSpec<V = unknown, O extends boolean = boolean> {
  readonly role: 'scalar';
  /** What it must be, for messages: `a whole number of at least 1`. */
  readonly must: string;
  readonly type: 'number' | 'boolean' | 'string' | 'object';
  /** What its type does not say. */
  readonly test?: (value: unknown) => boolean;
  /** Stands in for a value that is left out. */
  readonly standard: V | undefined;
  readonly left: O;
  /** True for whole numbers that dimensions may be made of. */
  readonly dimension: boolean;
  /** All values, where they can be listed (flags, choices). */
  readonly values?: readonly (string | boolean)[];
}

const scalar = <V>(
  must: string,
  more: Pick<ScalarSpec, 'type' | 'test' | 'values'> & { dimension?: boolean },
): ScalarSpec<V, false> => ({
  role: 'scalar',
  must,
  standard: undefined,
  left: false,
  dimension: false,
  ...more,
});

/** Any number; infinite and NaN ones too, for they are the caller's to judge. */
export const real = () => scalar<number>('a number', { type: 'number' });

/** A number of at least 0 (Infinity included). */
export const atLeastZero = () =>
  scalar<number>('a number of at least 0', { type: 'number', test: (v) => (v as number) >= 0 });

export const positive = () =>
  scalar<number>('a number above 0', { type: 'number', test: (v) => (v as number) > 0 });

/** A whole number of at least 1, which dimensions may name. */
export const count = () =>
  scalar<number>('a whole number of at least 1', {
    type: 'number',
    test: (v) => Number.isInteger(v) && (v as number) >= 1,
    dimension: true,
  });

export const flag = () =>
  scalar<boolean>('true or false', { type: 'boolean', values: [false, true] });

/** A flag for each of several outputs. */
export const flags = <const N extends readonly string[]>(...names: N) =>
  scalar<Readonly<Record<N[number], boolean>>>(`true or false for each of ${names.join(', ')}`, {
    type: 'object',
    test: (v) =>
      v !== null &&
      names.every((name) => typeof (v as Record<string, unknown>)[name] === 'boolean'),
  });

export const choice = <const C extends readonly string[]>(...values: C) =>
  scalar<C[number]>(`one of ${values.join(', ')}`, {
    type: 'string',
    test: (v) => (values as readonly unknown[]).includes(v),
    values,
  });

/** The argument may be left out, and is `standard` then. */
export const or = <V>(standard: V, spec: ScalarSpec<V, false>): ScalarSpec<V, true> => ({
  ...spec,
  standard,
  left: true,
});

export type Spec = TensorSpec | OptionalSpec | DependingSpec | ScalarSpec;
export type Specs = Readonly<Record<string, Spec>>;

type TensorOf<S, T> = S extends { role: 'tensor' | 'depending' }
  ? T
  : S extends { role: 'optional' }
    ? T | null
    : never;

type TensorKeys<A> = { [K in keyof A]: A[K] extends { role: 'scalar' } ? never : K }[keyof A];
type ScalarKeys<A> = { [K in keyof A]: A[K] extends { role: 'scalar' } ? K : never }[keyof A];
type LeftOut<A> = {
  [K in keyof A]: A[K] extends { role: 'scalar'; left: true } ? K : never;
}[keyof A];

/** The tensors of a call, as handles of type T. */
export type Tensors<A, T> = { readonly [K in TensorKeys<A>]: TensorOf<A[K], T> };

type ValueOf<S> = S extends ScalarSpec<infer V> ? V : never;

type DimsOf<S> =
  S extends TensorSpec<TensorKind, infer D>
    ? Names<D[number]>
    : S extends OptionalSpec<infer T>
      ? DimsOf<T>
      : S extends DependingSpec<infer T>
        ? DimsOf<T>
        : never;

/** The numbers of a call: its scalars, with what was left out, and its dimensions by name. */
export type Numbers<A, W extends string = never> = {
  readonly [K in ScalarKeys<A>]: ValueOf<A[K]>;
} & { readonly [K in Exclude<DimsOf<A[keyof A]> | Names<W>, ScalarKeys<A>>]: number };

/** What a caller gives: one object, tensors and scalars by name. */
export type Arguments<A, T = Tensor> = Tensors<A, T> & {
  readonly [K in Exclude<ScalarKeys<A>, LeftOut<A>>]: ValueOf<A[K]>;
} & { readonly [K in LeftOut<A>]?: ValueOf<A[K]> };

/**
 * A tensor as a reference kernel sees it: index lists and what has one or three dimensions flat, an
 * f32 or frozen matrix as a `Matrix`.
 */
type Plain<S> = S extends { role: 'optional'; spec: infer T }
  ? Plain<T> | null
  : S extends DependingSpec<infer T>
    ? Plain<T>
    : S extends TensorSpec<infer K, infer D>
      ? K extends 'i32'
        ? Int32Array
        : K extends 'numbers'
          ? Float64Array | Int32Array
          : D['length'] extends 2
            ? Matrix
            : Float64Array
      : never;

export type PlainTensors<A> = { readonly [K in TensorKeys<A>]: Plain<A[K]> };

/** One operation. `W` are the names that only `where` has. */
export interface Declaration<A = Specs, W extends string = string> {
  readonly args: A;
  /** What else must hold: `E = groups*size`, `topGroups <= groups`. */
  readonly where: readonly W[];
  /**
   * Offsets whose last number must be this dimension. It lies in the data, so only backends on the
   * host can look, and do.
   */
  readonly ends: { readonly [K in keyof A]?: string };
  /** What is wrong with a call whose dimensions fit, or null. */
  readonly refuse?: (tensors: Tensors<A, Tensor>, numbers: Numbers<A, W>) => string | null;
  readonly reference?: (tensors: PlainTensors<A>, numbers: Numbers<A, W>, minus: Minus) => void;
  /**
   * Does the work by other operations, for backends without a kernel of their own. It takes a
   * `Backend`, whose type rests on the declarations and so cannot stand here.
   */
  readonly compose?: (backend: never, tensors: Tensors<A, Tensor>, numbers: Numbers<A, W>) => void;
}

interface Written<A, W extends string> {
  args: A;
  where?: readonly W[];
  ends?: { readonly [K in keyof A]?: string };
  refuse?(tensors: Tensors<A, Tensor>, numbers: Numbers<A, W>): string | null;
}

/** An operation with a reference kernel: every backend has a kernel for it. */
export function declare<const A extends Specs, const W extends string = never>(
  written: Written<A, W> & {
    reference(tensors: PlainTensors<A>, numbers: Numbers<A, W>, minus: Minus): void;
  },
): Declaration<A, W> & { readonly composed: false } {
  return { where: [], ends: {}, ...written, composed: false };
}

/** An operation that is made of others; a backend may have a kernel for it. */
export function declareComposed<const A extends Specs, const W extends string = never>(
  written: Written<A, W> & {
    compose(backend: never, tensors: Tensors<A, Tensor>, numbers: Numbers<A, W>): void;
  },
): Declaration<A, W> & { readonly composed: true } {
  return { where: [], ends: {}, ...written, composed: true };
}

export type ArgumentsOf<D> = D extends { args: infer A } ? Arguments<A> : never;
export type TensorsOf<D, T> = D extends { args: infer A } ? Tensors<A, T> : never;
export type NumbersOf<D> = D extends Declaration<infer A, infer W> ? Numbers<A, W> : never;
