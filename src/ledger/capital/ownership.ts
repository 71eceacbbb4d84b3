/**
 * @file What a fleet costs its owner over a period, and an accelerator-hour of it at a utilisation.
 *
 * The price of the servers is a stock: what a period pays of it is depreciation, and what the money
 * costs. Everything else is a flow. Idle hours are paid for by busy ones, so an hour costs the
 * period's dollars over the hours that somebody used.
 *
 *     USD per hour = (depreciation + capital + operation + people + …) / (accelerators × 8,760 h × years × utilisation)
 *
 * Dollars are exact decimals. An interval moves each input alone to its ends and combines the
 * changes in quadrature (`claims/propagation.ts`).
 */
import { UserError } from '../../base/errors.js';
import { bySwings, type Interval } from '../claims/propagation.js';
import { Decimal, sum, toUsd } from '../money.js';
import { type Asset, costOfCapital, depreciation } from './depreciation.js';
import { catalogTerm, type OwnershipTerms, type Term, type TermName } from './terms.js';

/**
 * Hours in a year of 365 days and months in it, as analysts count: four years of ownership are
 * 35,040 h.
 */
export const HOURS_A_YEAR = 8760;
const MONTHS_A_YEAR = 12;

export interface FleetGroup {
  name: string;
  count: Term;
  /** Dollars for one accelerator. */
  acceleratorUsd: Term;
  /** Dollars for the rest of the server, for each accelerator. */
  serverUsd: Term;
  /** Nameplate, with its share of the server. */
  nameplateKw: Term;
}

export interface Fleet {
  name: string;
  groups: FleetGroup[];
  /** People who run it, or whom the owner counts to it. */
  people?: number;
}

export interface OwnershipPeriod {
  /** From purchase, at most the life of the servers. */
  years: number;
  /** Share of the hours in which somebody uses an accelerator. */
  utilisation: number;
}

export type OwnershipItem =
  | 'depreciation'
  | 'cost of capital'
  | 'hosting and operation'
  | 'colocation'
  | 'electricity'
  | 'maintenance'
  | 'software'
  | 'people'
  | 'data';

/** An exact amount of dollars with its interval. */
export interface Amount {
  usd: string;
  low: number;
  high: number;
}

export interface OwnershipLine extends Amount {
  item: OwnershipItem;
  /** Of the terms that it is made of, each once. */
  source: string;
}

export interface OwnershipCost {
  fleet: string;
  accelerators: number;
  period: OwnershipPeriod;
  /** A stock: servers, network and storage at purchase. */
  capex: Amount & { serversUsd: string; networkUsd: string; storageUsd: string };
  /** A flow, over the period; the total is the exact sum of the lines. */
  lines: OwnershipLine[];
  total: Amount;
  perAcceleratorHour: Amount;
  /** What is left of the capex at the end of the period. */
  bookValueUsd: string;
}

const GROUP_TERMS = ['count', 'acceleratorUsd', 'serverUsd', 'nameplateKw'] as const;

/** Terms of which each line is made. */
const MADE_OF: Record<OwnershipItem, readonly TermName[]> = {
  depreciation: ['lifeYears', 'resaleShare', 'networkShare', 'storageShare'],
  'cost of capital': ['capitalRate', 'lifeYears'],
  'hosting and operation': ['operationUsdPerKwMonth'],
  colocation: ['colocationUsdPerKwMonth'],
  electricity: ['electricityUsdPerKwh', 'pue', 'loadFactor'],
  maintenance: ['maintenanceShare'],
  software: ['softwareUsdPerAcceleratorYear'],
  people: ['payUsdPerYear', 'staffOverhead'],
  data: ['dataUsdPerYear'],
};

interface Result {
  servers: Decimal;
  network: Decimal;
  storage: Decimal;
  lines: Map<OwnershipItem, Decimal>;
  hours: Decimal;
  left: Decimal;
}

/**
 * @param terms default in `ownershipTerms()`; set `networkShare` and `storageShare` to 0 where the
 * server's price has them inside
 * @throws UserError (usage) that names the field
 */
