import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { createChatTemplate } from '../tokenizers/chat-template.js';
import { endsInThinking } from '../tokenizers/opening.js';
import { createTask, evaluationProblems, judge } from './index.js';
import { PartReader, type Piece, splitThinking, withOpening } from './thinking.js';

/** What comes out, by part, when a text is fed in pieces of `size`. */
function split(text: string, size: number, opened = false): Record<Piece['part'], string> {
  const reader = new PartReader(opened);
  const pieces: Piece[] = [];
  for (let i = 0; i < text.length; i += size) pieces.push(...reader.push(text.slice(i, i + size)));
  pieces.push(...reader.end());
  const out = { thinking: '', text: '', answer: '' };
  for (const { part, text: piece } of pieces) out[part] += piece;
  return out;
}

it.each([1, 2, 3, 7, 100])('thinking and answer come apart, in pieces of %i', (size) => {
  expect(split('<think>9+4=13</think><answer>8</answer>', size)).toEqual({
    thinking: '9+4=13',
    text: '',
    answer: '8',
  });
  expect(split('1<2 and <thin ice', size).text).toBe('1<2 and <thin ice');
  expect(split('<think>cut <', size)).toEqual({ thinking: 'cut <', text: '', answer: '' });
  expect(split('9+4</think>\n13', size, true)).toEqual({
    thinking: '9+4',
    text: '\n13',
    answer: '',
  });
});

it.each([
  ['<think>a<b</think>\\boxed{5}', false],
  ['a</think>5', true],
  ['so <think>a</think> 5', false],
  ['<think>never ends', false],
  ['no thinking', false],
  ['', false],
])('a text that is whole has the thinking that it has in pieces: %j', (text, opened) => {
  const whole = splitThinking(text);
  const { thinking, text: said, answer } = split(text, 3, opened);
  expect(whole.thinking).toBe(thinking);
  expect(whole.content ?? '').toBe(said + answer);
});

it('a template that ends in <think> opens the thinking: graded and streamed as such', async () => {
  const file = new URL('../../test/fixtures/models/template-opens-think.jinja', import.meta.url);
  const render = createChatTemplate(readFileSync(file, 'utf8'), {});
  const opened = endsInThinking(render([{ role: 'user', content: '2+3=' }]));
  expect(opened).toBe(true);
  const task = createTask({ name: 'sums', maximum: 5, terms: [2, 2] });
  const [problem] = evaluationProblems(task, 1, 1);
  const gold = task.gold(problem) as string;
  const written = gold.replace('<think>', '');
  const { verdict, answer } = await judge(task, problem, withOpening(written, opened));
  expect(verdict).toMatchObject({ reward: 1, correct: true, wellFormed: true });
  expect(split(written, 2, opened)).toMatchObject({ text: '', answer });
  expect(split(written, 2, opened).thinking).not.toBe('');
});
