/**
 * @file Whether two answers that were read are the same.
 *
 * Form is forgiven and value never is: a unit may be missing, a formula may be factored, `x = 5`
 * is 5, roots may stand in any order; but `[0, 1]` is not `(0, 1)`, and five metres are not five
 * seconds. Strict comparison forgives spelling only.
 */
import { memo, pay } from './budget.js';
import { approximate, constantRatio, sameFunction, variablesOf } from './evaluate.js';
import { rational } from './rational.js';
import { realSet, sameSet } from './sets.js';
import type { Formula, Node, Unit, Value } from './tree.js';

/** Most items of a list that is compared in any order; longer ones are in the order of the truth. */
const MAX_ITEMS = 64;

export interface Comparison {
  /** Relative, for numbers; 0 is exact. */
  readonly tolerance: number;
}

const num = (n: bigint, d = 1n): Node => ({ k: 'num', value: rational(n, d) as never, places: 0 });
const product = (...a: Node[]): Node => ({ k: 'mul', a });

/** Whether a node holds `±`, and the node with it decided. */
function withSign(node: Node, sign: 1 | -1): Node {
  if (node.k === 'num' || node.k === 'sym' || node.k === 'inf') return node;
  const a = node.a.map((part) => withSign(part, sign));
  if (node.k === 'pm' || node.k === 'mp')
    return (node.k === 'pm') === sign > 0 ? a[0] : { k: 'neg', a: [a[0]] };
  return { ...node, a } as Node;
}
const hasSign = (node: Node): boolean =>
  node.k === 'pm' ||
  node.k === 'mp' ||
  (node.k !== 'num' && node.k !== 'sym' && node.k !== 'inf' && node.a.some(hasSign));

/** `a ± b` is two numbers. */
export const spread: (value: Value) => Value = memo(spreadOnce);

function spreadOnce(value: Value): Value {
  if (value.k === 'named') {
    const inner = spread(value.value);
    return inner === value.value ? value : { ...value, value: inner };
  }
  if (value.k !== 'formula' || !hasSign(value.node)) {
    if (value.k !== 'list' || (value.form !== 'bare' && value.form !== 'set')) return value;
    const items = value.items.map(spread);
    if (items.every((item, i) => item === value.items[i])) return value;
    return {
      ...value,
      items: items.flatMap((item) =>
        item.k === 'list' && item.form === 'bare' ? item.items : [item],
      ),
    };
  }
  const items = ([1, -1] as const).map((sign) => ({ ...value, node: withSign(value.node, sign) }));
  return { k: 'list', form: 'bare', items };
}

const infinity = (node: Node): number => {
  const x = node.k === 'inf' || (node.k === 'neg' && node.a[0].k === 'inf') ? approximate(node) : 0;
  return Number.isFinite(x) ? 0 : Math.sign(x);
};

function sameNode(a: Node, b: Node, { tolerance }: Comparison): boolean {
  const ends = [infinity(a), infinity(b)];
  if (ends[0] !== 0 || ends[1] !== 0) return ends[0] === ends[1];
  if (sameFunction(a, b)) return true;
  if (tolerance === 0) return sameTree(a, b);
  const [x, y] = [approximate(a), approximate(b)];
  return Math.abs(x - y) <= tolerance * Math.abs(x);
}

/** Whether two trees are written alike; the last word where a value cannot be computed. */
function sameTree(a: Node, b: Node): boolean {
  if (a.k === 'num' || a.k === 'sym' || a.k === 'inf') {
    if (a.k === 'num' && b.k === 'num')
      return a.value.numerator === b.value.numerator && a.value.denominator === b.value.denominator;
    return a.k === b.k && (a.k !== 'sym' || a.name === (b as { name: string }).name);
  }
  if (b.k === 'num' || b.k === 'sym' || b.k === 'inf' || a.k !== b.k) return false;
  if (a.k === 'fn' && a.name !== (b as { name: string }).name) return false;
  return a.a.length === b.a.length && a.a.every((part, i) => sameTree(part, b.a[i]));
}

const DIMENSIONLESS = `si ${Array(7).fill(0).join(' ')}`;

