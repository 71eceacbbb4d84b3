import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { computeUsageBill } from '../statement/usage.js';
import { parseRules } from './allocation-rules.js';

const price = (value: unknown) => ({ prices: { 'gpu-hour': { price: value, source: 'x' } } });
const rate = (value: unknown) => ({ rates: { EUR: { rate: value, date: '2026', source: 'x' } } });
const staff = (rest: Record<string, unknown>) => ({
  staff: [{ what: 'x', amount: 1, key: 'usage', source: 'x', ...rest }],
});

describe('rules refuse numbers out of range and unknown keys, by field', () => {
  it.each([
    [price(-1), /prices\.gpu-hour\.price: expected a number of at least 0/],
    [price('-0.5'), /prices\.gpu-hour\.price: expected a number of at least 0/],
    [price('1e300'), /at most 1e9/],
    [price('cheap'), /expected a decimal/],
    [price(Number.NaN), /prices\.gpu-hour\.price/],
    [price(Number.POSITIVE_INFINITY), /prices\.gpu-hour\.price/],
    [
      { prices: { 'gpu-houer': { price: 1, source: 'x' } } },
      /no such unit \(did you mean gpu-hour\?\)/,
    ],
    [{ prices: { 'gpu-hour': { price: 1, sorce: 'x' } } }, /prices\.gpu-hour/],
    [rate(0), /rates\.EUR\.rate: expected a number above 0/],
    [rate('-1.1'), /rates\.EUR\.rate: expected a number above 0/],
    [{ rates: { Euro: { rate: 1, date: '2026', source: 'x' } } }, /rates/],
    [staff({ amount: -5 }), /staff\.0\.amount: expected a number of at least 0/],
    [staff({ key: { a: 0.5, b: 0.6 } }), /staff\.0\.key: shares add up to 1.1/],
    [staff({ key: { a: 1.5, b: -0.5 } }), /staff\.0\.key/],
    [staff({ currency: 'usd' }), /staff\.0\.currency: expected a code of ISO 4217/],
    [{ idle: { key: { a: 2 } } }, /idle\.key/],
    [{ shared: { kye: 'usage' } }, /shared\.kye: no such field \(did you mean key\?\)/],
    [{ rulse: [] }, /rulse: no such field \(did you mean rules\?\)/],
    [{ rules: [{ when: {}, is: 'finel' }] }, /rules\.0\.is: .*did you mean final/],
    [{ rules: [{ wehn: {}, is: 'final' }] }, /rules\.0/],
    [{ kinds: [{ when: {}, kind: 'gup' }] }, /kinds\.0\.kind: .*did you mean gpu/],
    [{ rules: [{ when: { name: 5 }, is: 'final' }] }, /rules\.0\.when\.name: expected a pattern/],
    [{ slurm: { timezone: 'Europe/Berln' } }, /slurm\.timezone: no such time zone/],
    [{ slurm: { timzone: 'UTC' } }, /slurm\.timzone: no such field \(did you mean timezone\?\)/],
    [{ slurm: { shardsPerGpu: 0 } }, /slurm\.shardsPerGpu/],
    [{ focus: { cost: 'BiledCost' } }, /focus\.cost: .*did you mean BilledCost/],
    [{ opencost: { currency: 'dollars' } }, /opencost\.currency/],
    ['text', /allocation rules r: it: /],
    [null, /allocation rules r: it: /],
  ])('%j', (content, message) => {
    expect(() => parseRules(content, 'r')).toThrow(message);
  });

  it('takes what is in range', () => {
    expect(parseRules(price(0), 'r').prices['gpu-hour'].price).toBe('0');
    expect(parseRules(price('2.50'), 'r').prices['gpu-hour'].price).toBe('2.5');
    expect(parseRules(rate(1e-3), 'r').rates.EUR.rate).toBe('0.001');
    expect(
      parseRules({ prices: { 'gpu-hour:h100': { price: 2, source: 'x' } } }, 'r'),
    ).toBeDefined();
  });

  it('a condition on what no file has is refused', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'reckoner-rules-'));
    const path = join(folder, 'jobs.txt');
    writeFileSync(
      path,
      'JobID|JobName|Comment|Start|ElapsedRaw|AllocTRES\n1|a|x|2026-05-01T00:00:00|60|cpu=1\n',
    );
    const bill = (when: Record<string, string>) =>
      computeUsageBill([path], {
        rules: parseRules({ rules: [{ when, is: 'final' }] }, 'r'),
        threads: 1,
      });
    for (const when of [
      { name: 'a' },
      { Comment: 'x' },
      { 'tag:team': 'x' },
      { region: 'eu' },
      { SkuMeter: 'x' },
    ])
      await expect(bill(when as never)).resolves.toBeDefined();
    await expect(bill({ nmae: 'a' })).rejects.toThrow(
      /rules\.0\.when\.nmae: no such field.*did you mean name/,
    );
    await expect(bill({ comnent: 'a' })).rejects.toThrow(/did you mean Comment/);
    rmSync(folder, { recursive: true, force: true });
  });
});
