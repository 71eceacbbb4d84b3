/**
 * @file One writer at a time: a lock is a file that names the process which holds it, and is taken
 * over when that process is gone.
 */
import {
  closeSync,
  existsSync,
  linkSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { UserError } from './errors.js';
import { diskError, isAlive } from './files.js';
import { readRegularText } from './regular.js';

interface Lock {
  pid: number;
  host: string;
  /**
   * Tells two processes with one id apart, where the system says when a process started (Linux).
   */
  started: string;
  time: string;
}

/**
 * `<boot id>:<start time in clock ticks>` of a process, or an empty string where it cannot be
 * known.
 */
function startedAt(pid: number): string {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command, in parentheses, may hold spaces; the start time is the 20th field after it.
    const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
    return `${readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()}:${ticks}`;
  } catch {
    return '';
  }
}

function parseLock(text: string): Lock | null {
  try {
    const lock = JSON.parse(text) as Lock;
    return Number.isInteger(lock.pid) && lock.pid > 0 && typeof lock.host === 'string'
      ? lock
      : null;
  } catch {
    return null;
  }
}

/** True when the process that wrote the lock is certainly gone. */
function isStale(lock: Lock | null): boolean {
  // A lock appears whole (it is linked into place), so one that cannot be read was torn by a crash
  // of the machine.
  if (lock === null) return true;
  if (lock.host !== hostname()) return false;
  if (!isAlive(lock.pid)) return true;
  const now = startedAt(lock.pid);
  return now !== '' && lock.started !== '' && now !== lock.started;
}

/** A lock may have come with a stranger's folder. @throws UserError (data) */
const readLock = (path: string): string => readRegularText(path, 'lock', MAX_LOCK_BYTES, false);
const MAX_LOCK_BYTES = 4096;

/** The process on this machine that holds a lock; null when there is none. */
export function holderOfLock(path: string): number | null {
  try {
    const lock = parseLock(readLock(path));
    return isStale(lock) ? null : (lock?.pid ?? null);
  } catch {
    return null;
  }
}

/**
 * The process on this machine that holds a lock, where it is proved that it took it, so that it may
 * be signalled; null otherwise. A lock is text that anybody can write: it must name the start of
 * the process, which must have this very file open. Linux shows both; elsewhere nothing is proved.
 */
export function provenHolderOfLock(path: string): number | null {
  try {
    const lock = parseLock(readLock(path));
    if (lock === null || lock.host !== hostname() || isStale(lock)) return null;
    const { pid, started } = lock;
    if (pid === process.pid || started === '' || started !== startedAt(pid)) return null;
    return hasOpen(pid, path) ? pid : null;
  } catch {
    return null;
  }
}

function hasOpen(pid: number, path: string): boolean {
  const { dev, ino } = statSync(path);
  const folder = `/proc/${pid}/fd`;
  return readdirSync(folder).some((name) => {
    const open = statSync(`${folder}/${name}`, { throwIfNoEntry: false });
    return open?.dev === dev && open.ino === ino;
  });
}

/**
 * Takes the lock at `path` for this process. @returns a function that gives it back; it is also
 * given back when the process exits.
 * @param name what is written, for the error; `field` which argument named it
 * @throws UserError (state) when another process holds it.
 */
export function takeLock(path: string, name: string, field: string): () => void {
  const mine: Lock = {
    pid: process.pid,
    host: hostname(),
    started: startedAt(process.pid),
    time: new Date().toISOString(),
  };
  const text = `${JSON.stringify(mine)}\n`;
  const temporary = `${path}.tmp-${process.pid}`;
  try {
    for (let attempt = 0; ; attempt++) {
      if (placeLock(path, temporary, text)) break;
      let held: string;
      try {
        held = readLock(path);
      } catch (error) {
        if (!existsSync(path) && attempt < 100) continue;
        throw error;
      }
      const lock = parseLock(held);
      if (!isStale(lock) || attempt >= 100) {
        const where = lock && lock.host !== hostname() ? ` on ${lock.host}` : '';
        throw new UserError(
          'state',
          `${name} is being written by process ${lock?.pid}${where} since ${lock?.time}; stop it first, or delete ${path} if it is gone`,
          field,
        );
      }
      takeAway(path, held);
    }
  } catch (error) {
    throw error instanceof UserError ? error : diskError(error, path);
  } finally {
    rmSync(temporary, { force: true });
  }
  // Kept open while it is held: others can see whose it is (`provenHolderOfLock`).
  const handle = openSync(path, 'r');
  const release = (): void => {
    process.off('exit', release);
    try {
      closeSync(handle);
      if (readFileSync(path, 'utf8') === text) unlinkSync(path);
    } catch {
      // Gone with its folder: nothing to give back.
    }
  };
  process.on('exit', release);
  return release;
}

/**
 * Puts a lock in place if there is none: linked rather than written, so that nobody ever reads half
 * of one.
 */
function placeLock(path: string, temporary: string, text: string): boolean {
  writeFileSync(temporary, text);
  try {
    linkSync(temporary, path);
    return true;
  } catch (error) {
    const code = (error as { code?: string }).code ?? '';
    if (code === 'EEXIST') return false;
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EINVAL', 'EMLINK'].includes(code))
      throw error;
  }
  // A file system without links (FAT, some network shares).
  try {
    writeFileSync(path, text, { flag: 'wx' });
    return true;
  } catch (error) {
    if ((error as { code?: string }).code === 'EEXIST') return false;
    throw error;
  }
}

/**
 * Removes a stale lock; when another process has replaced it in the meantime, puts that one back.
 */
function takeAway(path: string, stale: string): void {
  const aside = `${path}.stale-${process.pid}`;
  try {
    renameSync(path, aside);
  } catch (error) {
    if ((error as { code?: string }).code === 'ENOENT') return;
    throw error;
  }
  try {
    if (readFileSync(aside, 'utf8') !== stale) linkSync(aside, path);
  } finally {
    rmSync(aside, { force: true });
  }
}
