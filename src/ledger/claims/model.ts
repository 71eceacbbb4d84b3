/**
 * @file A claim, understood: its formulas parsed, its units checked, its figures in an order in
 * which they can be computed.
 *
 * What is refused here is what makes two figures incomparable. Units: dollars are not added to
 * dollars an hour. Time: a stock (what the servers cost) is not added to, subtracted from or
 * divided by a flow (what they cost a year to run), nor a flow of four years by one of a year,
 * unless a step between the two says how one becomes the other (`converts`).
 */
import { UserError } from '../../base/errors.js';
import { didYouMean } from '../../base/text/index.js';
import {
  type Claim,
  type ClaimQuantity,
  claimIssueMessage,
  claimSchema,
  type Period,
} from '../../catalog/claim.js';
import { costOf } from '../../catalog/costs.js';
import type { Price } from '../../catalog/schema.js';
import { type Formula, namesIn, parseFormula, unitOf } from './formula.js';
import { describeUnit, parseUnit, sameDimensions, type Unit, USD } from './units.js';

type Money = Pick<Period, 'kind' | 'years'>;

export interface Node {
  id: string;
  /** Where it stands in the file, for messages. */
  field: string;
  unit: Unit;
  formula?: Formula;
  /** Without a formula: the value and its interval, in `unit`. */
  leaf?: { value: string; low: string; high: string };
  planned?: Extract<ClaimQuantity, { planned: unknown }>;
  /** Of dollars alone. */
  money?: Money;
}

/** A quantity with what the catalog knows of it. */
export interface Fact {
  id: string;
  what: string;
  unit: string;
  basis: 'published' | 'derived' | 'predicted' | 'assumed';
  source: string;
  date: string;
  note: string;
}

export interface ClaimModel {
  claim: Claim;
  /** Quantities and figures, each after those that it needs. */
  nodes: Node[];
  facts: Fact[];
  /** Checks and ratios. */
  formulas: ReadonlyMap<string, { formula: Formula; unit: Unit; field: string }>;
}

/**
 * Reads a claim.
 * @param content the parsed file
 * @param where its name, for messages
 * @throws UserError (usage), one line that names the field
 */
export function readClaim(content: unknown, where: string): ClaimModel {
  const parsed = claimSchema.safeParse(content);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const field = issue.path.map(String).join('.');
    throw refusal(where, field, claimIssueMessage(issue));
  }
  return understand(parsed.data, where);
}

function refusal(where: string, field: string, why: string): UserError {
  return new UserError(
    'usage',
    `claim ${where}: ${field === '' ? 'it' : field}: ${why}`,
    field || undefined,
  );
}

