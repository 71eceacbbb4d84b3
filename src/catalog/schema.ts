/**
 * @file What a catalogued price is.
 *
 * A price is only as good as what stands beside it: who says so, when, where, and how far off it
 * may be. The schema makes these fields compulsory, so a number without a source cannot enter the
 * catalog.
 */
import { z } from 'zod';

/**
 * `published`: the source states the value. `derived`: arithmetic on published values, given in
 * `note`. `assumed`: nobody published it; `note` states the assumption and `source` names who makes
 * it.
 */
export const priceBasisSchema = z.enum(['published', 'derived', 'assumed']);

export const priceSchema = z
  .strictObject({
    id: z
      .string()
      .regex(/^[a-z0-9]+([.-][a-z0-9]+)*$/, 'use lower-case words joined by dots or hyphens'),
    /** What one unit of money buys, in words. */
    what: z.string().min(1),
    value: z.number().nonnegative(),
    /** The interval of plausible values, in the same unit. */
    low: z.number().nonnegative(),
    high: z.number().nonnegative(),
    /** For example `USD/kWh`, `USD/core-hour`, `W/core`, `years`, `ratio`. */
    unit: z.string().min(1),
    /** ISO 4217; empty for quantities that are not money. */
    currency: z.union([z.literal('USD'), z.literal('')]),
    region: z.string().min(1),
    /** When the value held: a year, a month or a day. */
    date: z.string().regex(/^\d{4}(-\d{2}(-\d{2})?)?$/, 'use YYYY, YYYY-MM or YYYY-MM-DD'),
    basis: priceBasisSchema,
    source: z.string().min(8),
    note: z.string(),
  })
  .refine((price) => price.low <= price.value && price.value <= price.high, {
    message: 'low <= value <= high must hold',
    path: ['value'],
  });

export type Price = Readonly<z.infer<typeof priceSchema>>;
export type PriceBasis = z.infer<typeof priceBasisSchema>;
