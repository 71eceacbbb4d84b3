/**
 * @file Checks a call against its declaration and solves its dimensions: one implementation, and so
 * one wording of every refusal, for all backends.
 *
 * A declaration is compiled once into a list of steps: each dimension of each tensor either solves
 * one name that is not yet known or is compared with what is. Where dimensions depend on a flag or
 * a choice there is a list for each of its values.
 */
import { type Handle, mismatch } from '../backends/shared/handle.js';
import type { Declaration, ScalarSpec, Spec, TensorKind, TensorSpec } from './declare.js';
import {
  type Evaluate,
  evaluator,
  linearIn,
  namesIn,
  type Polynomial,
  parse,
} from './expression.js';

/** What a backend on the host can look at: the last number of an i32 tensor. */
export type LastOf = (tensor: Handle) => number;

type Call = Readonly<Record<string, unknown>>;

/** The numbers of a call. Valid until the operation is called again. */
export type Solved = Readonly<Record<string, unknown>>;

export type Check = (call: Call, lastOf: LastOf | null) => Solved;

/** One dimension of a tensor, or one side of an equation. */
export interface Step {
  /** Which tensor, and which of its dimensions (`Dimension`); −1: `left` of an equation. */
  readonly tensor: number;
  readonly dimension: number;
  readonly left: Evaluate;
  readonly leftOf: Polynomial | null;
  /** What it must be: the value of a name where it is one (then `name` is its place), or −1. */
  readonly name: number;
  readonly value: Evaluate;
  readonly polynomial: Polynomial;
  readonly text: string;
  /** For a step that solves: (dimension − rest) / slope goes to the place `solves`. */
  readonly solves: number;
  readonly slope: Evaluate;
  readonly rest: Evaluate;
  readonly linear: { readonly slope: Polynomial; readonly rest: Polynomial } | null;
}

/** How to take a dimension from a handle. */
export enum Dimension {
  Size = 0,
  Rows = 1,
  Columns = 2,
  /** Of three: all before the last two, flattened. */
  Matrices = 3,
  Middle = 4,
}

const DIMENSIONS: Record<number, readonly Dimension[]> = {
  1: [Dimension.Size],
  2: [Dimension.Rows, Dimension.Columns],
  3: [Dimension.Matrices, Dimension.Middle, Dimension.Columns],
};

interface CheckedTensor {
  readonly name: string;
  readonly spec: TensorSpec;
  readonly optional: boolean;
}

export interface Plan {
  readonly tensors: readonly CheckedTensor[];
  readonly steps: readonly Step[];
}

const zero: Evaluate = () => 0;

const WANTS: Record<TensorKind, string> = {
  f32: 'a contiguous f32 tensor',
  strided: 'an f32 tensor',
  i32: 'a contiguous i32 tensor',
  weights: 'a contiguous f32 or frozen tensor',
  stridedWeights: 'an f32 or frozen tensor',
  numbers: 'a contiguous f32 or i32 tensor',
};

function isOfKind(t: Handle, kind: TensorKind): boolean {
  switch (kind) {
    case 'f32':
      return t.dtype === 'f32' && t.contiguous;
    case 'strided':
      return t.dtype === 'f32';
    case 'i32':
      return t.dtype === 'i32' && t.contiguous;
    case 'weights':
      return t.dtype !== 'i32' && t.contiguous;
    case 'stridedWeights':
      return t.dtype !== 'i32';
    case 'numbers':
      return t.dtype !== 'frozen' && t.contiguous;
  }
}

export function dimensionOf(t: Handle, dimension: Dimension): number {
  if (dimension === Dimension.Columns) return t.columns;
  if (dimension === Dimension.Rows) return t.rows;
  if (dimension === Dimension.Size) return t.size;
  const middle = t.shape.length >= 2 ? t.shape[t.shape.length - 2] : 1;
  if (dimension === Dimension.Middle) return middle;
  let matrices = 1;
  for (let i = 0; i < t.shape.length - 2; i++) matrices *= t.shape[i];
  return matrices;
}

