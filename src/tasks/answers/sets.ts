/**
 * @file Sets of real numbers as answers write them: intervals, unions, inequalities, `x ≠ 2`.
 *
 * `(-∞, 2) ∪ (2, ∞)`, `x ≠ 2` and `ℝ \ {2}` are one set; `[0, 1)` and `(0, 1]` are two. A set is a
 * sorted list of parts that do not touch. Ends are put in order by their values as doubles and
 * compared exactly.
 */
import { approximate, sameFunction, variablesOf } from './evaluate.js';
import { type Rational, rational } from './rational.js';
import type { Node, Value } from './tree.js';

interface End {
  readonly x: number;
  readonly node: Node;
  readonly closed: boolean;
}

interface Part {
  readonly low: End;
  readonly high: End;
}

export interface RealSet {
  readonly parts: readonly Part[];
  /** What an inequality calls its variable; null where nothing does. */
  readonly variable: string | null;
}

const ZERO: Node = { k: 'num', value: rational(0n) as Rational, places: 0 };
const INFINITY: Node = { k: 'inf' };
const LOW: End = { x: Number.NEGATIVE_INFINITY, node: { k: 'neg', a: [INFINITY] }, closed: false };
const HIGH: End = { x: Number.POSITIVE_INFINITY, node: INFINITY, closed: false };
const ALL: Part = { low: LOW, high: HIGH };

function endOf(value: Value, closed: boolean): End | null {
  if (value.k !== 'formula' || value.percent) return null;
  const x = approximate(value.node);
  if (Number.isNaN(x)) return null;
  return { x, node: value.node, closed: closed && Number.isFinite(x) };
}

function partOf(low: End | null, high: End | null): readonly Part[] | null {
  if (low === null || high === null || low.x > high.x) return null;
  if (low.x === high.x && !(low.closed && high.closed)) return null;
  return [{ low, high }];
}

function normal(parts: readonly Part[]): readonly Part[] {
  const sorted = [...parts].sort(
    (a, b) => a.low.x - b.low.x || Number(b.low.closed) - Number(a.low.closed),
  );
  const out: Part[] = [];
  for (const part of sorted) {
    const last = out.at(-1);
    const touches =
      last !== undefined &&
      (part.low.x < last.high.x ||
        (part.low.x === last.high.x && (part.low.closed || last.high.closed)));
    if (!touches) out.push(part);
    else if (
      part.high.x > last.high.x ||
      (part.high.x === last.high.x && part.high.closed && !last.high.closed)
    )
      out[out.length - 1] = { low: last.low, high: part.high };
  }
  return out;
}

function intersect(a: readonly Part[], b: readonly Part[]): readonly Part[] {
  return a.flatMap((p) =>
    b.flatMap((q) => {
      const later = (x: End, y: End): End => (x.x > y.x || (x.x === y.x && !x.closed) ? x : y);
      const sooner = (x: End, y: End): End => (x.x < y.x || (x.x === y.x && !x.closed) ? x : y);
      return partOf(later(p.low, q.low), sooner(p.high, q.high)) ?? [];
    }),
  );
}

function complement(parts: readonly Part[]): readonly Part[] {
  const out: Part[] = [];
  let low = LOW;
  for (const part of parts) {
    if (part.low.x > low.x || (part.low.x === low.x && low.closed && !part.low.closed))
      out.push({ low, high: { ...part.low, closed: !part.low.closed && part.low.x !== LOW.x } });
    low = { ...part.high, closed: !part.high.closed && part.high.x !== HIGH.x };
  }
  if (low.x < HIGH.x) out.push({ low, high: HIGH });
  return out;
}

/** `x` where a side is a variable and nothing else. */
function variableOf(value: Value): string | null {
  return value.k === 'formula' && value.node.k === 'sym' && variablesOf(value.node).size === 1
    ? value.node.name
    : null;
}

const FLIPPED: Record<string, string> = { '<': '>', '>': '<', '<=': '>=', '>=': '<=', '!=': '!=' };

function inequality(op: string, bound: Value): readonly Part[] | null {
  const closed = op.endsWith('=') && op !== '!=';
  const end = endOf(bound, closed);
  if (end === null) return null;
  if (op === '<' || op === '<=') return partOf(LOW, end);
  if (op === '>' || op === '>=') return partOf(end, HIGH);
  if (op === '!=')
    return complement([{ low: { ...end, closed: true }, high: { ...end, closed: true } }]);
  return null;
}

