/**
 * @file Sums over ranks, by name.
 */
import type { Ranks } from '../tensor/backend.js';

/** Longest list that `Ranks.sum` takes. */
const CHUNK = 1024;

/** The sums of equally long lists over all ranks; every rank gets them. */
export async function sumAll(
  ranks: Pick<Ranks, 'sum'>,
  values: readonly number[],
): Promise<number[]> {
  const out: number[] = [];
  for (let i = 0; i < values.length; i += CHUNK)
    out.push(...(await ranks.sum(values.slice(i, i + CHUNK))));
  return out;
}

/** The sum of each named number over all ranks. Every rank names the same ones. */
export async function sumNamed<Name extends string>(
  ranks: Pick<Ranks, 'sum'>,
  values: Readonly<Record<Name, number>>,
): Promise<Record<Name, number>> {
  const names = Object.keys(values).sort() as Name[];
  const sums = await sumAll(
    ranks,
    names.map((name) => values[name]),
  );
  return Object.fromEntries(names.map((name, i) => [name, sums[i]])) as Record<Name, number>;
}

/** Adds every number of `more` to the one of its name. */
export function addNamed(sums: Record<string, number>, more: Record<string, number>): void {
  for (const [name, value] of Object.entries(more)) sums[name] = (sums[name] ?? 0) + value;
}