function sameFormula(truth: Formula, given: Formula, options: Comparison): boolean {
  if (truth.loose && given.unit && !truth.unit)
    return sameFormula({ ...truth, ...truth.loose, loose: undefined }, given, options);
  if (given.loose && truth.unit && !given.unit)
    return sameFormula(truth, { ...given, ...given.loose, loose: undefined }, options);
  const same = (a: Node, b: Node): boolean => sameNode(a, b, options);
  if (truth.percent !== given.percent) {
    // 25% is neither $25 nor 25°.
    const unit = (truth.percent ? given : truth).unit;
    if (unit !== null && !/\bpercent/.test(unit.text)) return false;
    const percent = (f: Formula): Node => (f.percent ? product(f.node, num(1n, 100n)) : f.node);
    if (same(percent(truth), percent(given))) return true;
    // `17` for `17%`; but a half is no half of a percent, and a reply of 1% is not 1.
    const plain = Math.abs(approximate((truth.percent ? given : truth).node));
    return (truth.percent ? plain >= 1 : plain > 1) && same(truth.node, given.node);
  }
  const [a, b] = [truth.unit, given.unit];
  if (a === null && b === null) return same(truth.node, given.node);
  const radians = (f: Formula): Node =>
    f.unit?.kind === 'angle' ? { k: 'deg', a: [f.node] } : f.node;
  const angles = [a, b].filter((unit) => unit?.kind === 'angle').length;
  if (
    angles === 1 &&
    [a, b].every((unit) => unit === null || unit.kind === 'angle' || unit.kind === DIMENSIONLESS)
  )
    return (
      same(radians(truth), radians(given)) ||
      ((a === null || b === null) && same(truth.node, given.node))
    );
  if (a === null || b === null) return same(truth.node, given.node);
  return sameUnits(a, b, truth.node, given.node, options);
}

function sameUnits(a: Unit, b: Unit, x: Node, y: Node, options: Comparison): boolean {
  // Pounds weigh or pay.
  const pounds = [a, b].filter(({ text }) => /^pounds?$/.test(text)).length;
  if (pounds === 1 && [a, b].some(({ text }) => text === 'GBP')) return sameNode(x, y, options);
  if (a.kind !== b.kind) return false;
  if (a.kind === 'word') return a.text === b.text && sameNode(x, y, options);
  // `$5 per hour` may be called $5, and never $5 per day.
  if (a.kind.startsWith('currency') && a.text !== b.text) {
    if (![a.text, b.text].some((text) => `currency ${text}` === a.kind)) return false;
  }
  if (a.factor === b.factor) return sameNode(x, y, options);
  const [p, q] = [approximate(x) * a.factor, approximate(y) * b.factor];
  return Math.abs(p - q) <= Math.max(options.tolerance, 1e-12) * Math.abs(p);
}

/** A chain `a = b ≈ c` of numbers that agree: its sides. Null where it is none. */
function chain(value: Value, options: Comparison): readonly Value[] | null {
  if (value.k !== 'relation' || !value.ops.every((op) => op === '=' || op === '~')) return null;
  const { ops, sides } = value;
  if (!sides.every((side) => side.k === 'formula' && variablesOf(side.node).size === 0))
    return null;
  for (const [i, op] of ops.entries()) {
    const [a, b] = [sides[i], sides[i + 1]] as Formula[];
    if (sameFormula(a, b, options)) continue;
    // `√2 ≈ 1.414`: as near as its digits say.
    if (b.node.k !== 'num' || b.node.places === 0 || op !== '~') return null;
    if (!(Math.abs(approximate(a.node) - approximate(b.node)) <= 0.51 * 10 ** -b.node.places))
      return null;
  }
  return sides;
}

const minus = (a: Node, b: Node): Node => ({ k: 'add', a: [a, { k: 'neg', a: [b] }] });

/** An equation or inequality as `left - right`, its sign turned so that it is `=`, `<` or `≤`. */
function difference(value: Value): { op: string; node: Node } | null {
  if (value.k === 'named') {
    if (value.value.k !== 'formula') return null;
    return { op: '=', node: minus({ k: 'sym', name: value.name }, value.value.node) };
  }
  if (value.k !== 'relation' || value.ops.length !== 1) return null;
  const [left, right] = value.sides;
  if (left.k !== 'formula' || right.k !== 'formula') return null;
  const [op] = value.ops;
  if (op === '>' || op === '>=')
    return { op: op.replace('>', '<'), node: minus(right.node, left.node) };
  return { op, node: minus(left.node, right.node) };
}

