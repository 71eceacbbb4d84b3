import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
};

/** Starts the studio by a program in between, as npx does, and ends that program. */
async function orphan(flags: readonly string[], npm: boolean): Promise<number> {
  const runs = mkdtempSync(join(tmpdir(), 'reckoner-parent-'));
  const args = [MAIN, 'studio', '--port', '0', '--json', '--runs', runs, ...flags];
  const between = `
    require('node:child_process').spawn(process.execPath, ${JSON.stringify(args)}, { stdio: 'inherit' });
    setInterval(() => {}, 1000);`;
  const env = { ...process.env, npm_execpath: npm ? 'npm' : undefined };
  const parent = spawn(process.execPath, ['-e', between], {
    stdio: ['ignore', 'pipe', 'ignore'],
    env,
  });
  let text = '';
  const pid = await new Promise<number>((resolve) => {
    parent.stdout.on('data', (part) => {
      text += part;
      const found = /"pid": (\d+)/.exec(text);
      if (found !== null) resolve(Number(found[1]));
    });
  });
  expect(isAlive(pid)).toBe(true);
  parent.kill('SIGKILL');
  await new Promise((resolve) => parent.once('exit', resolve));
  rmSync(runs, { recursive: true, force: true });
  return pid;
}

it.each([true, false])(
  'ends a server with the program that started it, if asked to (under npm: %s)',
  async (npm) => {
    const pid = await orphan(['--until-parent-exits'], npm);
    await expect.poll(() => isAlive(pid), { timeout: 20_000 }).toBe(false);
  },
  60_000,
);

it('lets it go on otherwise', async () => {
  const pid = await orphan([], false);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  expect(isAlive(pid)).toBe(true);
  process.kill(pid, 'SIGTERM');
  await expect.poll(() => isAlive(pid), { timeout: 20_000 }).toBe(false);
}, 60_000);
