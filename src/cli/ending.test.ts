import { describe, expect, it } from 'vitest';
import type { RunEvent } from '../usage/events.js';
import { beforeAndAfter, evaluationLines, evaluationsOf, nextLines } from './ending.js';

const evaluation = (stage: string, pass1: number, attempt = 0): RunEvent => ({
  type: 'evaluation',
  attempt,
  step: 7,
  time: '2026-01-01T00:00:00.000Z',
  stage,
  task: 'sums',
  label: stage,
  results: { pass1, greedy: 0.978, length: 12.64, problems: 1000 },
});
const sample = (stage: string, prompt: string, correct: boolean, tokens = 9) => ({
  stage,
  prompt,
  correct,
  tokens,
  completion: `<think>${stage}\n</think>`,
  reason: correct ? 'equals 3' : 'answers "4", not 3',
});

describe('the ending of a run', () => {
  it('takes the last result of a stage that was evaluated again after a resume', () => {
    const found = evaluationsOf([
      evaluation('before', 0.4),
      evaluation('before', 0.5, 1),
      evaluation('after', 0.9, 1),
    ]);
    expect(found.map(({ stage, results }) => [stage, results.pass1])).toEqual([
      ['before', 0.5],
      ['after', 0.9],
    ]);
  });

  it('puts sampled and greedy accuracy side by side', () => {
    expect(
      evaluationLines(evaluationsOf([evaluation('before', 0.4805), evaluation('after', 0.962)])),
    ).toEqual([
      'before  48.0% (95%: 45.0–51.1%) sampled,  97.8% greedy, 12.6 tokens; 1000 unseen problems',
      'after   96.2% (95%: 94.8–97.2%) sampled,  97.8% greedy, 12.6 tokens; 1000 unseen problems',
    ]);
  });

  it('shows a problem that was wrong before and is right now, the one with the longest answer', () => {
    const evaluations = evaluationsOf([evaluation('before', 0.5), evaluation('after', 0.9)]);
    const samples = [
      sample('before', '1+1=', true),
      sample('before', '1+3=', false),
      sample('before', '1+2=', false),
      sample('after', '1+1=', true, 30),
      sample('after', '1+3=', true, 8),
      sample('after', '1+2=', true),
    ];
    expect(beforeAndAfter(evaluations, samples)).toEqual([
      'An unseen problem  1+2=',
      '  before (wrong: answers "4", not 3)',
      '    <think>before',
      '    </think>',
      '  after (right: equals 3)',
      '    <think>after',
      '    </think>',
    ]);
    expect(beforeAndAfter(evaluations.slice(0, 1), samples)).toEqual([]);
  });

  it('ends with what to type next', () => {
    const name = '2026-01-01-r1-mini-0000';
    const run = { name, root: `runs/${name}`, model: `runs/${name}/model` };
    expect(nextLines({ reason: 'completed', step: 9, run })).toEqual([
      `The model:      runs/${name}/model`,
      `Talk to it:     npx reckoner chat ${name}`,
      `The whole bill: npx reckoner bill ${name}`,
    ]);
    expect(nextLines({ reason: 'max-usd', step: 9, run })).toEqual([
      'Stopped at step 9: reached --max-usd.',
      `Go on:          npx reckoner train --resume ${name}`,
      `The whole bill: npx reckoner bill ${name}`,
    ]);
    expect(nextLines({ reason: 'diverged', step: 9, run })).toEqual([
      `The whole bill: npx reckoner bill ${name}`,
    ]);
  });

  it('calls a run elsewhere by its path', () => {
    const run = { name: 'r', root: '/tmp/x/r', model: '/tmp/x/r/model' };
    expect(nextLines({ reason: 'interrupted', step: 9, run })[1]).toBe(
      'Go on:          npx reckoner train --resume /tmp/x/r',
    );
  });
});
