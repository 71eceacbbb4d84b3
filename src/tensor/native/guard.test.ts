import { spawnSync } from 'node:child_process';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { supportedTargets } from './kernels.js';

const jiti = join(dirname(createRequire(import.meta.url).resolve('jiti/package.json')), 'lib');
const guard = fileURLToPath(new URL('testing/guard.ts', import.meta.url));

const run = (...args: string[]) =>
  spawnSync(process.execPath, [join(jiti, 'jiti-cli.mjs'), guard, ...args], { encoding: 'utf8' });

const runnable = process.platform === 'linux' && (supportedTargets()?.has('avx2') ?? false);

describe.skipIf(!runnable)('between forbidden pages', () => {
  it('native kernels read and write nothing outside their operands, on random shapes', () => {
    const { status, signal, stderr } = run('1', '600');
    expect({ status, signal, stderr }).toEqual({ status: 0, signal: null, stderr: '' });
  });

  it('a kernel that stores beyond its output ends its process', () => {
    expect(run('1', '0', '1').signal).toBe('SIGSEGV');
    expect(run('1', '0', '-1').status).toBe(0);
  });
});
