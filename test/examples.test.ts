/** @file The examples: short, of the public API alone, and they run. */
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { main } from '../examples/grpo.js';

const text = readFileSync(new URL('../examples/grpo.ts', import.meta.url), 'utf8');

it('examples/grpo.ts has under 200 lines and imports nothing but reckoner', () => {
  expect(text.split('\n').length).toBeLessThan(200);
  expect([...text.matchAll(/from '(.+)'/g)].map(([, module]) => module)).toEqual(['reckoner']);
});

it('examples/grpo.ts runs: a few steps of each kind, then an evaluation', async () => {
  const result = await main({ imitation: 4, reinforcement: 2, problems: 8 });
  for (const share of Object.values(result)) {
    expect(share).toBeGreaterThanOrEqual(0);
    expect(share).toBeLessThanOrEqual(1);
  }
});
