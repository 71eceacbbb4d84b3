import { describe, expect, it } from 'vitest';
import { createLengthLimit, isConsistent, overlongPenalty } from './shaping.js';

describe('soft overlong punishment', () => {
  const spec = { cacheTokens: 4, weight: 2 };
  it.each([
    [10, false, 0],
    [16, false, 0],
    [17, false, 0.5],
    [19, false, 1.5],
    // The limit itself was enough: it ended there.
    [20, false, 2],
    [20, true, 2],
  ])('%d of 20 tokens, cut off %s: %d', (length, cutOff, penalty) => {
    expect(overlongPenalty(spec, length, cutOff, 20)).toBe(penalty);
  });
});

describe('thinking agrees with its answer', () => {
  const of = (thinking: string, answer: string): string =>
    `<think>${thinking}</think><answer>${answer}</answer>`;
  it.each([
    ['6+7=13\n13-8=5', '5', true],
    ['6+7=13\n13-8=5\n', ' 5 ', true],
    // On the last line, but not its result.
    ['6+7=13\n13-8=5', '8', false],
    ['6+7=13\n13-8=5', '13', false],
    ['1+4=15', '5', false],
    ['1-6=-5', '5', false],
    ['1-6=-5', '-5', true],
    ['so it is x.', 'x', true],
    ['so it is xy', 'x', false],
    ['4*4=16:22\n5*3=15,15+7=22:22!', '(5*3)+7', true],
    ['5*3=15,15+7=22:22!', '(5*3)+6', false],
    ['', '5', false],
    ['5', '', false],
  ])('%j and %j: %s', (thinking, answer, expected) => {
    expect(isConsistent(of(thinking, answer))).toBe(expected);
  });
  it('is false for what has not the form', () => {
    expect(isConsistent('<think>5</think>5')).toBe(false);
  });
});

describe('a limit on lengths that changes by step', () => {
  it('holds from its step on', () => {
    const limit = createLengthLimit(
      [
        { fromStep: 1, maxTokens: 8 },
        { fromStep: 10, maxTokens: 16 },
      ],
      16,
    );
    expect([1, 9, 10, 99].map(limit)).toEqual([8, 8, 16, 16]);
    expect(createLengthLimit([{ fromStep: 5, maxTokens: 4 }], 16)(4)).toBe(16);
    expect(createLengthLimit(undefined, 7)(3)).toBe(7);
  });
  it('refuses steps out of order and limits above the stage’s', () => {
    const at = (fromStep: number, maxTokens: number) => ({ fromStep, maxTokens });
    expect(() => createLengthLimit([at(5, 4), at(5, 8)], 16)).toThrow(/fromStep 5 must be above 5/);
    expect(() => createLengthLimit([at(1, 32)], 16)).toThrow(/maxTokens 32 must be at most .* 16/);
  });
});
