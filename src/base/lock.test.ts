import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { holderOfLock, provenHolderOfLock, takeLock } from './lock.js';

const scratch = mkdtempSync(join(tmpdir(), 'reckoner-lock-'));
const path = join(scratch, 'run.lock');
let other: ChildProcess;
beforeAll(() => {
  other = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1e6)']);
});
afterAll(() => {
  other.kill('SIGKILL');
  rmSync(scratch, { recursive: true, force: true });
});

const startOf = (pid: number): string => {
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
  return `${boot}:${stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]}`;
};
const claim = (lock: object): void =>
  writeFileSync(path, JSON.stringify({ pid: other.pid, host: hostname(), time: '', ...lock }));

// What processes have open can be seen on Linux.
const linux = process.platform === 'linux';

it.runIf(linux)('a lock that names a stranger’s process proves nothing', () => {
  for (const started of ['', 'x:1', startOf(other.pid as number)]) {
    claim({ started });
    expect(provenHolderOfLock(path)).toBeNull();
  }
  claim({ started: startOf(other.pid as number), host: 'elsewhere' });
  expect(provenHolderOfLock(path)).toBeNull();
  rmSync(path);
});

it.runIf(linux)('a process that took it is proved, until it gives it back', async () => {
  const main = fileURLToPath(new URL('../../dist/base/lock.js', import.meta.url));
  const code = `import(${JSON.stringify(main)}).then(({ takeLock }) => {
    const release = takeLock(${JSON.stringify(path)}, 'x', 'run');
    process.stdout.write('taken');
    process.stdin.once('data', () => { release(); process.stdout.write('given'); });
  })`;
  const holder = spawn(process.execPath, ['-e', code]);
  const said = () => new Promise((resolve) => holder.stdout.once('data', resolve));
  await said();
  expect(provenHolderOfLock(path)).toBe(holder.pid);
  expect(() => takeLock(path, 'the run', 'run')).toThrow(/is being written by process/);
  const given = said();
  holder.stdin.write('x');
  await given;
  expect(provenHolderOfLock(path)).toBeNull();
  holder.kill('SIGKILL');
});

it('a FIFO, a device or a huge file in its place is no lock', () => {
  writeFileSync(path, ' '.repeat(100_000));
  expect(holderOfLock(path)).toBeNull();
  expect(() => takeLock(path, 'the run', 'run')).toThrow(/100000 bytes/);
});
