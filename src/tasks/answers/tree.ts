/**
 * @file What an answer is once it is read: a formula with its unit, a list, an interval, a matrix,
 * an equation, or text.
 */
import type { Rational } from './rational.js';

/** A formula of numbers and symbols. */
export type Node =
  | { readonly k: 'num'; readonly value: Rational; readonly places: number }
  | { readonly k: 'sym'; readonly name: string }
  | { readonly k: 'inf' }
  | { readonly k: 'add' | 'mul'; readonly a: readonly Node[] }
  | { readonly k: 'div' | 'pow'; readonly a: readonly [Node, Node] }
  | { readonly k: 'neg' | 'pm' | 'mp' | 'deg'; readonly a: readonly [Node] }
  | { readonly k: 'fn'; readonly name: string; readonly a: readonly Node[] };

export interface Unit {
  /** As written, in lower case, for units that no table has. */
  readonly text: string;
  /** What the number is multiplied by for the table's base unit. */
  readonly factor: number;
  /** Units of one kind can be compared: a currency, or the powers of the seven base units. */
  readonly kind: string;
}

export interface Formula {
  readonly k: 'formula';
  readonly node: Node;
  readonly unit: Unit | null;
  readonly percent: boolean;
  /** `5m` read as five metres, where the other side says that it has a unit. */
  readonly loose?: { readonly node: Node; readonly unit: Unit };
}

export type Form = 'bare' | '(' | '[' | 'set' | '<';

export type Value =
  | Formula
  | { readonly k: 'text'; readonly text: string }
  | { readonly k: 'list'; readonly form: Form; readonly items: readonly Value[] }
  | { readonly k: 'interval'; readonly ends: readonly [Value, Value]; readonly closed: Closed }
  | { readonly k: 'union'; readonly parts: readonly Value[] }
  | { readonly k: 'intersection'; readonly parts: readonly Value[] }
  | { readonly k: 'except'; readonly whole: Value; readonly less: Value }
  | { readonly k: 'reals' }
  | { readonly k: 'empty' }
  | { readonly k: 'matrix'; readonly fence: string; readonly rows: readonly (readonly Value[])[] }
  | { readonly k: 'ratio'; readonly items: readonly Value[] }
  | { readonly k: 'named'; readonly name: string; readonly value: Value }
  | { readonly k: 'relation'; readonly ops: readonly string[]; readonly sides: readonly Value[] };

export type Closed = readonly [boolean, boolean];

/** Every reading of a text; the first is the likeliest. */
export type Readings = readonly Value[];