function understand(claim: Claim, where: string): ClaimModel {
  const refuse = (field: string, why: string): never => {
    throw refusal(where, field, why);
  };
  /** Runs `work`, and says of its errors where they are. */
  const at = <T>(field: string, work: () => T): T => {
    try {
      return work();
    } catch (error) {
      return refuse(field, (error as Error).message);
    }
  };

  const size = Object.keys(claim.quantities).length + claim.figures.length;
  if (size > MAX_NODES) refuse('quantities', `there are ${size}; at most ${MAX_NODES} are read`);
  const nodes = new Map<string, Node>();
  const facts: Fact[] = [];
  for (const [id, quantity] of Object.entries(claim.quantities)) {
    const field = `quantities.${id}`;
    const { node, fact } = at(field, () => quantityNode(id, field, quantity));
    const least = Math.min(Number(node.leaf?.low ?? 0), Number(node.leaf?.value ?? 0));
    if (least < 0 && isQuantity(node.unit)) refuse(field, `${least} ${fact?.unit} is below 0`);
    nodes.set(id, node);
    if (fact !== undefined) facts.push(fact);
  }
  claim.figures.forEach((figure, i) => {
    const { id, formula, usd, low, high, period } = figure;
    const field = `figures.${i}`;
    if (nodes.has(id)) refuse(`${field}.id`, `${id} is there already`);
    nodes.set(id, {
      id,
      field: `${field}.${formula === undefined ? 'usd' : 'formula'}`,
      unit: USD,
      money: { kind: period.kind, years: period.years },
      ...(formula === undefined
        ? { leaf: { value: String(usd), low: String(low ?? usd), high: String(high ?? usd) } }
        : { formula: at(`${field}.formula`, () => parseFormula(formula)) }),
    });
  });

  const ordered = order(nodes, refuse);
  const byId = (id: string): Node => nodes.get(id) as Node;
  const figures = new Set(claim.figures.map(({ id }) => id));
  const periods = new Map(claim.figures.map(({ id, period }) => [id, period]));
  const pairs = new Set<string>();
  const converted = new Set<string>();
  claim.steps.forEach(({ from, to, converts }, i) => {
    for (const [end, id] of Object.entries({ from, to })) {
      if (!figures.has(id)) refuse(`steps.${i}.${end}`, `there is no figure ${id}`);
    }
    if (from === to) refuse(`steps.${i}.to`, 'a step leads to another figure');
    if (pairs.has(`${from} ${to}`))
      refuse(`steps.${i}`, `there are two steps from ${from} to ${to}`);
    pairs.add(`${from} ${to}`);
    if (converts !== undefined) converted.add(`${from} ${to}`).add(`${to} ${from}`);
    else if (!alike(periods.get(from) as Period, periods.get(to) as Period)) {
      const [a, b] = [from, to].map((id) => describeMoney(periods.get(id) as Period));
      refuse(
        `steps.${i}.converts`,
        `${from} is ${a}, ${to} is ${b}; say how one becomes the other`,
      );
    }
  });

  // Units, and what is added to what.
  const comparable = (a: string, b: string): boolean =>
    alike(byId(a).money as Money, byId(b).money as Money) || converted.has(`${a} ${b}`);
  const checkFormula = (
    formula: Formula,
    unit: Unit,
    field: string,
    target: string | null = null,
  ): string[] =>
    at(field, () => {
      const found = unitOf(formula, (id) => byId(id).unit);
      if (!sameDimensions(found, unit))
        throw new Error(`gives ${describeUnit(found)}, not ${describeUnit(unit)}`);
      return sumsIn(formula, byId, comparable, target);
    });
  for (const node of ordered) {
    const { id, formula, unit, field, money } = node;
    if (formula === undefined) {
      if (sameDimensions(unit, USD) && money?.kind === undefined)
        refuse(`${field}.kind`, 'a sum of dollars is a stock or a flow: say which');
      continue;
    }
    const sums = checkFormula(formula, unit, field, money === undefined ? null : id);
    if (money === undefined && sameDimensions(unit, USD))
      refuse(field, 'a sum of dollars is a figure; move it to figures');
    for (const sum of money === undefined ? [] : sums) {
      if (comparable(sum, id)) continue;
      const [a, b] = [sum, id].map((name) => describeMoney(byId(name).money as Money));
      refuse(
        field,
        `${sum} is ${a}, ${id} is ${b}; add a step between them that says what it converts`,
      );
    }
  }
  const formulas = new Map<string, { formula: Formula; unit: Unit; field: string }>();
  for (const group of ['checks', 'ratios'] as const) {
    claim[group].forEach((entry, i) => {
      const { id, formula: text, unit: unitText } = entry;
      const field = `${group}.${i}`;
      if ('published' in entry && Number(entry.published) === 0)
        refuse(`${field}.published`, 'must not be 0: an error is told as a share of it');
      if (nodes.has(id) || formulas.has(id)) refuse(`${field}.id`, `${id} is there already`);
      const unit = at(`${field}.unit`, () => parseUnit(unitText));
      const formula = at(`${field}.formula`, () => parseFormula(text));
      known(formula, nodes, `${field}.formula`, refuse);
      checkFormula(formula, unit, `${field}.formula`);
      formulas.set(id, { formula, unit, field: `${field}.formula` });
    });
  }
  claim.path.forEach(({ figures: leg }, i) => {
    leg.forEach((id, j) => {
      if (!figures.has(id)) refuse(`path.${i}.figures.${j}`, `there is no figure ${id}`);
      if (j > 0 && !pairs.has(`${leg[j - 1]} ${id}`))
        refuse(`path.${i}.figures.${j}`, `no step leads from ${leg[j - 1]} to ${id}`);
    });
  });
  const ids = [...nodes.keys(), ...formulas.keys()];
  for (const [field, text] of textsOf(claim)) {
    for (const [, name] of text.matchAll(/\{([^{}]*)\}/g)) {
      if (nodes.has(name) || formulas.has(name)) continue;
      refuse(field, `{${name}} is no quantity, figure, check or ratio${didYouMean(name, ids)}`);
    }
  }
  return { claim, nodes: ordered, facts, formulas };
}

/** More than any claim has; each is walked by functions that call themselves. */
const MAX_NODES = 2000;

/** True for what cannot be negative: a price, hours, machines, energy; not a sum or a share. */
export function isQuantity(unit: Unit): boolean {
  return Object.entries(unit.dimensions).some(([name, power]) => name !== 'USD' && power !== 0);
}

/** Every text that may hold `{id}`, with its field. */
function textsOf(claim: Claim): [field: string, text: string][] {
  const optional = (field: string, text: string | undefined): [string, string][] =>
    text === undefined ? [] : [[field, text]];
  return [
    ...Object.entries(claim.definitions).map(([word, text]): [string, string] => [
      `definitions.${word}`,
      text,
    ]),
    ...claim.figures.map(({ scope }, i): [string, string] => [`figures.${i}.scope`, scope]),
    ...claim.steps.flatMap(({ why, converts }, i) => [
      ...optional(`steps.${i}.why`, why),
      ...optional(`steps.${i}.converts`, converts),
    ]),
    ...claim.checks.flatMap(({ note }, i) => optional(`checks.${i}.note`, note)),
    ...claim.corrections.map(({ instead }, i): [string, string] => [
      `corrections.${i}.instead`,
      instead,
    ]),
  ];
}