/** How a dimension is called in a message. */
const NOUNS = ['numbers', 'rows', 'columns', 'matrices', 'rows'] as const;

/** The tensor's spec under some values of the flags and choices that it may depend on. */
function resolve(spec: Spec, selected: Readonly<Record<string, string | boolean>>): TensorSpec {
  if (spec.role === 'depending') return spec.cases[String(selected[spec.on])];
  if (spec.role === 'optional') return spec.spec;
  return spec as TensorSpec;
}

/** A declaration, ready to check calls by. */
export interface Analysis {
  readonly method: string;
  readonly declaration: Declaration;
  readonly scalars: readonly (readonly [string, ScalarSpec])[];
  /** Names of all arguments that are tensors. */
  readonly tensorNames: readonly string[];
  /** Scalars that plans depend on, and the plan for each combination of their values. */
  readonly selectors: readonly string[];
  readonly plans: readonly Plan[];
  /** All names of numbers: the scalars that dimensions are made of, then what is solved. */
  readonly names: readonly string[];
  readonly given: number;
  readonly limits: readonly Limit[];
  readonly ends: readonly { readonly name: string; readonly text: string; value: Evaluate }[];
}

interface Limit {
  readonly text: string;
  readonly small: Evaluate;
  readonly large: Evaluate;
}

/** The values of a flag or a choice. */
export const valuesOf = (declaration: Declaration, on: string): readonly (string | boolean)[] =>
  (declaration.args[on] as ScalarSpec).values ?? [];

export function analyse(method: string, declaration: Declaration): Analysis {
  const entries = Object.entries(declaration.args);
  const scalars = entries.filter(([, spec]) => spec.role === 'scalar') as [string, ScalarSpec][];
  const tensorEntries = entries.filter(([, spec]) => spec.role !== 'scalar');
  const names = scalars.filter(([, spec]) => spec.dimension).map(([name]) => name);
  const given = names.length;
  const indexOf = (name: string): number => {
    if (!names.includes(name)) names.push(name);
    return names.indexOf(name);
  };

  const selectors = [
    ...new Set(tensorEntries.flatMap(([, spec]) => (spec.role === 'depending' ? [spec.on] : []))),
  ];
  // One plan for each combination of the selectors' values, the first selector's changing slowest.
  let combinations: Record<string, string | boolean>[] = [{}];
  for (const on of selectors)
    combinations = combinations.flatMap((c) =>
      valuesOf(declaration, on).map((v) => ({ ...c, [on]: v })),
    );
  const plans = combinations.map((selected) =>
    plan(method, declaration, tensorEntries, selected, given, indexOf),
  );
  const limits = declaration.where
    .filter((text) => text.includes('<='))
    .map((text) => {
      const [small, large] = text.split('<=').map((side) => evaluator(parse(side), indexOf));
      return { text, small, large };
    });
  const ends = Object.entries(declaration.ends).map(([name, text]) => ({
    name,
    text: text as string,
    value: evaluator(parse(text as string), indexOf),
  }));

  const tensorNames = tensorEntries.map(([name]) => name);
  return {
    method,
    declaration,
    scalars,
    tensorNames,
    selectors,
    plans,
    names,
    given,
    limits,
    ends,
  };
}