export function ownershipCost(
  fleet: Fleet,
  terms: OwnershipTerms,
  period: OwnershipPeriod,
): OwnershipCost {
  check(fleet, terms, period);
  const inputs = inputsOf(fleet, terms);
  const exact = compute(fleet, terms, period, (name) => new Decimal(inputs[name].value));
  const lines = [...exact.lines]
    .map(([item, usd]) => ({ item, usd: toUsd(usd) }))
    .filter(({ usd }) => !usd.isZero());
  const total = sum(lines.map(({ usd }) => usd));
  const capex = toUsd(exact.servers.plus(exact.network).plus(exact.storage));
  const hour = toUsd(total.div(exact.hours));
  const spreads = bySwings(inputs, (values) => {
    const moved = compute(fleet, terms, period, (name) => new Decimal(values[name]));
    const all = sum(moved.lines.values());
    return {
      capex: moved.servers.plus(moved.network).plus(moved.storage).toNumber(),
      total: all.toNumber(),
      hour: all.div(moved.hours).toNumber(),
      ...Object.fromEntries([...moved.lines].map(([item, usd]) => [item, usd.toNumber()])),
    };
  });
  const amount = (usd: Decimal, name: string): Amount => ({
    usd: usd.toFixed(),
    // Quadrature may reach below nothing.
    low: Math.max(0, spreads[name].low),
    high: spreads[name].high,
  });
  return {
    fleet: fleet.name,
    accelerators: sum(fleet.groups.map(({ count }) => count.value)).toNumber(),
    period,
    capex: {
      ...amount(capex, 'capex'),
      serversUsd: toUsd(exact.servers).toFixed(),
      networkUsd: toUsd(exact.network).toFixed(),
      storageUsd: toUsd(exact.storage).toFixed(),
    },
    lines: lines.map(({ item, usd }) => ({
      item,
      ...amount(usd, item),
      source: sourcesOf(item, fleet, terms),
    })),
    total: amount(total, 'total'),
    perAcceleratorHour: amount(hour, 'hour'),
    bookValueUsd: toUsd(exact.left).toFixed(),
  };
}

/**
 * Share of its hours for which an owned accelerator must be used for an hour to cost as much as
 * renting one; above 1: rent.
 */
export function breakEvenUtilisation(cost: OwnershipCost, rentUsdPerHour: number | string): number {
  return new Decimal(cost.perAcceleratorHour.usd)
    .times(cost.period.utilisation)
    .div(rentUsdPerHour)
    .toNumber();
}

/** Accelerators of a fleet by the catalog's rows for DeepSeek's: `h800`, `h100`, `h20`, `a100`. */
export function catalogGroup(name: 'h800' | 'h100' | 'h20' | 'a100', count?: number): FleetGroup {
  const row = (id: string): Term => catalogTerm(`fleet.deepseek.${id}`);
  const known = row(`${name}.count`);
  return {
    name,
    count:
      count === undefined
        ? known
        : { ...known, value: count, low: count, high: count, source: 'as given' },
    acceleratorUsd: row(`${name}.asp`),
    serverUsd: row(name === 'a100' ? 'a100.server' : 'hopper.server'),
    nameplateKw: catalogTerm(`power.${name}.nameplate`),
  };
}

const key = (i: number, name: string): string => `groups.${i}.${name}`;

function inputsOf(fleet: Fleet, terms: OwnershipTerms): Record<string, Interval> {
  const inputs: Record<string, Interval> = {};
  fleet.groups.forEach((group, i) => {
    for (const name of GROUP_TERMS) inputs[key(i, name)] = group[name];
  });
  for (const [name, value] of Object.entries(terms))
    if (typeof value === 'object') inputs[name] = value as Term;
  return inputs;
}