/** Items of a list with the names before them taken off, where they are names of one thing. */
function unnamed(items: readonly Value[]): { names: string[]; values: readonly Value[] } {
  const names = items.map((item) => (item.k === 'named' ? item.name : ''));
  return { names, values: items.map((item) => (item.k === 'named' ? item.value : item)) };
}
/** `x_1` and `x_2` are two values of x. */
const stem = (name: string): string => name.replace(/_?\d+$/, '');

/** Of a list: `{1}` beside other items is a set, and not the number in it. */
function sameItem(a: Value, b: Value, options: Comparison): boolean {
  const nested = (value: Value): boolean => value.k === 'list' && value.items.length === 1;
  return nested(a) === nested(b) && same(a, b, options);
}

function sameInOrder(a: readonly Value[], b: readonly Value[], options: Comparison): boolean {
  return a.length === b.length && a.every((item, i) => sameItem(item, b[i], options));
}

function sameInAnyOrder(a: readonly Value[], b: readonly Value[], options: Comparison): boolean {
  if (a.length !== b.length) return false;
  if (a.length > MAX_ITEMS) return sameInOrder(a, b, options);
  const left = [...b];
  return a.every((item) => {
    const at = left.findIndex((other) => sameItem(item, other, options));
    if (at >= 0) left.splice(at, 1);
    return at >= 0;
  });
}

function distinct(items: readonly Value[], options: Comparison): readonly Value[] {
  return items.filter((item, i) => !items.slice(0, i).some((other) => same(item, other, options)));
}

type List = Extract<Value, { k: 'list' }>;

function sameList(truth: List, given: List, options: Comparison): boolean {
  const forms = [truth.form, given.form];
  const [a, b] = [unnamed(truth.items), unnamed(given.items)];
  const several = (names: string[]): boolean => new Set(names.map(stem)).size > 1;
  if (a.names.some((name) => name !== '') && b.names.some((name) => name !== '')) {
    // `x = 3, y = 4`: by name. `x = 1, 3`: the first name holds for all.
    const named = several(a.names.filter((name) => name !== ''));
    if (named !== several(b.names.filter((name) => name !== ''))) return false;
    if (named) {
      if (truth.items.length !== given.items.length) return false;
      return truth.items.every(
        (item, i) =>
          item.k === 'named' &&
          given.items.some(
            (other) =>
              other.k === 'named' &&
              other.name === a.names[i] &&
              same(item.value, other.value, options),
          ),
      );
    }
    const stems = [a, b].map(({ names }) => stem(names.find((name) => name !== '') ?? ''));
    if (stems[0] !== stems[1]) return false;
  } else if (several(a.names.filter((n) => n !== '')) || several(b.names.filter((n) => n !== ''))) {
    return sameInOrder(a.values, b.values, options);
  }
  const loose = (form: string): boolean => form === 'bare' || form === 'set';
  if (forms.every(loose)) {
    if (forms.includes('bare')) return sameInAnyOrder(a.values, b.values, options);
    return sameInAnyOrder(distinct(a.values, options), distinct(b.values, options), options);
  }
  if (forms[0] === forms[1]) return sameInOrder(a.values, b.values, options);
  if (forms.includes('set')) return false;
  // Two numbers in square brackets are an interval, more are a list.
  if (forms.includes('[') && a.values.length < 3) return false;
  return sameInOrder(a.values, b.values, options);
}

/** The numbers of a vector, however it is written; null for what is none. */
function vectorOf(value: Value): readonly Value[] | null {
  if (value.k === 'list' && (value.form === '(' || value.form === '<')) return value.items;
  if (value.k !== 'matrix' || value.fence !== '(') return null;
  if (value.rows.every((row) => row.length === 1)) return value.rows.map(([item]) => item);
  return value.rows.length === 1 ? value.rows[0] : null;
}