function quantityNode(
  id: string,
  field: string,
  quantity: ClaimQuantity,
): { node: Node; fact?: Fact } {
  if ('formula' in quantity) {
    const node = {
      id,
      field: `${field}.formula`,
      unit: parseUnit(quantity.unit),
      formula: parseFormula(quantity.formula),
    };
    return { node };
  }
  if ('planned' in quantity)
    return { node: { id, field, unit: parseUnit(quantity.unit), planned: quantity } };
  const { kind, years } = quantity;
  const money = kind === undefined ? undefined : { kind, years };
  const row: Omit<Price, 'id' | 'currency' | 'region' | 'basis'> & { basis: Fact['basis'] } =
    'catalog' in quantity ? { ...costOf(quantity.catalog) } : given(quantity);
  const { value, low, high, unit, basis, source, date, note } = row;
  const what = quantity.what ?? row.what;
  return {
    node: {
      id,
      field,
      unit: parseUnit(unit),
      leaf: { value: String(value), low: String(low), high: String(high) },
      money,
    },
    fact: { id, what, unit, basis, source, date, note },
  };
}

function given(quantity: Extract<ClaimQuantity, { value: unknown }>) {
  const { value, low = value, high = value, note = '', ...rest } = quantity;
  // Decimals in quotes stay as they were written.
  return { ...rest, value: value as number, low: low as number, high: high as number, note };
}

function known(
  formula: Formula,
  nodes: ReadonlyMap<string, Node>,
  field: string,
  refuse: (f: string, why: string) => never,
) {
  const names = namesIn(formula);
  for (const name of names) {
    if (nodes.has(name)) continue;
    const advice = name.includes('-') ? ' (a minus stands between spaces)' : '';
    refuse(field, `there is no quantity or figure ${name}${advice}`);
  }
  return names;
}

/** Depth-first, so that each comes after what it needs. */
function order(
  nodes: ReadonlyMap<string, Node>,
  refuse: (field: string, why: string) => never,
): Node[] {
  const done: Node[] = [];
  const state = new Map<string, 'open' | 'done'>();
  const visit = (node: Node): void => {
    if (state.get(node.id) === 'done') return;
    if (state.get(node.id) === 'open') refuse(node.field, `${node.id} is computed from itself`);
    state.set(node.id, 'open');
    if (node.formula)
      for (const name of known(node.formula, nodes, node.field, refuse))
        visit(nodes.get(name) as Node);
    state.set(node.id, 'done');
    done.push(node);
  };
  for (const node of nodes.values()) visit(node);
  return done;
}

/**
 * The sums of dollars that a formula's own sum of dollars is made of. A price times a quantity is
 * none: what it was paid for is said by the figure.
 * @param target the figure that is computed, where it is one: what a step converts into it may be
 * added
 * @throws Error when a stock and a flow are added to or divided by each other
 */
function sumsIn(
  formula: Formula,
  byId: (id: string) => Node,
  comparable: (a: string, b: string) => boolean,
  target: string | null,
): string[] {
  if (formula.kind === 'number') return [];
  if (formula.kind === 'name') return byId(formula.name).money === undefined ? [] : [formula.name];
  if (formula.kind === 'negative') return sumsIn(formula.of, byId, comparable, target);
  const [left, right] = [formula.left, formula.right].map((part) =>
    sumsIn(part, byId, comparable, target),
  );
  const isSum = (part: Formula): boolean =>
    sameDimensions(
      unitOf(part, (id) => byId(id).unit),
      USD,
    );
  const { operator } = formula;
  const compared =
    operator === '+' || operator === '-' || (isSum(formula.left) && isSum(formula.right));
  if (compared) {
    for (const a of left) {
      for (const b of right) {
        const both = target !== null && comparable(a, target) && comparable(b, target);
        if (comparable(a, b) || (operator !== '/' && both)) continue;
        const verb = { '+': 'adds', '-': 'subtracts', '*': 'compares', '/': 'compares' }[operator];
        const [kindA, kindB] = [a, b].map((id) => describeMoney(byId(id).money as Money));
        throw new Error(
          `${verb} ${b}, ${kindB}, and ${a}, ${kindA}, and no step says how one becomes the other (converts)`,
        );
      }
    }
  }
  return isSum(formula) ? [...new Set([...left, ...right])] : [];
}

function alike(a: Money, b: Money): boolean {
  return a.kind === b.kind && a.years === b.years;
}

export function describeMoney({ kind, years }: Money): string {
  if (kind === 'stock') return 'a stock';
  return years === undefined
    ? 'a flow, paid once'
    : `a flow over ${years} year${years === 1 ? '' : 's'}`;
}
