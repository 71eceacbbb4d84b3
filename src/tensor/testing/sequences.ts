/** @file Segments of a packed batch, as problems draw them: alone, or going on from one another. */
import type { Draw, Input } from './problem.js';

/**
 * Up to `parts` segments of `n` rows. With `shared`, up to twice as many, most of which go on from
 * an earlier one that goes on from none; segments of either kind may be empty.
 */
export function sequencesOf(
  draw: Draw,
  n: number,
  parts: number,
  shared: boolean,
): Record<string, Input> {
  const count = draw.random.integer(1, shared ? 2 * parts : parts);
  const segments = draw.offsets(n, count);
  if (!shared) return { segments };
  const prefixes: number[] = [];
  for (let s = 0; s < count; s++) {
    const earlier = prefixes.flatMap((prefix, t) => (prefix < 0 ? [t] : []));
    prefixes.push(earlier.length > 0 && draw.random.chance(0.7) ? draw.random.pick(earlier) : -1);
  }
  return { segments, prefixes: draw.integers(prefixes) };
}
