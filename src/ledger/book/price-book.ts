/**
 * @file The price book: what turns usage into money. Pure; runs in a browser.
 *
 * Two modes. `rent`: a core-hour has a price, and electricity, memory and idle time are the
 * landlord's business. `own`: a core-hour costs its share of the machine (straight-line, idle hours
 * charged to the busy ones), and electricity is paid apart. The headline of a bill is always at the
 * rental price, as press releases count; the mode decides the full column.
 *
 * By default every price comes from the catalog, with its source. A user's file overrides any of
 * them, each with a number or with a number and its source:
 *
 *     { "mode": "own", "electricityUsdPerKwh": 0.31, "machineUsd": { "value": 1200, "source": "invoice 2025-114" } }
 */
import { z } from 'zod';
import { UserError } from '../../base/errors.js';
import { issueError } from '../../base/issues.js';
import { type Price, type PriceBasis, priceOf } from '../../catalog/catalog.js';
import { Decimal } from '../money.js';

export interface BookPrice {
  value: number;
  low: number;
  high: number;
  unit: string;
  basis: PriceBasis;
  source: string;
  date: string;
  region: string;
  note: string;
}

export type PriceMode = 'rent' | 'own';

/** Where each default comes from, and the bounds of what a user may say. */
const FIELDS = {
  rentUsdPerCoreHour: { id: 'cpu.rent.core-hour', min: 0, max: 1e6 },
  electricityUsdPerKwh: { id: 'electricity.us.residential', min: 0, max: 1e6 },
  machineUsd: { id: 'machine.desktop.price', min: 0, max: 1e12 },
  machineCores: { id: 'machine.desktop.cores', min: 1, max: 1e6 },
  lifeYears: { id: 'machine.life', min: 0.01, max: 100 },
  utilisation: { id: 'machine.utilisation', min: 0.0001, max: 1 },
  pue: { id: 'pue.home', min: 1, max: 10 },
  wattsPerBusyCore: { id: 'cpu.power.busy-core', min: 0, max: 1e5 },
  storageUsdPerGbMonth: { id: 'storage.gb-month', min: 0, max: 1e6 },
  storageMonths: { id: 'storage.months', min: 0, max: 1200 },
} as const;

export type PriceField = keyof typeof FIELDS;
export type PriceBook = { name: string; mode: PriceMode } & Record<PriceField, BookPrice>;

/** Hours in a Julian year (365.25 days). */
export const HOURS_PER_YEAR = 8766;

/** Every price from the catalog. */
export function defaultPriceBook(mode: PriceMode = 'rent'): PriceBook {
  const prices = Object.fromEntries(
    Object.entries(FIELDS).map(([field, { id }]) => [field, fromCatalog(priceOf(id))]),
  );
  return { name: 'catalog', mode, ...(prices as Record<PriceField, BookPrice>) };
}

function fromCatalog({
  value,
  low,
  high,
  unit,
  basis,
  source,
  date,
  region,
  note,
}: Price): BookPrice {
  return { value, low, high, unit, basis, source, date, region, note };
}

const text = z.string().min(1).optional();

function fieldSchema(min: number, max: number) {
  const number = z
    .number({ error: `expected a number from ${min} to ${max}` })
    .min(min)
    .max(max);
  const object = z
    .strictObject({
      value: number,
      low: number.optional(),
      high: number.optional(),
      basis: z.enum(['published', 'derived', 'assumed']).optional(),
      source: text,
      date: text,
      region: text,
      note: text,
    })
    .refine(
      (price) =>
        (price.low ?? price.value) <= price.value && price.value <= (price.high ?? price.value),
      {
        message: 'low <= value <= high must hold',
      },
    );
  // Not a union: its errors would not say which field of the object was wrong.
  return z
    .preprocess(
      (value) => (typeof value === 'object' && value !== null ? value : { value }),
      object,
    )
    .optional();
}

const fileSchema = z.strictObject({
  name: text,
  mode: z.enum(['rent', 'own']).optional(),
  currency: z.literal('USD', { error: 'only USD' }).optional(),
  ...(Object.fromEntries(
    Object.entries(FIELDS).map(([field, { min, max }]) => [field, fieldSchema(min, max)]),
  ) as Record<PriceField, ReturnType<typeof fieldSchema>>),
});

const bookPrice = z.object({
  value: z.number().min(0),
  low: z.number().min(0),
  high: z.number().min(0),
  unit: z.string(),
  basis: z.enum(['published', 'derived', 'assumed']),
  source: z.string(),
  date: z.string(),
  region: z.string(),
  note: z.string(),
});

