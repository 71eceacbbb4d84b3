import { expect, it } from 'vitest';
import { type Choosing, choose, topTokens } from './choose.js';

/** Probabilities 0.4, 0.3, 0.2, 0.1 in another order. */
const logits = [0.2, 0.4, 0.1, 0.3].map(Math.log);
const all: Choosing = { temperature: 1, topP: 1, topK: 0, minP: 0, bias: null };
/** The tokens that can come at all, with their shares of the uniforms. */
function shares(
  choosing: Partial<Choosing>,
  allowed: Uint8Array | null = null,
): Record<number, number> {
  const out: Record<number, number> = {};
  for (let i = 0; i < 1000; i++) {
    const id = choose(logits, { ...all, ...choosing }, allowed, i / 1000);
    out[id] = (out[id] ?? 0) + 1;
  }
  return out;
}

it('keeps what each filter keeps, and draws from it in proportion', () => {
  expect(shares({})).toEqual({ 0: 200, 1: 400, 2: 100, 3: 300 });
  expect(shares({ temperature: 0 })).toEqual({ 1: 1000 });
  expect(shares({ topK: 1 })).toEqual({ 1: 1000 });
  expect(Object.keys(shares({ topK: 3 }))).toEqual(['0', '1', '3']);
  expect(Object.keys(shares({ topP: 0.6 }))).toEqual(['1', '3']);
  expect(Object.keys(shares({ topP: 0.05 }))).toEqual(['1']);
  expect(Object.keys(shares({ minP: 0.4 }))).toEqual(['0', '1', '3']);
  expect(shares({ topK: 2, topP: 0.5 })).toEqual({ 1: 1000 });
  const half = shares({ temperature: 0.5 });
  expect(half[1] / half[2]).toBeCloseTo(16, 0);
});

it('adds biases first, and never takes what is not allowed', () => {
  expect(shares({ bias: new Map([[2, 1000]]) })).toEqual({ 2: 1000 });
  expect(shares({ topK: 1 }, Uint8Array.from([1, 0, 1, 0]))).toEqual({ 0: 1000 });
  expect(
    shares({ temperature: 0, bias: new Map([[1, 50]]) }, Uint8Array.from([1, 0, 1, 0])),
  ).toEqual({ 0: 1000 });
});

it('names the most likely tokens', () => {
  const top = topTokens(logits, 3);
  expect(top.map(({ id }) => id)).toEqual([1, 3, 0]);
  expect(Math.exp(top[0].logProbability)).toBeCloseTo(0.4, 12);
  expect(topTokens([1, 1, 1], 2).map(({ id }) => id)).toEqual([0, 1]);
});
