import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readExampleFile } from './examples.js';
import { openSources, readExamples, type SourceSpec } from './sources.js';
import { lettersTask } from './testing.js';

const folder = mkdtempSync(join(tmpdir(), 'reckoner-sources-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));
const file = (name: string, ...lines: unknown[]): string => {
  const path = join(folder, name);
  writeFileSync(
    path,
    lines.map((line) => (typeof line === 'string' ? line : JSON.stringify(line))).join('\n'),
  );
  return path;
};

describe('a file of examples', () => {
  it('may be of ShareGPT, Alpaca or OpenAI, and have other columns', () => {
    const path = file(
      'forms.jsonl',
      {
        conversations: [
          { from: 'human', value: 'a' },
          { from: 'gpt', value: 'b' },
        ],
      },
      { instruction: 'i', input: 'x', output: 'o' },
      {
        tools: [],
        messages: [
          { role: 'user', content: [{ type: 'text', text: 'q' }] },
          { role: 'assistant', content: null, tool_calls: [{ id: 1 }], weight: 0 },
          { role: 'tool', content: 'r' },
          { role: 'assistant', reasoning_content: 'easy', content: '3' },
        ],
      },
      { prompt: 'p', answer: '2', id: 1, meta: {} },
    );
    const { examples, notes } = readExampleFile(path);
    expect(examples).toEqual([
      { prompt: 'a', completion: 'b', before: [] },
      { prompt: 'i\nx', completion: 'o' },
      {
        prompt: 'r',
        completion: '<think>easy</think>3',
        before: [{ prompt: 'q', completion: '[{"id":1}]' }],
      },
      { prompt: 'p', completion: '<think></think><answer>2</answer>' },
    ]);
    expect(notes).toEqual([`${path}: columns that are not read: id, meta`]);
    const other = file('other.jsonl', { q: '1+1=', a: '2' });
    expect(readExamples(other, { prompt: 'q', completion: 'a' })).toEqual([
      { prompt: '1+1=', completion: '2' },
    ]);
    expect(() => readExamples(other, { prompt: 'b' })).toThrow(
      /line 1: has no column b; it has q, a/,
    );
  });

  it('may begin with a byte-order mark and end its lines as Windows does', () => {
    const path = file('bom.jsonl', '\ufeff{"text": "a"}\r\n{"text": "b"}\r');
    expect(readExamples(path).map(({ completion }) => completion)).toEqual(['a', 'b']);
  });

  it('has text, problems and chats', () => {
    const chat = [
      { role: 'system', content: 's' },
      { role: 'user', content: 'a' },
      { role: 'assistant', content: 'b' },
      { role: 'user', content: 'c' },
      { role: 'assistant', content: 'd' },
    ];
    const path = file(
      'all.jsonl',
      { text: 'abc' },
      '',
      { prompt: 'p', completion: 'q' },
      { prompt: '1+1=', answer: '2' },
      { prompt: '1+1=', answer: '2', thinking: 'hm' },
      { messages: chat },
    );
    expect(readExamples(path)).toEqual([
      { prompt: '', completion: 'abc' },
      { prompt: 'p', completion: 'q' },
      { prompt: '1+1=', completion: '<think></think><answer>2</answer>' },
      { prompt: '1+1=', completion: '<think>hm</think><answer>2</answer>' },
      { prompt: 's\na', completion: 'b', before: [] },
      { prompt: 'c', completion: 'd', before: [{ prompt: 's\na', completion: 'b' }] },
    ]);
  });

  it.each([
    ['no JSON', ['{"text": "a"}', '{text}'], /line 2: is not JSON/],
    ['another object', [{ question: 'a' }], /line 1: must be \{"text"\}/],
    [
      'a chat without an answer',
      [
        {
          messages: [
            { role: 'user', content: 'a' },
            { role: 'user', content: 'b' },
          ],
        },
      ],
      /line 1: messages must end/,
    ],
    ['nothing', [''], /has no rows/],
  ])('is refused with %s', (name, lines, message) => {
    expect(() => readExamples(file(`${name}.jsonl`, ...lines))).toThrow(message);
  });
  it('is refused when it is not there', () =>
    expect(() => readExamples(join(folder, 'none'))).toThrow(/cannot be read/));
});

describe('the sources of a stage', () => {
  const task = lettersTask();
  const context = () => ({ stage: 'stage', task, taskOf: () => task, dataFolder: folder });

  it('goes through a file in epochs, each in another order', () => {
    const data = file(
      'ten.jsonl',
      ...Array.from({ length: 10 }, (_, i) => ({ prompt: String(i), completion: 'x' })),
    );
    const example = openSources(context(), [{ data, weight: 1 }], 7);
    const epoch = (e: number) => Array.from({ length: 10 }, (_, i) => example(10 * e + i).prompt);
    const [first, second] = [epoch(0), epoch(1)];
    expect([...first].sort()).toEqual([...second].sort());
    expect(first).not.toEqual(second);
    expect(epoch(0)).toEqual(first);
  });

  it('mixes by weight, and goes through each source about evenly', () => {
    const data = file(
      'own.jsonl',
      ...Array.from({ length: 25 }, (_, i) => ({ prompt: `f${i}`, completion: 'x' })),
    );
    file('sample.jsonl', { prompt: 'accepted', completion: 'x' });
    const specs: SourceSpec[] = [
      { data, weight: 1 },
      { from: 'sample', weight: 2 },
      { task: {}, weight: 1 },
    ];
    const example = openSources(context(), specs, 7);
    const drawn = Array.from({ length: 400 }, (_, i) => example(i).prompt);
    const ofFile = drawn.filter((prompt) => prompt.startsWith('f'));
    expect(Math.abs(ofFile.length - 100)).toBeLessThan(25);
    expect(Math.abs(drawn.filter((prompt) => prompt === 'accepted').length - 200)).toBeLessThan(30);
    // 100 draws of 25 lines.
    expect(new Set(ofFile).size).toBe(25);
    // Number i is number i, in whatever order one asks.
    expect(example(123).prompt).toBe(drawn[123]);
  });
});