/** Checks calls step by step: slow, and able to say what is wrong. */
export function compile(analysis: Analysis): Check {
  const { method, declaration, scalars, tensorNames, selectors, plans } = analysis;
  const { names, given, limits, ends } = analysis;
  // Reused by every call: a kernel is done with them when it returns.
  const values: number[] = names.map(() => 0);
  const held: (Handle | null)[] = tensorNames.map(() => null);
  const solved: Record<string, unknown> = {};
  for (const [name] of scalars) solved[name] = undefined;
  for (const name of names) solved[name] = 0;
  const derived = names.slice(given);
  const refused = (call: Call, problem: string): Error =>
    mismatch(
      method,
      problem,
      Object.fromEntries(tensorNames.map((name) => [name, call[name] as Handle | null])),
    );

  return (call, lastOf) => {
    let place = 0;
    for (let i = 0; i < scalars.length; i++) {
      const [name, spec] = scalars[i];
      let value = call[name];
      if (value === undefined && spec.left) value = spec.standard;
      else if (typeof value !== spec.type || !(spec.test?.(value) ?? true))
        throw refused(call, `${name} must be ${spec.must}, not ${String(value)}`);
      if (spec.dimension) values[place++] = value as number;
      solved[name] = value;
    }
    let which = 0;
    for (let i = 0; i < selectors.length; i++) {
      const all = valuesOf(declaration, selectors[i]);
      which = which * all.length + all.indexOf(solved[selectors[i]] as string | boolean);
    }
    const { tensors, steps } = plans[which];
    for (let i = 0; i < tensors.length; i++) {
      const { name, spec, optional } = tensors[i];
      const t = call[name] as Handle | null | undefined;
      if (t == null) {
        if (!optional || t === undefined) throw refused(call, `${name} is missing`);
        held[i] = null;
      } else {
        if (!isOfKind(t, spec.kind)) throw refused(call, `${name} must be ${WANTS[spec.kind]}`);
        held[i] = t;
      }
    }
    for (let i = 0; i < steps.length; i++) {
      const problem = runStep(steps[i], held, values);
      if (problem !== FITS)
        throw refused(call, problemOf(steps[i], tensors, values, names, problem));
    }
    for (let i = 0; i < limits.length; i++) {
      const { text, small, large } = limits[i];
      if (!(small(values) <= large(values)))
        throw refused(call, `${text} does not hold: ${small(values)} and ${large(values)}`);
    }
    if (lastOf)
      for (let i = 0; i < ends.length; i++) {
        const { name, text, value } = ends[i];
        const t = call[name] as Handle;
        const last = t.size === 0 ? 0 : lastOf(t);
        if (last !== value(values))
          throw refused(call, `${name} must end with ${text} = ${value(values)}, not ${last}`);
      }
    for (let i = 0; i < derived.length; i++) solved[derived[i]] = values[given + i];
    const wrong = declaration.refuse?.(call as never, solved as never);
    if (wrong) throw refused(call, wrong);
    return solved;
  };
}

const FITS = -1;

/** Compares or solves one dimension; `FITS`, or the dimension that does not fit. */
function runStep(step: Step, held: readonly (Handle | null)[], values: number[]): number {
  let found: number;
  if (step.tensor >= 0) {
    const t = held[step.tensor];
    if (t === null) return FITS;
    found = dimensionOf(t, step.dimension);
  } else {
    found = step.left(values);
  }
  if (step.solves < 0) {
    const right = step.name >= 0 ? values[step.name] : step.value(values);
    return found === right ? FITS : found;
  }
  if (step.name >= 0) {
    values[step.solves] = found;
    return FITS;
  }
  const slope = step.slope(values);
  const rest = found - step.rest(values);
  const value = slope === 0 && rest === 0 ? 0 : rest / slope;
  if (!Number.isInteger(value) || value < 0) return found;
  values[step.solves] = value;
  return FITS;
}

/** `b [K, N] has 5 rows, and K is 4`. */
function problemOf(
  { polynomial, leftOf, text, solves, tensor, dimension }: Step,
  tensors: readonly CheckedTensor[],
  values: readonly number[],
  names: readonly string[],
  found: number,
): string {
  const known = [...namesIn([...(leftOf ?? []), ...polynomial])].filter(
    (name) => solves < 0 || name !== names[solves],
  );
  const where = known.map((name) => `${name} is ${values[names.indexOf(name)]}`).join(', ');
  if (tensor < 0) return `${text} does not hold: ${where}`;
  const { name, spec } = tensors[tensor];
  const why = where === '' ? `, not ${text}` : `, and ${where}`;
  return `${name} [${spec.dims.join(', ')}] has ${found} ${NOUNS[dimension]}${why}`;
}

