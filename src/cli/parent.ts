/**
 * @file `--until-parent-exits`: a server that was started in the background ends with the program
 * that started it.
 *
 * A shell that ends, or `npx` that is killed, does not end what it started: the child goes on with
 * another parent. So the server looks at its parent's number twice a second. Where the parent is
 * npm's (`npx`, or the shell that npm puts between), that one's parent counts too: killing `npx`
 * leaves the shell between.
 */
import { readFileSync } from 'node:fs';

export const UNTIL_PARENT_EXITS =
  'end when the program that started it has ended (npx, a script, a shell)';

const LOOK_MS = 500;

/** The parent of a process; null where it cannot be known. Linux alone lets us look. */
function parentOf(pid: number): number | null {
  try {
    // `pid (name) state parent …`; a name may hold brackets and spaces.
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
  } catch {
    return null;
  }
}

/** Whether npm started this process: then there may be `npx` and a shell of its above us. */
const underNpm = (): boolean => process.env.npm_execpath !== undefined;

/** Our parent, and under npm the shell's parent and so on up to npm itself. */
function ancestors(): number[] {
  const chain = [process.ppid];
  if (underNpm())
    for (let pid = parentOf(process.ppid); pid !== null && pid > 1 && chain.length < 3; ) {
      chain.push(pid);
      pid = parentOf(pid);
    }
  return chain;
}

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
};

/** A signal that is aborted with `interrupted`, or when a parent has ended. */
export function endWithParent(interrupted: AbortSignal): AbortSignal {
  const parent = process.ppid;
  const above = ancestors().slice(1);
  const gone = new AbortController();
  const timer = setInterval(() => {
    if (process.ppid === parent && above.every(isAlive)) return;
    clearInterval(timer);
    gone.abort();
  }, LOOK_MS).unref();
  return AbortSignal.any([interrupted, gone.signal]);
}
