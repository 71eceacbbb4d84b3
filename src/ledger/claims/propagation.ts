/**
 * @file Intervals of what is computed, from the intervals of what goes in.
 *
 * Each input is moved alone to its low and to its high end; the changes below are combined as the
 * root of the sum of their squares, and so are those above: first-order propagation of independent
 * errors, with unlike sides kept apart. Because whole models are evaluated, an input that two
 * figures share cancels in their difference, as it should. No random numbers, so no seed.
 * `reckoner claim` samples with the planner instead, which also gets products of wide intervals
 * right; this is what stands without it, and what tests check it against.
 */

export interface Interval {
  value: number;
  /** 5% and 95% quantiles. */
  low: number;
  high: number;
}

export interface Spread {
  low: number;
  high: number;
  /** Inputs that vary it, the most important first, with their share of its variance. */
  drivers: { input: string; share: number }[];
}

export type Model = (values: Readonly<Record<string, number>>) => Record<string, number>;

/** From the intervals of the inputs to those of each output of a model. */
export type Propagate = (
  inputs: Readonly<Record<string, Interval>>,
  model: Model,
) => Record<string, Spread>;

export const bySwings: Propagate = (inputs, model) => {
  const centre = Object.fromEntries(
    Object.entries(inputs).map(([name, { value }]) => [name, value]),
  );
  const outputs = model(centre);
  const squares = Object.fromEntries(
    Object.keys(outputs).map((name) => [
      name,
      { below: 0, above: 0, of: [] as [string, number][] },
    ]),
  );
  for (const [name, { value, low, high }] of Object.entries(inputs)) {
    if (low === value && high === value) continue;
    const ends = [low, high].map((end) => model({ ...centre, [name]: end }));
    for (const [output, at] of Object.entries(outputs)) {
      const moves = ends.map((end) => end[output] - at);
      const below = Math.min(0, ...moves);
      const above = Math.max(0, ...moves);
      if (below === 0 && above === 0) continue;
      squares[output].below += below ** 2;
      squares[output].above += above ** 2;
      squares[output].of.push([name, (above - below) ** 2]);
    }
  }
  return Object.fromEntries(
    Object.entries(outputs).map(([output, at]) => {
      const { below, above, of } = squares[output];
      const all = of.reduce((sum, [, square]) => sum + square, 0);
      const drivers = of
        .map(([input, square]) => ({ input, share: square / all }))
        .sort((a, b) => b.share - a.share);
      return [output, { low: at - Math.sqrt(below), high: at + Math.sqrt(above), drivers }];
    }),
  );
};
