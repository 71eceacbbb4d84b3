/**
 * @file A claim, computed: every figure in exact decimals, every step as the difference of two,
 * every check against what was published.
 *
 * A figure is rounded once, to the cent (below $1,000 to 10⁻¹² dollars, as a line of a bill), and
 * from then on only subtracted: the steps of a path add up to it exactly. Intervals are sampled or
 * propagated with the steps as outputs of their own, so that a step's interval knows what its two
 * figures share.
 */
import { UserError } from '../../base/errors.js';
import type { Claim } from '../../catalog/claim.js';
import { Decimal, toUsd } from '../money.js';
import { compile, EXACT, FLOAT, namesIn as namesOf } from './formula.js';
import { type ClaimModel, isQuantity, type Node } from './model.js';
import { bySwings, type Interval, type Model, type Propagate, type Spread } from './propagation.js';
import { CLAIM_SCHEMA_VERSION, type ClaimDocument } from './schema.js';
import { fillText } from './text.js';
import type { Unit } from './units.js';

/**
 * What the planner says of a recipe on a cluster, in accelerator-hours; undefined when it cannot.
 */
export type PlannedHours = (request: {
  recipe: string;
  on: string;
  layout?: string;
  stages: readonly string[];
}) => Interval | undefined;

export interface ClaimOptions {
  planned?: PlannedHours;
  /** Default: one input at a time, in quadrature. */
  propagate?: Propagate;
}

/** Below this, a figure keeps the digits of a bill's line. */
const CENTS_FROM_USD = 1000;

function roundFigure(usd: Decimal): Decimal {
  return usd.abs().gte(CENTS_FROM_USD) ? usd.toDecimalPlaces(2) : toUsd(usd);
}

const cents = (usd: Decimal | number): number => new Decimal(usd).toDecimalPlaces(2).toNumber();

