/**
 * @file Many clients at once: every stream has the text that its own prompt and seed give alone.
 */
import { afterAll, beforeAll, expect, it } from 'vitest';
import { NAME, type Serving, serve } from './serving.js';

let serving: Serving;
beforeAll(async () => {
  serving = await serve({ capacity: 16, queue: 1000, usageFile: null });
}, 60_000);
afterAll(() => serving.stop(), 60_000);

const CLIENTS = 60;
const PROMPTS = 20;
const promptOf = (i: number): string =>
  `${(i * 7919) % 1000} is ${'what '.repeat(1 + (i % 6))}${i}?`;

async function streamed(i: number): Promise<string> {
  const response = await fetch(`${serving.url}/v1/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      model: NAME,
      prompt: promptOf(i),
      seed: i,
      max_tokens: 30,
      stream: true,
    }),
  });
  expect(response.status).toBe(200);
  let text = '';
  let ended = false;
  for (const line of (await response.text()).split('\n\n')) {
    if (line === 'data: [DONE]') ended = true;
    else if (line !== '') text += JSON.parse(line.slice('data: '.length)).choices[0].text;
  }
  expect(ended).toBe(true);
  return text;
}

it('no stream is lost, or mixed with another', async () => {
  const alone: string[] = [];
  for (let i = 0; i < PROMPTS; i++) alone.push(await streamed(i));
  expect(new Set(alone).size).toBe(PROMPTS);
  const together = await Promise.all(
    Array.from({ length: CLIENTS }, (_, i) => streamed(i % PROMPTS)),
  );
  together.forEach((text, i) => {
    expect(text, `client ${i}`).toBe(alone[i % PROMPTS]);
  });
  expect(serving.service.engine.outstanding).toBe(0);
});
