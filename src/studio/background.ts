/**
 * @file Lowers the priority of background threads, so that opening a page stays fast on a machine
 * whose cores are all busy.
 */
import { setPriority } from 'node:os';

/**
 * Lowers the priority of this thread where threads have one of their own (Linux); elsewhere it
 * would be the whole server's.
 */
export function stepBack(): void {
  if (process.platform === 'linux') setPriority(0, 10);
}

let turns: Promise<void> = Promise.resolve();

/**
 * Resolves for one caller at a time, each in a turn of the event loop of its own: many logs that
 * are read at once do not add up.
 */
export function ownTurn(): Promise<void> {
  turns = turns.then(() => new Promise((resolve) => setImmediate(resolve)));
  return turns;
}
