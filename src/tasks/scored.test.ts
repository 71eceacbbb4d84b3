/** @file A reward that stands in the recipe. */
import { describe, expect, it } from 'vitest';
import { createTask, evaluationProblems } from './index.js';

const of = (reward: string) =>
  createTask({ name: 'scored', task: { name: 'sums', maximum: 9 }, reward });

describe('scored', () => {
  it('gives what the function gives, and the problems of the task', async () => {
    const task = of(
      '({ correct, answer, thinking }) => (correct ? 1 : 0) + (answer === "7" ? 0.25 : 0) + thinking.length / 100',
    );
    const [problem] = evaluationProblems(task, 1, 1);
    const sums = createTask({ name: 'sums', maximum: 9 });
    expect(problem).toEqual(evaluationProblems(sums, 1, 1)[0]);
    const gold = sums.gold(problem) as string;
    const thinking = gold.indexOf('</think>') - '<think>'.length;
    expect(await task.verify(problem, gold)).toMatchObject({
      reward: 1 + thinking / 100,
      correct: true,
      wellFormed: true,
    });
    expect(await task.verify(problem, '<think>x</think><answer>7</answer>')).toMatchObject({
      reward: 0.26,
      correct: false,
    });
  });

  it('takes many completions at once, each with its own verdict', async () => {
    const task = of('({ completion }) => completion.length');
    const [problem] = evaluationProblems(task, 1, 1);
    const texts = Array.from({ length: 40 }, (_, i) => 'x'.repeat(i));
    const verdicts = await Promise.all(texts.map((text) => task.verify(problem, text)));
    expect(verdicts.map(({ reward }) => reward)).toEqual(texts.map((_, i) => i));
  });

  it('is refused before training where it cannot be read, and not executed for that', () => {
    for (const code of ['1 +', '({ reward }) =>', 'x => { return x', '() => 1; () => 2'])
      expect(() => of(code), code).toThrow(/^task scored: reward: /);
    expect(() => of('(() => { throw new Error("ran"); })()')).not.toThrow();
  });

  it('scores 0 with a reason for what is no function, throws, loops, reaches out or gives no number', async () => {
    const [problem] = evaluationProblems(of('() => 0'), 1, 1);
    const said = async (code: string) => of(code).verify(problem, 'x');
    expect(await said('12')).toMatchObject({
      reward: 0,
      reason: 'the reward is no function',
      failed: true,
    });
    expect(await said('() => { throw new Error("no") }')).toMatchObject({
      reward: 0,
      reason: expect.stringContaining('no'),
    });
    expect(await said('() => { for (;;); }')).toMatchObject({ reward: 0, correct: false });
    expect(await said('() => fetch("x")')).toMatchObject({
      reward: 0,
      reason: expect.stringContaining('fetch'),
    });
    expect(await said('() => "much"')).toMatchObject({
      reward: 0,
      reason: expect.stringContaining('not a number'),
    });
  });
});
