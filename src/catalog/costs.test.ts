import { describe, expect, it } from 'vitest';
import { COSTS, costOf } from './costs.js';
import { priceSchema } from './schema.js';

describe('cost facts', () => {
  it.each(COSTS.map((cost) => [cost.id, cost] as const))(
    '%s has a source, a date and an interval',
    (_id, cost) => {
      expect(priceSchema.safeParse(cost).error?.issues ?? []).toEqual([]);
      expect(cost.currency).toBe(cost.unit.startsWith('USD') ? 'USD' : '');
      if (cost.basis !== 'published')
        expect(cost.note, 'states what was assumed or computed').not.toBe('');
    },
  );

  it('have unique ids, and name an unknown one', () => {
    expect(new Set(COSTS.map(({ id }) => id)).size).toBe(COSTS.length);
    expect(() => costOf('gold.ounce')).toThrow('gold.ounce');
  });
});