/** `|x - a| < c` and its like: where it lies around `a`. */
function around(side: Value): { name: string; center: Node } | null {
  if (side.k !== 'formula' || side.unit !== null || side.percent) return null;
  const { node } = side;
  if (node.k !== 'fn' || node.name !== 'abs') return null;
  const [inner] = node.a;
  if (inner.k === 'sym') return { name: inner.name, center: ZERO };
  if (inner.k !== 'add' || inner.a.length !== 2) return null;
  const [x, shift] = inner.a;
  return x.k === 'sym' && variablesOf(shift).size === 0
    ? { name: x.name, center: { k: 'neg', a: [shift] } }
    : null;
}

function absolute(op: string, side: Value, bound: Value): RealSet | null {
  const found = around(side);
  if (found === null || bound.k !== 'formula' || !(approximate(bound.node) >= 0)) return null;
  const end = (node: Node): Value => ({ ...bound, node });
  const low = end({ k: 'add', a: [found.center, { k: 'neg', a: [bound.node] }] });
  const high = end({ k: 'add', a: [found.center, bound.node] });
  const inside = op.startsWith('<');
  const parts = [inequality(FLIPPED[op] ?? '', low), inequality(op, high)];
  if (op === '!=' || parts.some((part) => part === null)) return null;
  const [below, above] = parts as (readonly Part[])[];
  return {
    parts: normal(inside ? intersect(below, above) : [...below, ...above]),
    variable: found.name,
  };
}

/** The set that a value is; null where it is none, or one of something else than numbers. */
export function realSet(value: Value): RealSet | null {
  const set = (parts: readonly Part[] | null, variable: string | null = null): RealSet | null =>
    parts === null ? null : { parts: normal(parts), variable };
  switch (value.k) {
    case 'reals':
      return set([ALL]);
    case 'empty':
      return set([]);
    case 'interval':
      return set(
        partOf(endOf(value.ends[0], value.closed[0]), endOf(value.ends[1], value.closed[1])),
      );
    case 'list': {
      if (value.form === 'set') {
        const points = value.items.map((item) => endOf(item, true));
        if (points.some((point) => point === null || !Number.isFinite(point.x))) return null;
        return set(points.map((point) => ({ low: point as End, high: point as End })));
      }
      if (value.items.length !== 2 || (value.form !== '(' && value.form !== '[')) return null;
      const closed = value.form === '[';
      return set(partOf(endOf(value.items[0], closed), endOf(value.items[1], closed)));
    }
    case 'named':
      return realSet(value.value);
    case 'union':
    case 'intersection': {
      const sets = value.parts.map(realSet);
      if (sets.some((one) => one === null)) return null;
      const known = sets as RealSet[];
      const names = new Set(known.flatMap(({ variable }) => variable ?? []));
      if (names.size > 1) return null;
      const parts =
        value.k === 'union'
          ? known.flatMap((one) => one.parts)
          : known.map((one) => one.parts).reduce(intersect);
      return set(parts, [...names][0] ?? null);
    }
    case 'except': {
      const [whole, less] = [realSet(value.whole), realSet(value.less)];
      return whole && less && set(intersect(whole.parts, complement(less.parts)), whole.variable);
    }
    case 'relation': {
      const { ops, sides } = value;
      if (ops.length === 1) {
        const [left, right] = sides.map(variableOf);
        if (left !== null) return set(inequality(ops[0], sides[1]), left);
        if (right !== null) return set(inequality(FLIPPED[ops[0]] ?? '', sides[0]), right);
        return (
          absolute(ops[0], sides[0], sides[1]) ??
          absolute(FLIPPED[ops[0]] ?? '', sides[1], sides[0])
        );
      }
      const middle = ops.length === 2 ? variableOf(sides[1]) : null;
      if (middle === null) return null;
      const low = inequality(FLIPPED[ops[0]] ?? '', sides[0]);
      const high = inequality(ops[1], sides[2]);
      if (low === null || high === null) return null;
      return set(intersect(low, high), middle);
    }
    default:
      return null;
  }
}

export function sameSet(a: RealSet, b: RealSet): boolean {
  if (a.variable !== null && b.variable !== null && a.variable !== b.variable) return false;
  if (a.parts.length !== b.parts.length) return false;
  const sameEnd = (p: End, q: End): boolean =>
    p.closed === q.closed &&
    (Number.isFinite(p.x) || Number.isFinite(q.x)
      ? Math.abs(p.x - q.x) <= 1e-9 * Math.abs(p.x) + 1e-12 && sameFunction(p.node, q.node)
      : p.x === q.x);
  return a.parts.every(
    (part, i) => sameEnd(part.low, b.parts[i].low) && sameEnd(part.high, b.parts[i].high),
  );
}
