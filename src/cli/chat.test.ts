import { describe, expect, it } from 'vitest';
import { partsOf } from '../tasks/thinking.js';
import { createTranscript } from './chat.js';
import { PLAIN, styleFor } from './output.js';

describe('partsOf', () => {
  it('finds thinking and answer', () => {
    expect(partsOf('<think>1+2=3</think><answer>3</answer>')).toEqual({
      thinking: '1+2=3',
      answer: '3',
    });
    expect(partsOf('<think></think><answer></answer>')).toEqual({ thinking: '', answer: '' });
  });
  it('says null where there is none, and ends a part at the next tag', () => {
    expect(partsOf('3')).toEqual({ thinking: null, answer: null });
    expect(partsOf('<think>1+2')).toEqual({ thinking: '1+2', answer: null });
    expect(partsOf('<answer>-</think><answer>4</answer>')).toEqual({ thinking: null, answer: '-' });
  });
});

describe('the transcript', () => {
  /** What is written when the text arrives in pieces of `size` characters. */
  const written = (text: string, size: number, style = PLAIN): string => {
    let out = '';
    const transcript = createTranscript((part) => {
      out += part;
    }, style);
    for (let end = size; end < text.length + size; end += size) transcript.show(text.slice(0, end));
    transcript.end();
    return out;
  };

  it('sets the thinking apart, however the text arrives', () => {
    const text = '<think>12+7=19\n19-5=14</think><answer>14</answer>';
    for (const size of [1, 2, 5, 100])
      expect(written(text, size)).toBe('│ 12+7=19\n│ 19-5=14\n14\n');
  });

  it('shows a smaller-than sign that is no tag', () => {
    for (const size of [1, 3, 50])
      expect(written('<think>1<2</think>a<b', size)).toBe('│ 1<2\na<b\n');
  });

  it('shows what a model writes as text, and never as commands to the terminal', () => {
    const text = '<think>\x1b[2J\r\na\rb\x9bm</think><answer>\x1b]8;;x\x07\u202e</answer>';
    for (const size of [1, 3, 100])
      expect(written(text, size)).toBe('│ ␛[2J\n│ a␍b\ufffdm\n␛]8;;x␇\ufffd\n');
  });

  it('dims the thinking and makes the answer bold', () => {
    const style = styleFor({}, { FORCE_COLOR: '1' });
    expect(written('<think>a</think><answer>b</answer>', 100, style)).toBe(
      '\x1b[2m│ \x1b[22m\x1b[2ma\x1b[22m\n\x1b[1mb\x1b[22m\n',
    );
  });
});