/** Whether `given` says what `truth` says. */
export function same(first: Value, second: Value, options: Comparison): boolean {
  pay(4);
  const [truth, given] = [spread(first), spread(second)];
  if (truth.k === 'text' || given.k === 'text')
    return (
      truth.k === 'text' && given.k === 'text' && truth.text !== '' && truth.text === given.text
    );
  if (truth.k === 'formula' && given.k === 'formula') return sameFormula(truth, given, options);

  const chains = [chain(truth, options), chain(given, options)];
  if (chains[0] !== null || chains[1] !== null) {
    const sides = [chains[0] ?? [truth], chains[1] ?? [given]];
    return sides[0].some((a) => sides[1].some((b) => a.k === 'formula' && same(a, b, options)));
  }
  if (truth.k === 'named' && given.k === 'named')
    return truth.name === given.name && same(truth.value, given.value, options);
  if (truth.k === 'relation' || given.k === 'relation') {
    const sets = [realSet(truth), realSet(given)];
    if (sets[0] !== null && sets[1] !== null) return sameSet(sets[0], sets[1]);
    return sameRelation(truth, given, options);
  }
  if (truth.k === 'named') return same(truth.value, given, options);
  if (given.k === 'named') return same(truth, given.value, options);

  if (truth.k === 'list' && given.k === 'list') return sameList(truth, given, options);
  // `{5}` and `[5]` for 5.
  for (const [list, other] of [
    [truth, given],
    [given, truth],
  ] as const)
    if (list.k === 'list' && list.items.length === 1 && other.k !== 'list')
      return list === truth
        ? same(list.items[0], other, options)
        : same(other, list.items[0], options);
  if (truth.k === 'ratio' || given.k === 'ratio') return sameRatio(truth, given, options);
  const vectors = [vectorOf(truth), vectorOf(given)];
  if (truth.k === 'matrix' && given.k === 'matrix') {
    const shape = (m: typeof truth): string => `${m.fence}${m.rows.length}x${m.rows[0].length}`;
    return (
      shape(truth) === shape(given) &&
      truth.rows.every((row, i) => sameInOrder(row, given.rows[i], options))
    );
  }
  if (vectors[0] !== null && vectors[1] !== null)
    return sameInOrder(vectors[0], vectors[1], options);
  const sets = [realSet(truth), realSet(given)];
  if (sets[0] !== null && sets[1] !== null) return sameSet(sets[0], sets[1]);
  if (truth.k === 'interval' && given.k === 'interval')
    return (
      truth.closed.every((closed, i) => closed === given.closed[i]) &&
      sameInOrder(truth.ends, given.ends, options)
    );
  if ((truth.k === 'union' || truth.k === 'intersection') && truth.k === given.k)
    return sameInAnyOrder(truth.parts, (given as typeof truth).parts, options);
  return false;
}

function sameRelation(truth: Value, given: Value, options: Comparison): boolean {
  if (truth.k === 'relation' && given.k === 'relation') {
    const direct =
      truth.ops.length === given.ops.length &&
      truth.ops.every((op, i) => op === given.ops[i]) &&
      sameInOrder(truth.sides, given.sides, options);
    if (direct) return true;
  }
  const [a, b] = [difference(truth), difference(given)];
  if (a === null || b === null || a.op !== b.op) return false;
  // A solved equation is not answered by an unsolved one.
  if (
    truth.k === 'named' &&
    truth.value.k === 'formula' &&
    variablesOf(truth.value.node).size === 0
  )
    return false;
  const ratio = constantRatio(a.node, b.node);
  return ratio !== null && (a.op === '=' || a.op === '!=' || a.op === '~' || ratio > 0);
}

/** `3:4`, also `6:8` and `3/4`; `10:30` may be a time, and is only itself. */
function sameRatio(truth: Value, given: Value, options: Comparison): boolean {
  if (truth.k === 'ratio' && given.k === 'ratio' && sameInOrder(truth.items, given.items, options))
    return true;
  const quotient = (value: Value): Node | null => {
    if (value.k === 'formula') return value.unit === null && !value.percent ? value.node : null;
    if (value.k !== 'ratio' || value.items.length !== 2) return null;
    const [a, b] = value.items;
    if (a.k !== 'formula' || b.k !== 'formula') return null;
    const minutes = approximate(b.node);
    return minutes >= 10 && minutes < 60 ? null : { k: 'div', a: [a.node, b.node] };
  };
  const [a, b] = [quotient(truth), quotient(given)];
  return a !== null && b !== null && sameNode(a, b, options);
}

/** Whether two answers are written alike: braces, spaces and `\dfrac` aside. */
export function sameForm(a: Value, b: Value): boolean {
  const text = (value: Value): string =>
    JSON.stringify(value, (key, inner: unknown) => {
      if (key === 'places' || key === 'loose') return undefined;
      return typeof inner === 'bigint' ? `${inner}` : inner;
    });
  return text(a) === text(b);
}
