import { it } from 'vitest';
import { CLAIMS } from '../../catalog/data/claims/index.js';
import { evaluateClaim } from './evaluate.js';
import { readClaim } from './model.js';

it('x', () => {
  for (const c of CLAIMS) {
    const d = evaluateClaim(readClaim(c, c.id));
    for (const f of d.figures)
      console.log(
        f.id.padEnd(24),
        f.usdExact.padStart(16),
        f.low,
        f.high,
        f.drivers.map((x) => `${x.input} ${x.share.toFixed(2)}`).join(', '),
      );
    for (const s of d.steps) console.log(s.from, '>', s.to, s.usdExact, s.low, s.high);
    for (const s of d.checks) console.log(s.id.padEnd(24), s.computed, s.published, s.relativeError, s.unit);
    for (const s of d.ratios) console.log(s.id.padEnd(24), s.value, s.low, s.high, s.unit);
    for (const s of d.corrections) console.log(s.instead);
  }
});
