/**
 * @file Look-up in every catalogued cost fact: prices of a machine at home, and of fleets, their
 * power and their people.
 */
import { UserError } from '../base/errors.js';
import { FLEET } from './data/fleet.js';
import { OWNERSHIP } from './data/ownership.js';
import { POWER } from './data/power.js';
import { PRICES } from './data/prices.js';
import { STAFF } from './data/staff.js';
import type { Price } from './schema.js';

export const COSTS: readonly Price[] = [...PRICES, ...OWNERSHIP, ...POWER, ...STAFF, ...FLEET];

const byId = new Map(COSTS.map((cost) => [cost.id, cost]));

/** @throws UserError when there is none: a claim's or a fleet's file names one by its id */
export function costOf(id: string): Price {
  const cost = byId.get(id);
  if (cost === undefined)
    throw new UserError('usage', `the catalog has no ${JSON.stringify(id)}`, 'catalog');
  return cost;
}
