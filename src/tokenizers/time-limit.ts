/**
 * @file A time limit on code that cannot be asked to stop: a regular expression of a stranger's
 * that backtracks, a library in a loop.
 *
 * `node:vm` ends whatever runs in this thread when its time is up, regular expressions too, from a
 * thread of its own. That costs a third of a millisecond, so it is for what is not known to be
 * harmless. In a browser there is no such thing; there the thread that reads a stranger's files can
 * be ended from outside.
 */
import { Script } from 'node:vm';

const SLOT = 'reckonerTimeLimited';
const slots = globalThis as unknown as Record<string, (() => void) | undefined>;
let script: Script | undefined;

/**
 * What `run` returns.
 * @param late the message of the error once `milliseconds` are over
 */
export function withTimeLimit<T>(milliseconds: number, late: string, run: () => T): T {
  if (typeof Script !== 'function') return run();
  script ??= new Script(`${SLOT}()`);
  let result: T | undefined;
  const before = slots[SLOT];
  slots[SLOT] = () => {
    result = run();
  };
  try {
    script.runInThisContext({ timeout: milliseconds });
  } catch (error) {
    if ((error as { code?: unknown }).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT')
      throw new Error(late);
    throw error;
  } finally {
    slots[SLOT] = before;
  }
  return result as T;
}
