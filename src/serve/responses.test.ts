import { expect, it } from 'vitest';
import { Choice } from './responses.js';

const messageOf = (...tokens: string[]): Record<string, unknown> => {
  const choice = new Choice(0, 'chat', false);
  for (const token of tokens) choice.add(token, 1, []);
  choice.end('stop');
  return (choice.whole() as { message: Record<string, unknown> }).message;
};

it('gives thinking apart, also where it is empty', () => {
  expect(messageOf('<think>', '2+2', '</think>', '<answer>', '4', '</answer>')).toMatchObject({
    content: '4',
    reasoning_content: '2+2',
  });
  expect(messageOf('<think>', '</think>', '<answer>', '4', '</answer>')).toMatchObject({
    content: '4',
    reasoning_content: '',
  });
  expect(messageOf('4')).not.toHaveProperty('reasoning_content');
});