/** A price book as a statement holds it. */
export const priceBookSchema = z.object({
  name: z.string(),
  mode: z
    .enum(['rent', 'own'])
    .describe('How the full column is priced; the headline is always at the rental price.'),
  ...(Object.fromEntries(Object.keys(FIELDS).map((field) => [field, bookPrice])) as Record<
    PriceField,
    typeof bookPrice
  >),
});

/**
 * A price book from the parsed content of a user's file; what it leaves out comes from the catalog.
 * @param where the file, for messages and as the source of prices that name none.
 * @throws UserError (usage) that names the field.
 */
export function parsePriceBook(content: unknown, where: string): PriceBook {
  const parsed = fileSchema.safeParse(content);
  if (!parsed.success) {
    const error = issueError(fileSchema, parsed.error, `price book ${where}`);
    // A price may be written as a bare number: its field is then the price, not its value.
    const field = error.field?.replace(/\.value$/, '');
    throw new UserError('usage', error.message.replace(`${error.field}:`, `${field}:`), field);
  }
  const { name, mode, currency: _, ...fields } = parsed.data;
  const book = defaultPriceBook(mode ?? 'rent');
  book.name = name ?? where;
  for (const [field, given] of Object.entries(fields) as [
    PriceField,
    (typeof fields)[PriceField],
  ][]) {
    if (given === undefined) continue;
    book[field] = {
      value: given.value,
      low: given.low ?? given.value,
      high: given.high ?? given.value,
      unit: book[field].unit,
      basis: given.basis ?? 'assumed',
      source: given.source ?? `price book ${where}`,
      date: given.date ?? 'not given',
      region: given.region ?? 'not given',
      note: given.note ?? '',
    };
  }
  return book;
}

/** The price of one unit of a bill's line: exact, with its interval. */
export interface UnitPrice {
  usd: Decimal;
  low: Decimal;
  high: Decimal;
  unit: string;
  basis: PriceBasis;
  source: string;
  date: string;
  region: string;
}

/** What a line is priced with. */
export interface UnitPrices {
  /** USD per core-hour. */
  rent: UnitPrice;
  /** USD per core-hour: the machine's price over the core-hours for which it is used. */
  depreciation: UnitPrice;
  /** USD per kWh at the meter of the processor: the tariff × PUE. */
  electricity: UnitPrice;
  /** USD per GB written: the monthly price × the months kept. */
  storage: UnitPrice;
}

const UNIT_DECIMALS = 15;

export function unitPrices(book: PriceBook): UnitPrices {
  const combine = (
    unit: string,
    fields: PriceField[],
    formula: (at: (field: PriceField, up: boolean) => Decimal) => Decimal,
  ) => {
    const at = (bound: 'low' | 'value' | 'high') => {
      const other = { low: 'high', value: 'value', high: 'low' } as const;
      // `up` is false for a field that makes the result smaller.
      return formula(
        (field, up) => new Decimal(book[field][up ? bound : other[bound]]),
      ).toDecimalPlaces(UNIT_DECIMALS);
    };
    const parts = fields.map((field) => book[field]);
    const weakest = (['assumed', 'derived', 'published'] as const).find((basis) =>
      parts.some((part) => part.basis === basis),
    );
    const unique = (key: 'source' | 'date' | 'region') =>
      [...new Set(parts.map((part) => part[key]))].join('; ');
    return {
      usd: at('value'),
      low: at('low'),
      high: at('high'),
      unit,
      basis: weakest === 'published' && parts.length > 1 ? 'derived' : (weakest ?? 'assumed'),
      source: unique('source'),
      date: unique('date'),
      region: unique('region'),
    } satisfies UnitPrice;
  };
  return {
    rent: combine('USD/core-hour', ['rentUsdPerCoreHour'], (at) => at('rentUsdPerCoreHour', true)),
    depreciation: combine(
      'USD/core-hour',
      ['machineUsd', 'machineCores', 'lifeYears', 'utilisation'],
      (at) =>
        at('machineUsd', true).div(
          at('machineCores', false)
            .times(at('lifeYears', false))
            .times(HOURS_PER_YEAR)
            .times(at('utilisation', false)),
        ),
    ),
    electricity: combine('USD/kWh', ['electricityUsdPerKwh', 'pue'], (at) =>
      at('electricityUsdPerKwh', true).times(at('pue', true)),
    ),
    storage: combine('USD/GB', ['storageUsdPerGbMonth', 'storageMonths'], (at) =>
      at('storageUsdPerGbMonth', true).times(at('storageMonths', true)),
    ),
  };
}