/** @throws UserError (usage) from the claim's own formulas: a division by zero */
export function evaluateClaim(model: ClaimModel, options: ClaimOptions = {}): ClaimDocument {
  const { claim } = model;
  const planned = plannedLeaves(model, options.planned);
  const missing = missingNodes(model, planned);
  const nodes = model.nodes.filter(({ id }) => !missing.has(id));
  const leaves = new Map(nodes.flatMap((node) => leafOf(node, planned)));
  const exact = exactValues(nodes, leaves);
  const there = (...ids: string[]): boolean => ids.every((id) => !missing.has(id));
  const figures = claim.figures.filter(({ id }) => there(id));
  const steps = claim.steps.filter(({ from, to }) => there(from, to));
  const formulas = new Map(
    [...model.formulas].filter(([, { formula }]) => there(...namesOf(formula))),
  );
  const results = new Map(
    [...formulas].map(([id, { formula, unit, field }]) => [
      id,
      computed(field, () => compile(formula, EXACT)((name) => get(exact, name)).div(unit.scale)),
    ]),
  );
  const spreads = spreadsOf(claim, nodes, leaves, formulas, options.propagate ?? bySwings);
  for (const [id, { low, high }] of Object.entries(spreads)) {
    if (Number.isFinite(low) && Number.isFinite(high)) continue;
    const why = 'its interval has no end: something that it is divided by may be zero';
    throw new UserError('usage', `claim: ${id}: ${why}`, id);
  }

  const usd = new Map(figures.map(({ id }) => [id, roundFigure(get(exact, id))]));
  const units = new Map(model.nodes.map(({ id, unit }) => [id, unit]));
  const shown = new Map<string, { value: Decimal; unit: string }>();
  for (const fact of model.facts)
    shown.set(fact.id, { value: inUnit(exact, fact.id, units), unit: fact.unit });
  for (const [id, quantity] of Object.entries(claim.quantities)) {
    if (('formula' in quantity || 'planned' in quantity) && exact.has(id))
      shown.set(id, { value: inUnit(exact, id, units), unit: quantity.unit });
  }
  for (const [id, value] of usd) shown.set(id, { value, unit: 'USD' });
  for (const { id, unit } of [...claim.ratios, ...claim.checks]) {
    const value = results.get(id);
    if (value !== undefined) shown.set(id, { value, unit });
  }
  const fill = (text: string): string => fillText(text, shown);

  const bounds = (id: string, value: Decimal, digits: (bound: number) => number) => {
    const spread = spreads[id];
    // Sampling in floating point may miss an exact value by its last bit.
    if (spread === undefined || spread.drivers.length === 0)
      return { low: digits(value.toNumber()), high: digits(value.toNumber()) };
    return {
      low: digits(Math.min(spread.low, value.toNumber())),
      high: digits(Math.max(spread.high, value.toNumber())),
    };
  };
  return {
    schemaVersion: CLAIM_SCHEMA_VERSION,
    claim: claim.id,
    title: claim.title,
    said: claim.said,
    definitions: Object.fromEntries(
      Object.entries(claim.definitions).map(([word, meaning]) => [word, fill(meaning)]),
    ),
    figures: figures.map(({ id, what, formula, basis, scope, period, source }) => {
      const value = usd.get(id) as Decimal;
      return {
        id,
        what,
        usd: cents(value),
        usdExact: value.toFixed(),
        ...bounds(id, value, cents),
        basis,
        scope: fill(scope),
        period,
        source,
        formula: formula ?? null,
        drivers: (spreads[id]?.drivers ?? []).filter(({ share }) => share >= 0.01).slice(0, 3),
      };
    }),
    steps: steps.map(({ from, to, what, why, converts, basis, source }) => {
      const value = get(usd, to).minus(get(usd, from));
      return {
        from,
        to,
        what,
        usd: cents(value),
        usdExact: value.toFixed(),
        ...bounds(stepKey(from, to), value, cents),
        why: fill(why),
        ...(converts === undefined ? {} : { converts: fill(converts) }),
        basis,
        source,
      };
    }),
    checks: claim.checks.flatMap(({ id, what, unit, published, source, note }) => {
      const found = results.get(id);
      if (found === undefined) return [];
      return {
        id,
        what,
        computed: significant(found),
        published: Number(published),
        relativeError: significant(found.minus(published).div(published)),
        unit,
        source,
        ...(note === undefined ? {} : { note: fill(note) }),
      };
    }),
    ratios: claim.ratios.flatMap(({ id, what, unit, source }) => {
      const value = results.get(id);
      if (value === undefined) return [];
      return {
        id,
        what,
        value: significant(value),
        ...bounds(id, value, (x) => significant(new Decimal(x))),
        unit,
        source,
      };
    }),
    corrections: claim.corrections.map(({ told, kind, instead }) => ({
      told,
      kind,
      instead: fill(instead),
    })),
    assumptions: model.facts.map(({ id, ...fact }) => {
      const { leaf } = model.nodes.find((node) => node.id === id) as Node;
      return {
        id,
        value: Number(leaf?.value),
        low: Number(leaf?.low),
        high: Number(leaf?.high),
        ...fact,
      };
    }),
    path: claim.path.filter(({ figures: leg }) => there(...leg)),
    leftOut: claim.figures
      .filter(({ id }) => missing.has(id))
      .map(({ id }) => ({ id, why: 'needs a plan that is not there' })),
  };
}

/** Seven digits: more than any published figure has. */
function significant(value: Decimal): number {
  return value.toSignificantDigits(7).toNumber();
}

const stepKey = (from: string, to: string): string => `${from} > ${to}`;

function get(values: ReadonlyMap<string, Decimal>, name: string): Decimal {
  return values.get(name) as Decimal;
}

function inUnit(
  exact: ReadonlyMap<string, Decimal>,
  id: string,
  units: ReadonlyMap<string, Unit>,
): Decimal {
  return get(exact, id).div((units.get(id) as Unit).scale);
}

