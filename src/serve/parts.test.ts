import { expect, it } from 'vitest';
import { StopFinder, TextStream } from '../inference/text-stream.js';
import { PartSplitter, type Piece } from './parts.js';

/** What comes out, by part, when a text is fed in pieces of `size`. */
function split(text: string, size: number, raw = false): Record<string, string> {
  const splitter = new PartSplitter(raw);
  const pieces: Piece[] = [];
  for (let i = 0; i < text.length; i += size)
    pieces.push(...splitter.push(text.slice(i, i + size)));
  pieces.push(...splitter.end());
  const out = { reasoning: '', content: '' };
  for (const { part, text: piece } of pieces) out[part] += piece;
  return out;
}

it.each([1, 2, 3, 7, 100])('reasoning and answer come apart, in pieces of %i', (size) => {
  expect(split('<think>9+4=13</think><answer>8</answer>', size)).toEqual({
    reasoning: '9+4=13',
    content: '8',
  });
  expect(split('1<2 and <thin ice', size)).toEqual({ reasoning: '', content: '1<2 and <thin ice' });
  expect(split('<think>cut <', size)).toEqual({ reasoning: 'cut <', content: '' });
  expect(split('{"a":"<think>"}', size, true)).toEqual({
    reasoning: '',
    content: '{"a":"<think>"}',
  });
});

it.each([1, 2, 5, 100])('text ends before the first stop string, in pieces of %i', (size) => {
  const run = (text: string, stops: string[]): string => {
    const finder = new StopFinder(stops);
    let out = '';
    for (let i = 0; i < text.length; i += size) {
      const { text: shown, stopped } = finder.push(text.slice(i, i + size));
      out += shown;
      if (stopped) return `${out}|`;
    }
    return out + finder.end();
  };
  expect(run('abcabd!', ['abd'])).toBe('abc|');
  expect(run('one two three', ['three', 'two'])).toBe('one |');
  expect(run('ends with ab', ['abc'])).toBe('ends with ab');
  expect(run('aaab', ['aab'])).toBe('a|');
});

it('characters come whole, and spaces that belong to the next token are kept', () => {
  // Bytes of "é", and a decoder that drops a leading space, as SentencePiece's does.
  const bytes = [[0xc3], [0xa9], [0x20, 0x61], [0x20, 0x62]];
  const decode = (ids: readonly number[]): string =>
    Buffer.from(ids.flatMap((id) => bytes[id]))
      .toString('utf8')
      .replace(/^ /, '');
  const stream = new TextStream({ decode });
  expect([0, 1, 2, 3].map((id) => stream.push(id))).toEqual(['', 'é', ' a', ' b']);
});
