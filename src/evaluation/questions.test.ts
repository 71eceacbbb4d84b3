import { describe, expect, it } from 'vitest';
import { adapt, bodyOf, completionOf, readAnswer } from './questions.js';

describe('completionOf', () => {
  it.each([
    [
      'the form itself',
      '<think>a</think><answer>4</answer>',
      null,
      '<think>a</think><answer>4</answer>',
    ],
    [
      'what the instruction asks for',
      'Two and two.\n<answer>4</answer>',
      null,
      '<think>Two and two.</think><answer>4</answer>',
    ],
    [
      'thinking apart',
      'So <answer> 4 </answer>',
      'Hm.',
      '<think>Hm.\nSo</think><answer>4</answer>',
    ],
    [
      'the last answer counts',
      '<answer>3</answer> no: <answer>4</answer>',
      null,
      '<think>3 no:</think><answer>4</answer>',
    ],
    [
      'a boxed answer',
      'It is \\boxed{\\frac{1}{2}}.',
      null,
      '<think>It is \\boxed{\\frac{1}{2}}.</think><answer>\\frac{1}{2}</answer>',
    ],
    ['tags that the server took apart', '4', '2+2', '<think>2+2</think><answer>4</answer>'],
    ['thinking that did not end', '', '2+2', '<think>2+2'],
    ['no answer at all', 'It is 4.', null, 'It is 4.'],
    [
      'tags in the thinking',
      '<answer>4</answer>',
      'a </think> b',
      '<think>a  b</think><answer>4</answer>',
    ],
    ['an answer that does not end', '<answer>4', null, '<answer>4'],
    ['a box that does not close', '\\boxed{4', null, '\\boxed{4'],
  ])('%s', (_what, content, reasoning, expected) =>
    expect(completionOf(content, reasoning)).toBe(expected),
  );
});

it('readAnswer takes usage as OpenAI, DeepSeek and reckoner serve write it', () => {
  const message = { role: 'assistant', content: '<answer>4</answer>' };
  const choices = [{ index: 0, message, finish_reason: 'stop' }];
  const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
  expect(readAnswer({ choices, usage }, 'chat')).toEqual({
    completion: '<think></think><answer>4</answer>',
    stop: 'eos',
    promptTokens: 10,
    cachedTokens: 0,
    completionTokens: 5,
    usd: null,
  });
  expect(
    readAnswer(
      { choices, usage: { ...usage, prompt_tokens_details: { cached_tokens: 8 } } },
      'chat',
    )?.cachedTokens,
  ).toBe(8);
  expect(
    readAnswer({ choices, usage: { ...usage, prompt_cache_hit_tokens: 6 } }, 'chat')?.cachedTokens,
  ).toBe(6);
  expect(readAnswer({ choices, usage: { ...usage, cost_usd: 0.01 } }, 'chat')?.usd).toBe(0.01);
  expect(readAnswer({ choices }, 'chat')).toMatchObject({
    promptTokens: null,
    completionTokens: null,
  });
  expect(
    readAnswer({ choices: [{ text: 'x', finish_reason: 'length' }] }, 'completions'),
  ).toMatchObject({
    completion: 'x',
    stop: 'length',
  });
  for (const wrong of [
    null,
    {},
    { choices: [] },
    { choices: [{}] },
    { choices: [{ text: 4 }] },
    'x',
  ]) {
    expect(readAnswer(wrong, 'chat')).toBeNull();
  }
});

it('a body has what was asked, and is adapted to what a server refuses', () => {
  const asked = { api: 'chat' as const, model: 'm', instruction: 'Solve.', maxTokens: 9 };
  const body = bodyOf(asked, '1+1=', 0.6, 7);
  expect(body).toEqual({
    model: 'm',
    temperature: 0.6,
    seed: 7,
    max_tokens: 9,
    messages: [
      { role: 'system', content: 'Solve.' },
      { role: 'user', content: '1+1=' },
    ],
  });
  const renamed = adapt(
    body,
    "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
  );
  expect(renamed).toMatchObject({ max_completion_tokens: 9, seed: 7 });
  expect(renamed).not.toHaveProperty('max_tokens');
  expect(adapt(body, 'unknown field `seed`')).not.toHaveProperty('seed');
  expect(adapt(body, 'the prompt is too long')).toBeNull();
  expect(bodyOf({ ...asked, api: 'completions', maxTokens: null }, '1+1=', 1, 7)).toEqual({
    model: 'm',
    temperature: 1,
    seed: 7,
    prompt: '1+1=',
  });
});
