/** @file Every operation refuses the same bad arguments in the same words on every backend. */
import { describe, expect, it } from 'vitest';
import type { OperationName } from '../backend.js';
import { createReferenceBackend } from '../backends/reference.js';
import { createWasmBackend } from '../backends/wasm/index.js';
import { analyse } from '../operations/check.js';
import type { Declaration } from '../operations/declare.js';
import { checkedMethod } from '../operations/fast-check.js';
import { OPERATIONS } from '../operations/index.js';
import { refusalsOf, wrongEndsOf } from './refusals.js';

const names = Object.keys(OPERATIONS) as OperationName[];
const judge = createReferenceBackend();
const wasm = await createWasmBackend({ localBytes: 64 << 20, sharedBytes: 1 << 20 });
/** Checks step by step and does nothing. */
const slow = Object.assign(createReferenceBackend(), {
  ...Object.fromEntries(
    names.map((name) => {
      const analysis = analyse(name, OPERATIONS[name] as unknown as Declaration);
      const nothing = () => {};
      return [
        name,
        name === 'fill' ? judge.fill : checkedMethod(analysis, nothing, null, null, false),
      ];
    }),
  ),
});

describe.each(names)('%s', (name) => {
  it('refuses the same calls in the same words', () => {
    for (let index = 0; index < 6; index++) {
      const expected = refusalsOf(judge, name, index);
      expect(refusalsOf(wasm, name, index)).toEqual(expected);
      expect(refusalsOf(slow, name, index)).toEqual(expected);
      expect(expected[0]).toEqual({ change: 'nothing', message: null });
      for (const { change, message } of expected) {
        if (/undefined|other kind/.test(change) && name !== 'fill' && !optionalOf(name, change))
          expect(message, change).toMatch(new RegExp(`^${name}: \\w+ (must be|is missing)`));
      }
    }
  });
});

/** Scalars that may be left out. */
function optionalOf(name: OperationName, change: string): boolean {
  const spec = (OPERATIONS[name] as unknown as Declaration).args[change.split(' ')[0]];
  return spec.role === 'scalar' && spec.left;
}

it('says which dimension of which argument does not fit, and shows all', () => {
  const f = (...shape: number[]) => judge.allocate('f32', shape);
  const norm = { out: f(2, 6), inverseRms: f(2, 2), weight: f(3), epsilon: 1 };
  expect(() => judge.rmsNorm({ ...norm, x: f(2, 7) })).toThrow(
    'rmsNorm: x [N, H*d] has 7 columns, and H is 2, d is 3: out f32 [2, 6], inverseRms f32 [2, 2], ' +
      'x f32 [2, 7], weight f32 [3]',
  );
  const segments = judge.allocate('i32', [1]);
  const sizes = { heads: 4, kvHeads: 3, scale: 1, segments, prefixes: null };
  const parts = { q: f(0, 4), k: f(0, 3), v: f(0, 3), out: f(0, 4), logSumExp: f(0, 4) };
  expect(() => judge.attention({ ...parts, ...sizes })).toThrow(
    'attention: heads = kvHeads*share does not hold: heads is 4, kvHeads is 3: ',
  );
});

it.each(['attention', 'balanceLoss'] as const)('%s looks at the last segment', (name) => {
  const said = wrongEndsOf(judge, name);
  expect(said).toContain(`${name}: segments must end with N = 3, not 4`);
  expect(wrongEndsOf(wasm, name)).toBe(said);
});
