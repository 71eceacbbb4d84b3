import { describe, expect, it } from 'vitest';
import { PRICES, priceOf, priceSchema } from './catalog.js';

describe('catalog', () => {
  it.each(PRICES.map((price) => [price.id, price] as const))(
    '%s has a source, a date, a region and an interval',
    (_id, price) => {
      expect(priceSchema.safeParse(price).error?.issues ?? []).toEqual([]);
      expect(price.source.trim().length).toBeGreaterThan(7);
      expect(price.date).toMatch(/^\d{4}/);
      if (price.basis !== 'published')
        expect(price.note, 'states what was assumed or computed').not.toBe('');
    },
  );

  it('has unique ids, and money in dollars only', () => {
    expect(new Set(PRICES.map((price) => price.id)).size).toBe(PRICES.length);
    for (const price of PRICES)
      expect(price.currency).toBe(price.unit.startsWith('USD') ? 'USD' : '');
  });

  it('refuses a price without a source, and one outside its own interval', () => {
    const { source: _, ...unsourced } = priceOf('cpu.rent.core-hour');
    expect(priceSchema.safeParse(unsourced).success).toBe(false);
    expect(priceSchema.safeParse({ ...priceOf('cpu.rent.core-hour'), low: 1 }).success).toBe(false);
  });

  it('names an unknown id', () => {
    expect(() => priceOf('gold.ounce')).toThrow('gold.ounce');
  });
});
