/**
 * @file The command as a user meets it: help, errors, exit codes, and one JSON document on stdout.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { documents, errorDocument } from '../../src/cli/documents.js';
import { reckoner } from './model.js';

const VERBS = ['train', 'chat', 'eval', 'bill', 'export', 'doctor'];
const main = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url));

/** The only thing on stdout, parsed. */
const parse = (stdout: string): unknown => {
  expect(stdout.endsWith('}\n')).toBe(true);
  return JSON.parse(stdout);
};

describe('help', () => {
  it('lists the verbs', async () => {
    const { code, stdout, stderr } = await reckoner(['--help']);
    expect(code).toBe(0);
    expect(stderr).toBe('');
    for (const verb of VERBS) expect(stdout).toMatch(new RegExp(`^  ${verb} `, 'm'));
  });

  it('is one document with --json', async () => {
    const { code, stdout } = await reckoner(['chat', '--help', '--json']);
    expect(code).toBe(0);
    expect(parse(stdout)).toMatchObject({
      schemaVersion: 1,
      help: expect.stringContaining('Usage: reckoner chat'),
    });
  });

  it('without a verb goes to stderr, and the exit code says that nothing was done', async () => {
    const { code, stdout, stderr } = await reckoner([]);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toContain('Usage: reckoner');
  });

  it('survives a reader that leaves', async () => {
    // The first call is read in part, the others not at all.
    const script = `for i in 1 2 3; do "${process.execPath}" "${main}" train --help; done | head -n 1; exit \${PIPESTATUS[0]}`;
    const { stdout, stderr } = await promisify(execFile)('bash', ['-c', script]);
    expect(stdout).toMatch(/^Usage: reckoner train/);
    expect(stderr).toBe('');
  });
});

it('--version is the package version', async () => {
  const { version } = JSON.parse(
    readFileSync(new URL('../../package.json', import.meta.url), 'utf8'),
  );
  expect(await reckoner(['--version'])).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
  expect(parse((await reckoner(['--version', '--json'])).stdout)).toEqual({
    schemaVersion: 1,
    version,
  });
});

describe('a wrong call', () => {
  const args = ['eval', 'nowhere'];
  const message = 'no run at nowhere; ls runs/ shows the runs there are';

  it('is one line on stderr and exit code 2', async () => {
    expect(await reckoner(args)).toEqual({ code: 2, stdout: '', stderr: `error: ${message}\n` });
    const { code, stdout, stderr } = await reckoner(['trian']);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).toBe(
      "error: unknown command 'trian' (did you mean train?); see reckoner --help\n",
    );
  });

  it('is one document with --json, whoever noticed it', async () => {
    const ours = await reckoner([...args, '--json']);
    expect([ours.code, ours.stderr]).toEqual([2, '']);
    expect(parse(ours.stdout)).toEqual({ error: { code: 'usage', field: 'run', message } });
    const commanders = await reckoner(['eval', '--samples', 'many', '--json']);
    expect([commanders.code, commanders.stderr]).toEqual([2, '']);
    const document = parse(commanders.stdout);
    expect(errorDocument.parse(document)).toEqual(document);
    expect(document).toMatchObject({ error: { code: 'usage', field: '--samples' } });
  });
});

it('colour appears when forced and never with --no-color', async () => {
  const env = { FORCE_COLOR: '1', NO_COLOR: '' };
  const run = (args: string[], more: Record<string, string>): Promise<string> =>
    promisify(execFile)(process.execPath, [main, ...args], {
      env: { ...process.env, ...more },
    }).then(
      () => '',
      (error: { stderr: string }) => error.stderr,
    );
  expect(await run(['chat', 'nowhere'], env)).toContain('\x1b[31merror:\x1b[39m');
  expect(await run(['--no-color', 'chat', 'nowhere'], env)).toMatch(/^error:/);
  expect(await run(['chat', 'nowhere', '--no-color'], env)).toMatch(/^error:/);
  expect(await run(['chat', 'nowhere'], { ...env, NO_COLOR: '1' })).toMatch(/^error:/);
});

it('doctor measures this machine', async () => {
  const { code, stdout, stderr } = await reckoner(['doctor', '--json']);
  expect([code, stderr]).toEqual([0, '']);
  const document = parse(stdout);
  const report = documents.doctor.parse(document);
  expect(report).toEqual(document);
  expect(report.node).toEqual({ version: process.version, supported: true });
  expect(report.wasm.simd).toBe(true);
  expect(report.matmul.kernel.gflops).toBeGreaterThan(0.5);
});
