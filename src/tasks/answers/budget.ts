/**
 * @file The work that one comparison of answers may take, counted in steps and not timed, so that a
 * verdict is the same on every machine.
 */

/** Steps of a comparison; one is about a microsecond on a core of 2021. */
const BUDGET = 20_000;

/** Thrown where a comparison would take too long. */
export class OutOfSteps extends Error {}
const outOfSteps = new OutOfSteps('the comparison takes too long');

let left = BUDGET;
let active = false;
const memos: { clear(): void }[] = [];

/** @throws OutOfSteps */
export function pay(steps: number): void {
  left -= steps;
  if (left < 0) throw outOfSteps;
}

/**
 * Gives the work a budget, or what is left of the one around it. Nothing is remembered from one
 * comparison to the next: what came before must not decide what a comparison can afford.
 */
export function withBudget<T>(work: () => T): T {
  if (active) return work();
  left = BUDGET;
  for (const memo of memos) memo.clear();
  active = true;
  try {
    return work();
  } finally {
    active = false;
    left = BUDGET;
  }
}

/** Values of a function by its first argument, kept during one comparison. */
export function memo<Key extends object, Result>(
  compute: (key: Key) => Result,
): (key: Key) => Result {
  let known = new WeakMap<Key, { readonly result: Result }>();
  memos.push({
    clear: () => {
      known = new WeakMap();
    },
  });
  return (key) => {
    let found = known.get(key);
    if (found === undefined) {
      found = { result: compute(key) };
      known.set(key, found);
    }
    return found.result;
  };
}
