import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { createTask, evaluationProblems } from '../tasks/index.js';
import { createCharacterTokenizer } from '../tokenizers/character.js';
import { type ChatMessage, createChatTemplate } from '../tokenizers/chat-template.js';
import { openTokenizer } from '../tokenizers/hugging-face.js';
import { messagesOf, plainText, promptedThinking, promptTokens } from '../tokenizers/prompting.js';
import { encodePrompt } from '../training/stage.js';
import { bodyOf } from './questions.js';

const files = JSON.parse(
  readFileSync(new URL('../../test/fixtures/tokenizers/qwen.json', import.meta.url), 'utf8'),
);
/** Thinks unless it is told not to, as Qwen3 does; ends in an open `<think>` when it does. */
const TEMPLATE =
  '{% for m in messages %}<|im_start|>{{ m.role }}\r\n{{ m.content }}<|im_end|>\r\n{% endfor %}' +
  '<|im_start|>assistant\r\n{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% else %}<think>\n{% endif %}';
const tokenizer = openTokenizer({
  tokenizerJson: files.tokenizer,
  tokenizerConfig: files.tokenizerConfig,
  chatTemplate: TEMPLATE,
});
const write = createChatTemplate(TEMPLATE, {});

describe('the words around a problem', () => {
  const words = {
    name: 'sums',
    format: 'boxed',
    prompting: { system: 'Be brief.', instruction: 'Box it: {problem}', examples: 2 },
  };
  const task = createTask(words);
  const [problem] = evaluationProblems(task, 1, 1);

  it('are the same for a model here and for an endpoint', () => {
    const asked = { api: 'chat' as const, model: 'm', maxTokens: 9 };
    const { messages } = bodyOf(asked, problem, 1, 1) as { messages: ChatMessage[] };
    expect(messages.map(({ role }) => role)).toEqual([
      'system',
      'user',
      'assistant',
      'user',
      'assistant',
      'user',
    ]);
    expect(messages.at(-1)?.content).toBe(`Box it: ${problem.prompt}`);
    expect(messages[2].content).toContain('\\boxed{');
    expect(encodePrompt(tokenizer, problem)).toEqual(tokenizer.encode(write(messages)));
    const bare = createTask({ ...words, prompting: { ...words.prompting, template: 'none' } });
    const [plain] = evaluationProblems(bare, 1, 1);
    const { prompt } = bodyOf(asked, plain, 1, 1);
    expect(encodePrompt(tokenizer, plain)).toEqual(tokenizer.encode(prompt as string));
    expect(prompt).not.toContain('<|im_start|>');
  });

  it('go with the problems of a mix, and count among its characters and lengths', () => {
    const mix = createTask({ name: 'mix', tasks: [words, { name: 'countdown' }] });
    const drawn = evaluationProblems(mix, 1, 20);
    const said = drawn.filter(({ prompting }) => prompting !== undefined);
    expect(said.length).toBeGreaterThan(0);
    expect(said.length).toBeLessThan(drawn.length);
    for (const one of said) expect(one.prompting?.system).toBe('Be brief.');
    const character = createCharacterTokenizer(mix.alphabet);
    for (const one of drawn)
      expect(encodePrompt(character, one).length).toBeLessThan(mix.maxPromptLength);
  });

  it('switch the thinking of a template', () => {
    const [on, off] = ['on', 'off'].map(
      (thinking) => evaluationProblems(createTask({ name: 'sums', thinking }), 1, 1)[0],
    );
    expect(tokenizer.decode(encodePrompt(tokenizer, on))).toMatch(/<think>\n$/);
    expect(tokenizer.decode(encodePrompt(tokenizer, off))).toMatch(/<think>\n\n<\/think>\n\n$/);
    expect(promptedThinking(tokenizer, on.prompt, on.prompting ?? {})).toBe(true);
    expect(promptedThinking(tokenizer, off.prompt, off.prompting ?? {})).toBe(false);
    expect(bodyOf({ api: 'chat', model: 'm', maxTokens: null }, off, 1, 1)).toMatchObject({
      chat_template_kwargs: { enable_thinking: false, thinking: false },
    });
  });

  it('are those of R1-Zero by name', () => {
    const text = plainText('1+1=', { template: 'r1-zero' });
    expect(text).toMatch(/^A conversation between User and Assistant\./);
    expect(text).toMatch(/ User: 1\+1=\. Assistant:$/);
    const prompting = { template: 'r1-zero' as const };
    expect(promptTokens(tokenizer, '1+1=', prompting)).toEqual(tokenizer.encode(text));
  });

  it('are text, not patterns', () => {
    const [message] = messagesOf('$& $1 {problem}', { instruction: '<{problem}|{problem}>' });
    expect(message.content).toBe('<$& $1 {problem}|$& $1 {problem}>');
  });

  it.each([
    [{ prompting: { sytem: 'x' } }, 'prompting'],
    [{ prompting: { template: 'chatml' } }, 'prompting.template'],
    [{ prompting: { examples: 65 } }, 'prompting.examples'],
    [{ prompting: 'x' }, 'prompting'],
    [{ thinking: 'yes' }, 'thinking'],
  ])('refuse %j by name', (more, field) => {
    expect(() => createTask({ name: 'sums', ...more })).toThrow(field);
  });
});

describe('a template is given what transformers gives it', () => {
  const write = (source: string): string =>
    createChatTemplate(source, {})([{ role: 'user', content: 'a' }]);

  it.each([
    ['{% if tools is not none %}tools{% endif %}-', '-'],
    ['{{ tools is defined }}', 'true'],
    ['{% if tools %}tools{% endif %}-', '-'],
    ['{% if enable_thinking is defined %}x{% endif %}-', '-'],
    ['a\r\nb\r\n', 'a\nb'],
    ['a\r\n\r\n', 'a\n'],
  ])('%j', (source, text) => {
    expect(write(source).toLowerCase()).toBe(text);
  });

  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('the date by strftime_now, which SOURCE_DATE_EPOCH fixes', () => {
    vi.stubEnv('SOURCE_DATE_EPOCH', String(Date.UTC(2026, 2, 5, 13, 4, 9) / 1000));
    const llama =
      "{% if strftime_now is defined %}{% set day = strftime_now('%d %b %Y') %}{% else %}{% set day = '26 Jul 2024' %}{% endif %}{{ day }}";
    expect(write(llama)).toBe('05 Mar 2026');
    expect(write("{{ strftime_now('%Y-%m-%d %H:%M:%S %A %a %B %y %j %I %p %% %Q') }}")).toBe(
      '2026-03-05 13:04:09 Thursday Thu March 26 064 01 PM % %Q',
    );
  });
});
