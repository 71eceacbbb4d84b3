/**
 * @file Bad calls of every operation, made from the declarations: what fits with one thing changed.
 * What a backend says to each must be the same on all of them.
 */
import { Random } from '../../base/random.js';
import { type Backend, columns, type OperationName, type Tensor } from '../backend.js';
import type { Declaration, ScalarSpec, Spec, TensorSpec } from '../operations/declare.js';
import { evaluator, namesIn, parse } from '../operations/expression.js';
import { OPERATIONS } from '../operations/index.js';

type Values = Record<string, number>;
type Call = Record<string, unknown>;

/** A change of a call that fits, and what the backend then says; null where it runs. */
export interface Refusal {
  readonly change: string;
  readonly message: string | null;
}

const evaluate = (text: string, values: Values): number => {
  const names = Object.keys(values);
  return evaluator(parse(text), (name) => names.indexOf(name))(Object.values(values));
};

const sides = (text: string): string[] => text.split(/<=|=/);

function tensorSpec(spec: Spec, scalars: Call): TensorSpec | null {
  if (spec.role === 'scalar') return null;
  if (spec.role === 'optional') return spec.spec;
  return spec.role === 'depending' ? spec.cases[String(scalars[spec.on])] : spec;
}

/** Numbers for all names of a declaration, such that everything in `where` holds. */
function drawValues(random: Random, { args, where }: Declaration, scalars: Call): Values {
  const texts = Object.values(args).flatMap((spec) => tensorSpec(spec, scalars)?.dims ?? []);
  const names = new Set([...texts, ...where.flatMap(sides)].flatMap((t) => [...namesIn(parse(t))]));
  for (const [name, spec] of Object.entries(args))
    if (spec.role === 'scalar' && spec.dimension) names.add(name);
  for (;;) {
    const values: Values = {};
    for (const name of names) values[name] = random.integer(2, 4);
    for (const text of where)
      if (!text.includes('<=')) values[sides(text)[0].trim()] = evaluate(sides(text)[1], values);
    const holds = where.every((text) => {
      const [left, right] = sides(text).map((side) => evaluate(side, values));
      return text.includes('<=') ? left <= right : left === right;
    });
    if (holds) return values;
  }
}

function goodScalar(random: Random, spec: ScalarSpec): unknown {
  if (spec.values) return random.pick([...spec.values]);
  if (spec.type === 'number') return 0.5;
  const flags = spec.must.replace('true or false for each of ', '').split(', ');
  return Object.fromEntries(flags.map((name) => [name, false]));
}

const BAD_SCALARS: readonly unknown[] = [undefined, null, 'x', -1.5, 0, Number.NaN];

/** Every single change of one call that fits, in the order of the declaration. */
export function refusalsOf(backend: Backend, name: OperationName, index: number): Refusal[] {
  const declaration = OPERATIONS[name] as unknown as Declaration;
  const random = new Random('refusals', name, index);
  const { args, ends } = declaration;
  const scalars: Call = {};
  for (const [key, spec] of Object.entries(args))
    if (spec.role === 'scalar') scalars[key] = goodScalar(random, spec);
  const values = drawValues(random, declaration, scalars);
  for (const key of Object.keys(scalars)) if (key in values) scalars[key] = values[key];

  const make = (dtype: 'f32' | 'i32', shape: readonly number[], last = 0): Tensor => {
    const out = backend.allocate(dtype, shape);
    backend.fill({ out, value: dtype === 'i32' ? 0 : 0.5 });
    const size = shape.reduce((a, b) => a * b, 1);
    if (dtype === 'i32' && last > 0) backend.write(out, [...new Array(size - 1).fill(0), last]);
    return out;
  };
  const good: Call = { ...scalars };
  const shapes = new Map<string, { spec: TensorSpec; shape: number[]; last: number }>();
  for (const [key, written] of Object.entries(args)) {
    const spec = tensorSpec(written, scalars);
    if (!spec) continue;
    const shape = spec.dims.map((text) => evaluate(text, values));
    const end = ends[key];
    const last = end === undefined ? 0 : evaluate(end, values);
    shapes.set(key, { spec, shape, last });
    good[key] = make(spec.kind === 'i32' ? 'i32' : 'f32', shape, last);
  }
  const attempt = (change: string, more: Call): Refusal => {
    try {
      (backend[name] as (call: Call) => void)({ ...good, ...more });
      return { change, message: null };
    } catch (error) {
      return { change, message: (error as Error).message };
    }
  };
  const found = [attempt('nothing', {})];
  for (const [key, { spec, shape, last }] of shapes) {
    const own = spec.kind === 'i32' ? 'i32' : 'f32';
    found.push(attempt(`${key} undefined`, { [key]: undefined }));
    found.push(attempt(`${key} null`, { [key]: null }));
    found.push(
      attempt(`${key} of the other kind`, { [key]: make(own === 'i32' ? 'f32' : 'i32', shape) }),
    );
    const size = shape.reduce((a, b) => a * b, 1);
    const rows = { form: 'bf16', rows: 1, bytes: new Uint8Array(2 * size) } as const;
    found.push(attempt(`${key} frozen`, { [key]: backend.freeze([rows], size) }));
    const wide = make(own, [3, size + 3]);
    const apart = columns(backend, wide, 1, 1 + size);
    found.push(attempt(`${key} with rows apart`, { [key]: apart }));
    shape.forEach((length, i) => {
      const longer = shape.map((n, j) => (i === j ? length + 1 : n));
      found.push(attempt(`${key} longer at ${i}`, { [key]: make(own, longer, last) }));
    });
  }
  for (const key of Object.keys(scalars))
    for (const bad of BAD_SCALARS) found.push(attempt(`${key} ${String(bad)}`, { [key]: bad }));
  return found;
}

/** Numbers at the ends of offsets that are wrong; only backends on the host can see them. */
export function wrongEndsOf(backend: Backend, name: 'attention' | 'balanceLoss'): string {
  const f = (...shape: number[]): Tensor => {
    const out = backend.allocate('f32', shape);
    backend.fill({ out, value: 0.5 });
    return out;
  };
  const segments = backend.allocate('i32', [2]);
  backend.write(segments, [0, 4]);
  const experts = backend.allocate('i32', [3, 1]);
  backend.fill({ out: experts, value: 0 });
  const given = { segments, prefixes: null };
  const qkv = { q: f(3, 2), k: f(3, 2), v: f(3, 2), heads: 1, kvHeads: 1, scale: 1 };
  try {
    if (name === 'attention')
      backend.attention({ out: f(3, 2), logSumExp: f(3, 1), ...given, ...qkv });
    else {
      const both = { dLogits: f(3, 2), scores: f(3, 2), loss: f(1) };
      backend.balanceLoss({ ...both, experts, ...given, coefficient: 1 });
    }
  } catch (error) {
    return (error as Error).message;
  }
  return 'no refusal';
}
