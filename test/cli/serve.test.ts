/** @file `reckoner serve` as a user starts it. */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { documents } from '../../src/cli/documents.js';
import { reckoner, writeTinyModel } from './model.js';

const folder = mkdtempSync(join(tmpdir(), 'reckoner-serve-cli-'));
const model = join(folder, 'model');
beforeAll(() => writeTinyModel(model));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

it('prints one ready document, answers, and ends at SIGTERM', async () => {
  const usage = join(folder, 'usage.jsonl');
  const { code, stdout, stderr } = await reckoner(
    ['serve', model, '--port', '0', '--usage', usage, '--json'],
    {
      onStart: (child) => {
        child.stdout?.once('data', async (chunk) => {
          const { url } = JSON.parse(String(chunk));
          const response = await fetch(`${url}/v1/chat/completions`, {
            method: 'POST',
            headers: { 'content-type': 'application/json' },
            body: JSON.stringify({
              model: 'model',
              messages: [{ role: 'user', content: '1+2=' }],
              max_tokens: 3,
            }),
          });
          if (response.status === 200) child.kill('SIGTERM');
          else child.kill('SIGKILL');
        });
      },
    },
  );
  expect(code, stderr).toBe(0);
  const document = documents.serve.parse(JSON.parse(stdout));
  expect(document.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  expect(readFileSync(usage, 'utf8').trim().split('\n')).toHaveLength(1);
}, 120_000);

it('refuses a public address without keys, before it loads anything', async () => {
  const { code, stdout } = await reckoner(['serve', model, '--host', '0.0.0.0', '--json']);
  expect(code).toBe(2);
  expect(documents.error.parse(JSON.parse(stdout)).error).toMatchObject({
    code: 'usage',
    field: '--host',
  });
});

it('makes a key and keeps its hash', async () => {
  const file = join(folder, 'keys.json');
  const made = await reckoner(['serve', 'keys', 'add', 'alice', '--file', file]);
  expect([made.code, made.stdout.trim()]).toEqual([0, expect.stringMatching(/^rk-[\w-]{32}$/)]);
  expect(readFileSync(file, 'utf8')).not.toContain(made.stdout.trim());
  const listed = await reckoner(['serve', 'keys', 'list', '--file', file]);
  expect(listed.stdout).toMatch(/^alice {2}\d{4}-/);
  const again = await reckoner(['serve', 'keys', 'add', 'alice', '--file', file]);
  expect([again.code, again.stderr]).toEqual([2, expect.stringContaining('has a key named alice')]);
});
