import { expect, it } from 'vitest';
import { StopFinder, TextStream } from './text-stream.js';

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
