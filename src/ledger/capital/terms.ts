/**
 * @file The terms of ownership: what is assumed of life, capital, power, building, network and
 * people. Every default is a row of the catalog, with its interval, date and source.
 */
import { costOf } from '../../catalog/costs.js';
import type { Price } from '../../catalog/schema.js';
import type { CapitalMethod, Depreciation } from './depreciation.js';

/** A number with its interval, and where it is from. */
export type Term = Pick<Price, 'value' | 'low' | 'high' | 'unit' | 'basis' | 'source' | 'date'>;

const DEFAULTS = {
  /** Years. */
  lifeYears: 'server.life',
  /** Of the price. */
  resaleShare: 'server.resale-share',
  /** Orders of magnitude a year. */
  replacementDecline: 'server.replacement-decline',
  /** A year. */
  capitalRate: 'capital.rate',
  /** Of the cost of the cluster: servers, network and storage together. */
  networkShare: 'cluster.network-share',
  storageShare: 'cluster.storage-share',
  /** All operation, dollars per nameplate kW and month. */
  operationUsdPerKwMonth: 'operation.rate.hosted',
  /** Itemised: space without electricity, dollars per nameplate kW and month. */
  colocationUsdPerKwMonth: 'colocation.rate',
  /** Mean draw over nameplate. */
  loadFactor: 'power.load-factor',
  pue: 'pue.cluster',
  electricityUsdPerKwh: 'electricity.us.industrial',
  /** Of the price, a year. */
  maintenanceShare: 'maintenance.share',
  softwareUsdPerAcceleratorYear: 'software.usd-per-accelerator-year',
  dataUsdPerYear: 'data.usd-per-year',
  /** Dollars a person and year, without overhead. */
  payUsdPerYear: 'staff.pay',
  staffOverhead: 'staff.overhead',
} as const;

export type TermName = keyof typeof DEFAULTS;

export interface OwnershipTerms extends Record<TermName, Term> {
  depreciation: Depreciation;
  capital: CapitalMethod;
  /** `all-in`: one rate for hosting, electricity and hands; `itemised`: each apart. */
  operation: 'all-in' | 'itemised';
  /**
   * Electricity by what servers draw (`loadFactor`), or by what their plates say. Itemised
   * operation only.
   */
  power: 'measured' | 'nameplate';
}

export type TermChanges = { [Name in TermName]?: Term | number } & Partial<
  Omit<OwnershipTerms, TermName>
>;

function term({ value, low, high, unit, basis, source, date }: Price): Term {
  return { value, low, high, unit, basis, source, date };
}

/** The term that a row of the catalog gives. @throws UserError (usage) when there is none */
export function catalogTerm(id: string): Term {
  return term(costOf(id));
}

/**
 * The catalog's terms, with some changed: a number is taken as exact and given.
 */
export function ownershipTerms(changes: TermChanges = {}): OwnershipTerms {
  const terms = Object.fromEntries(
    Object.entries(DEFAULTS).map(([name, id]) => [name, catalogTerm(id)]),
  ) as Record<TermName, Term>;
  const {
    depreciation = 'straight-line',
    capital = 'book-value',
    operation = 'all-in',
    power = 'measured',
    ...rest
  } = changes;
  for (const [name, change] of Object.entries(rest) as [TermName, Term | number | undefined][]) {
    if (change === undefined) continue;
    terms[name] =
      typeof change === 'number'
        ? {
            ...terms[name],
            value: change,
            low: change,
            high: change,
            basis: 'assumed',
            source: 'as given',
            date: 'not given',
          }
        : change;
  }
  return { ...terms, depreciation, capital, operation, power };
}