function compute(
  { groups, people = 0 }: Fleet,
  { depreciation: method, capital, operation, power }: OwnershipTerms,
  { years: span, utilisation }: OwnershipPeriod,
  at: (name: TermName | string) => Decimal,
): Result {
  const years = new Decimal(span);
  const of = (i: number, name: (typeof GROUP_TERMS)[number]): Decimal => at(key(i, name));
  const accelerators = sum(groups.map((_, i) => of(i, 'count')));
  const servers = sum(
    groups.map((_, i) => of(i, 'count').times(of(i, 'acceleratorUsd').plus(of(i, 'serverUsd')))),
  );
  const kilowatts = sum(groups.map((_, i) => of(i, 'count').times(of(i, 'nameplateKw'))));
  // Both shares are of the whole, servers included.
  const whole = servers.div(new Decimal(1).minus(at('networkShare')).minus(at('storageShare')));
  const asset: Asset = {
    price: whole,
    resale: whole.times(at('resaleShare')),
    // The low end of a life may be shorter than the period: nothing is written off twice.
    lifeYears: Decimal.max(at('lifeYears'), years),
    decline: at('replacementDecline'),
  };
  const lines = new Map<OwnershipItem, Decimal>();
  const written = depreciation(asset, method, new Decimal(0), years);
  lines.set('depreciation', written);
  lines.set('cost of capital', costOfCapital(asset, method, capital, at('capitalRate'), years));
  const kilowattMonths = kilowatts.times(MONTHS_A_YEAR).times(years);
  if (operation === 'all-in')
    lines.set('hosting and operation', kilowattMonths.times(at('operationUsdPerKwMonth')));
  else {
    lines.set('colocation', kilowattMonths.times(at('colocationUsdPerKwMonth')));
    const draw = power === 'measured' ? kilowatts.times(at('loadFactor')) : kilowatts;
    const kilowattHours = draw.times(at('pue')).times(HOURS_A_YEAR).times(years);
    lines.set('electricity', kilowattHours.times(at('electricityUsdPerKwh')));
    lines.set('maintenance', whole.times(at('maintenanceShare')).times(years));
  }
  lines.set('software', accelerators.times(at('softwareUsdPerAcceleratorYear')).times(years));
  lines.set(
    'people',
    new Decimal(people).times(at('payUsdPerYear')).times(at('staffOverhead')).times(years),
  );
  lines.set('data', at('dataUsdPerYear').times(years));
  return {
    servers,
    network: whole.times(at('networkShare')),
    storage: whole.times(at('storageShare')),
    lines,
    hours: accelerators.times(HOURS_A_YEAR).times(years).times(utilisation),
    left: whole.minus(written),
  };
}

function sourcesOf(item: OwnershipItem, { groups }: Fleet, terms: OwnershipTerms): string {
  const prices =
    item === 'depreciation'
      ? groups.flatMap(({ acceleratorUsd, serverUsd }) => [acceleratorUsd, serverUsd])
      : [];
  const power = item === 'electricity' || item === 'colocation' || item === 'hosting and operation';
  const plates = power ? groups.map(({ nameplateKw }) => nameplateKw) : [];
  const all = [...prices, ...plates, ...MADE_OF[item].map((name) => terms[name])];
  return [...new Set(all.map(({ source, date }) => `${source} (${date})`))].join('; ');
}

function check(
  { groups, people = 0 }: Fleet,
  terms: OwnershipTerms,
  { years, utilisation }: OwnershipPeriod,
): void {
  const refuse = (field: string, why: string): never => {
    throw new UserError('usage', `ownership: ${field}: ${why}`, field);
  };
  if (groups.length === 0) refuse('groups', 'a fleet has at least one accelerator');
  if (!(people >= 0)) refuse('people', `must be 0 or more, is ${people}`);
  groups.forEach((group, i) => {
    for (const name of GROUP_TERMS) {
      const { value, low, high } = group[name];
      if (!(low <= value && value <= high)) refuse(key(i, name), 'low <= value <= high must hold');
      if (!(low >= 0)) refuse(key(i, name), `must be 0 or more, is ${low}`);
    }
    if (!(group.count.low > 0)) refuse(key(i, 'count'), `must be above 0, is ${group.count.low}`);
  });
  for (const [name, term] of Object.entries(terms)) {
    if (typeof term !== 'object') continue;
    const { value, low, high } = term as Term;
    if (!(low <= value && value <= high)) refuse(name, 'low <= value <= high must hold');
    if (!(low >= 0)) refuse(name, `must be 0 or more, is ${low}`);
  }
  if (!(terms.lifeYears.low > 0)) refuse('lifeYears', 'must be above 0');
  if (terms.resaleShare.high > 1) refuse('resaleShare', 'must be a share, from 0 to 1');
  if (terms.networkShare.high + terms.storageShare.high >= 1)
    refuse('networkShare', 'network and storage must leave something for servers');
  if (!(utilisation > 0 && utilisation <= 1))
    refuse('utilisation', `must be above 0 and at most 1, is ${utilisation}`);
  if (!(years > 0)) refuse('years', `must be above 0, is ${years}`);
  if (years > terms.lifeYears.value) {
    refuse(
      'years',
      `the servers live for ${terms.lifeYears.value} years, the period is ${years}; shorten it or lengthen lifeYears`,
    );
  }
}
