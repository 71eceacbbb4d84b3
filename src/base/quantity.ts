/**
 * @file A quantity with its 90% interval, and sums and products of independent ones.
 */
export interface Quantity {
  value: number;
  /** 5% and 95% quantiles. */
  low: number;
  high: number;
}

export const exactly = (value: number): Quantity => ({ value, low: value, high: value });

export const scaled = ({ value, low, high }: Quantity, factor: number): Quantity => ({
  value: value * factor,
  low: low * factor,
  high: high * factor,
});

/** The sum of quantities whose errors move together: their ends add up. */
export function addUp(parts: readonly Quantity[]): Quantity {
  const total = (end: keyof Quantity): number => parts.reduce((sum, part) => sum + part[end], 0);
  return { value: total('value'), low: total('low'), high: total('high') };
}

/** An amount over a quantity, as a rate: what takes longest is slowest. */
export const rateOf = (amount: number, { value, low, high }: Quantity): Quantity =>
  amount === 0 ? exactly(0) : { value: amount / value, low: amount / high, high: amount / low };

/** The sum of independent quantities: their distances from the middle add up in quadrature. */
export function sumOf(parts: readonly Quantity[]): Quantity {
  const value = parts.reduce((sum, part) => sum + part.value, 0);
  const spread = (end: 'low' | 'high'): number =>
    Math.hypot(...parts.map((part) => part[end] - part.value));
  return { value, low: Math.max(0, value - spread('low')), high: value + spread('high') };
}

/** The product of independent quantities: the logarithms of their factors add up in quadrature. */
export function productOf(...parts: readonly Quantity[]): Quantity {
  const value = parts.reduce((all, part) => all * part.value, 1);
  if (value === 0) return exactly(0);
  const spread = (end: 'low' | 'high'): number =>
    Math.hypot(...parts.map((part) => Math.log(Math.max(1e-12, part[end] / part.value))));
  return { value, low: value * Math.exp(-spread('low')), high: value * Math.exp(spread('high')) };
}
