/**
 * @file Look-up in the catalog of facts.
 */
import { PRICES } from './data/prices.js';
import type { Price } from './schema.js';

export { PRICES } from './data/prices.js';
export { type Price, type PriceBasis, priceSchema } from './schema.js';

const byId = new Map(PRICES.map((price) => [price.id, price]));

/** @throws Error when the catalog has no such price: a mistake in the code, not of the user. */
export function priceOf(id: string): Price {
  const price = byId.get(id);
  if (!price) throw new Error(`the catalog has no price ${id}`);
  return price;
}
