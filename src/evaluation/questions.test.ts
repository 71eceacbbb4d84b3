import { describe, expect, it } from 'vitest';
import { createTask, evaluationProblems, judge } from '../tasks/index.js';
import { adapt, bodyOf, completionOf, readAnswer } from './questions.js';

describe('an answer of an endpoint', () => {
  const task = createTask({ name: 'sums', terms: [2, 2], maximum: 3 });
  const [problem] = evaluationProblems(task, 1, 1);
  const truth = /<answer>(.*)<\/answer>/.exec(task.gold(problem) as string)?.[1] as string;

  it.each([
    ['the form itself', '<think>a</think><answer>4</answer>', null, true],
    ['what the instruction asks for', 'Two and two.\n<answer>4</answer>', null, true],
    ['thinking apart', 'So <answer> 4 </answer>', 'Hm.', true],
    ['two answers', '<answer>77</answer> no: <answer>4</answer>', null, false],
    ['a boxed answer', 'It is \\boxed{4}.', null, true],
    ['tags that the server took apart', '4', '2+2', true],
    ['thinking that did not end', '', '2+2=4', false],
    ['a box in the thinking', '<think>\\boxed{4}</think>I do not know.', null, false],
    ['thinking that the prompt opened', '2+2</think>\n\n<answer>4</answer>', null, true],
    ['tags in the thinking', '<answer>4</answer>', 'a </think> b', true],
    ['text after the answer', '<answer>4</answer>\nThanks!', null, true],
    ['no answer at all', 'I do not know.', null, false],
    ['an answer that does not end', '<answer>5', null, false],
  ])('%s', async (_what, content, reasoning, right) => {
    const text = completionOf(content.replaceAll('4', truth), reasoning?.replaceAll('4', truth));
    expect((await judge(task, problem, text)).verdict.correct).toBe(right);
  });

  it('may come in parts, and an answer without choices is none', () => {
    const parts = [
      { type: 'text', text: '<answer>' },
      { type: 'text', text: '4</answer>' },
    ];
    const message = { role: 'assistant', content: parts };
    expect(readAnswer({ choices: [{ message }] }, 'chat')?.completion).toBe('<answer>4</answer>');
    expect(readAnswer({ choices: [] }, 'chat')).toBeNull();
  });
});

it('readAnswer takes usage as OpenAI, DeepSeek and reckoner serve write it', () => {
  const message = { role: 'assistant', content: '<answer>4</answer>' };
  const choices = [{ index: 0, message, finish_reason: 'stop' }];
  const usage = { prompt_tokens: 10, completion_tokens: 5, total_tokens: 15 };
  expect(readAnswer({ choices, usage }, 'chat')).toEqual({
    completion: '<answer>4</answer>',
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
  const asked = { api: 'chat' as const, model: 'm', maxTokens: 9 };
  const problem = { prompt: '1+1=' };
  const body = bodyOf(asked, { ...problem, prompting: { system: 'Solve.' } }, 0.6, 7);
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
  expect(bodyOf({ ...asked, api: 'completions', maxTokens: null }, problem, 1, 7)).toEqual({
    model: 'm',
    temperature: 1,
    seed: 7,
    prompt: '1+1=',
  });
});