/** An equation that waits for its names. */
interface Equation {
  readonly polynomial: Polynomial;
  readonly text: string;
  readonly tensor: number;
  readonly dimension: number;
  readonly left: Polynomial | null;
  readonly optional: boolean;
}

function plan(
  method: string,
  declaration: Declaration,
  tensorEntries: readonly (readonly [string, Spec])[],
  selected: Readonly<Record<string, string | boolean>>,
  given: number,
  indexOf: (name: string) => number,
): Plan {
  const tensors = tensorEntries.map(([name, spec]) => ({
    name,
    spec: resolve(spec, selected),
    optional: spec.role === 'optional',
  }));
  const equations: Equation[] = tensors.flatMap(({ spec, optional }, tensor) =>
    spec.dims.map((text, i) => ({
      polynomial: parse(text),
      text,
      tensor,
      dimension: DIMENSIONS[spec.dims.length][i],
      left: null,
      optional,
    })),
  );
  for (const text of declaration.where) {
    if (text.includes('<=')) continue;
    const [left, right] = text.split('=');
    const common = { text, tensor: -1, dimension: 0, optional: false };
    equations.push({ polynomial: parse(right), left: parse(left), ...common });
  }
  const known = new Set(
    Object.entries(declaration.args)
      .filter(([, spec]) => spec.role === 'scalar' && spec.dimension)
      .map(([name]) => name),
  );
  if (known.size !== given) throw new Error(`${method}: its scalars are not of one count`);
  const steps: Step[] = [];
  // What is one name solves it whatever the others are: `N*K` with N = 0 would not tell K.
  const isName = ({ polynomial }: Equation): boolean => nameOf(polynomial) !== null;
  let waiting = [...equations.filter(isName), ...equations.filter((one) => !isName(one))];
  while (waiting.length > 0) {
    const later: Equation[] = [];
    for (const equation of waiting) {
      const step = stepOf(equation, known, indexOf);
      if (step) steps.push(step);
      else later.push(equation);
    }
    if (later.length === waiting.length)
      throw new Error(
        `${method}: its declaration does not determine ${later.map(({ text }) => text).join(', ')}`,
      );
    waiting = later;
  }
  return { tensors, steps };
}

/** The name that a polynomial is, or null where it is anything else. */
function nameOf(polynomial: Polynomial): string | null {
  const [{ coefficient, names }] = polynomial;
  return polynomial.length === 1 && coefficient === 1 && names.length === 1 ? names[0] : null;
}

/** The step that an equation is as things stand, or null where too little is known. */
function stepOf(
  equation: Equation,
  known: Set<string>,
  indexOf: (name: string) => number,
): Step | null {
  const { polynomial, text, tensor, dimension, left, optional } = equation;
  if (left && [...namesIn(left)].some((name) => !known.has(name))) return null;
  const common = {
    polynomial,
    text,
    tensor,
    dimension,
    leftOf: left,
    name: nameOf(polynomial) === null ? -1 : indexOf(nameOf(polynomial) as string),
    value: evaluator(polynomial, indexOf),
    left: left ? evaluator(left, indexOf) : zero,
  };
  const unknown = [...namesIn(polynomial)].filter((name) => !known.has(name));
  if (unknown.length === 0) return { ...common, linear: null, solves: -1, slope: zero, rest: zero };
  const linear = unknown.length === 1 && !optional ? linearIn(polynomial, unknown[0]) : null;
  if (!linear) return null;
  known.add(unknown[0]);
  return {
    ...common,
    linear,
    solves: indexOf(unknown[0]),
    slope: evaluator(linear.slope, indexOf),
    rest: evaluator(linear.rest, indexOf),
  };
}