function plannedLeaves(model: ClaimModel, plan: PlannedHours | undefined): Map<string, Interval> {
  const found = new Map<string, Interval>();
  for (const { id, planned } of model.nodes) {
    const interval = planned === undefined ? undefined : plan?.(planned.planned);
    if (interval !== undefined) found.set(id, interval);
  }
  return found;
}

/** What cannot be computed, because a plan is not there. */
function missingNodes(model: ClaimModel, planned: ReadonlyMap<string, Interval>): Set<string> {
  const missing = new Set<string>();
  // In order: what a node needs comes before it.
  for (const { id, formula, planned: request } of model.nodes) {
    const absent = request !== undefined && !planned.has(id);
    if (absent || (formula !== undefined && namesOf(formula).some((name) => missing.has(name))))
      missing.add(id);
  }
  return missing;
}

function leafOf(
  { id, unit, leaf }: Node,
  planned: ReadonlyMap<string, Interval>,
): [string, Record<keyof Interval, Decimal>][] {
  const found = leaf ?? planned.get(id);
  if (found === undefined) return [];
  const base = (value: string | number): Decimal => new Decimal(value).times(unit.scale);
  return [[id, { value: base(found.value ?? 0), low: base(found.low), high: base(found.high) }]];
}

/** What a formula gives. @throws UserError (usage) that names the field: a division by zero */
function computed(field: string, work: () => Decimal): Decimal {
  let why: string;
  try {
    const value = work();
    if (value.isFinite()) return value;
    why = 'is not a finite number';
  } catch (error) {
    why = (error as Error).message;
  }
  throw new UserError('usage', `claim: ${field}: ${why}`, field);
}

/** In base units. */
function exactValues(
  nodes: readonly Node[],
  leaves: ReadonlyMap<string, { value: Decimal }>,
): Map<string, Decimal> {
  const values = new Map<string, Decimal>();
  for (const { id, formula, field, unit } of nodes) {
    if (formula === undefined) values.set(id, (leaves.get(id) as { value: Decimal }).value);
    else
      values.set(
        id,
        computed(field, () => compile(formula, EXACT)((name) => get(values, name))),
      );
    const value = get(values, id);
    if (value.isNegative() && !value.isZero() && isQuantity(unit))
      throw new UserError('usage', `claim: ${field}: ${value.toFixed()} is below 0`, field);
  }
  return values;
}

/** Intervals of figures, steps (by `stepKey`) and ratios, in their units. */
function spreadsOf(
  claim: Claim,
  nodes: readonly Node[],
  leaves: ReadonlyMap<string, Record<keyof Interval, Decimal>>,
  formulas: ClaimModel['formulas'],
  propagate: Propagate,
): Record<string, Spread> {
  const inputs: Record<string, Interval> = {};
  for (const [id, { value, low, high }] of leaves) {
    inputs[id] = { value: value.toNumber(), low: low.toNumber(), high: high.toNumber() };
  }
  const order = nodes.flatMap(({ id, formula }) =>
    formula === undefined ? [] : [{ id, run: compile(formula, FLOAT) }],
  );
  const ids = new Set(nodes.map(({ id }) => id));
  const figures = claim.figures.filter(({ id }) => ids.has(id));
  const steps = claim.steps.filter(({ from, to }) => ids.has(from) && ids.has(to));
  const results = [...formulas].map(([id, { formula, unit }]) => ({
    id,
    run: compile(formula, FLOAT),
    scale: unit.scale.toNumber(),
  }));
  const model: Model = (values) => {
    const all: Record<string, number> = { ...values };
    const of = (name: string): number => all[name];
    for (const { id, run } of order) all[id] = run(of);
    const outputs: Record<string, number> = {};
    for (const { id } of figures) outputs[id] = all[id];
    for (const { from, to } of steps) outputs[stepKey(from, to)] = all[to] - all[from];
    for (const { id, run, scale } of results) outputs[id] = run(of) / scale;
    return outputs;
  };
  return propagate(inputs, model);
}
