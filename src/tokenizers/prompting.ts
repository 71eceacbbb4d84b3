/**
 * @file Prompting: the words around a problem (system message, instruction, few-shot examples), and
 * how they are written: by the model's chat template, with its thinking on or off, by R1-Zero's
 * template, or as plain text.
 *
 * One function makes the messages. A model here reads them by its template, and an endpoint is sent
 * them, so both are asked in the same words.
 */
import type { ChatMessage, TemplateSwitches } from './chat-template.js';
import { endsInThinking, tokensOpenThinking } from './opening.js';
import { plainPrompt, type Tokenizer } from './tokenizer.js';

export const TEMPLATES = ['model', 'none', 'r1-zero'] as const;
export type TemplateName = (typeof TEMPLATES)[number];

export interface Example {
  readonly prompt: string;
  readonly completion: string;
}

export interface Prompting {
  readonly system?: string;
  /** Stands after the problem, or around it where it holds `{problem}`. */
  readonly instruction?: string;
  /** Solved problems before the one that is asked. */
  readonly examples?: readonly Example[];
  /** Default `model`: the chat template, where the model has one. */
  readonly template?: TemplateName;
  /** The template's switch; without it, what the template does by itself. */
  readonly thinking?: boolean;
}

const PROBLEM = '{problem}';

/** DeepSeek-AI 2025, DeepSeek-R1, arXiv:2501.12948, table 1. */
export const R1_ZERO =
  'A conversation between User and Assistant. The User asks a question, and the Assistant solves ' +
  'it. The Assistant first thinks about the reasoning process in the mind and then provides the ' +
  'User with the answer. The reasoning process and answer are enclosed within <think> </think> and ' +
  '<answer> </answer> tags, respectively, i.e., <think> reasoning process here </think> <answer> ' +
  'answer here </answer>. User: {problem}. Assistant:';

/** A problem with the instruction around it. */
export function instructed(text: string, instruction: string | undefined): string {
  if (instruction === undefined || instruction === '') return text;
  if (instruction.includes(PROBLEM)) return instruction.split(PROBLEM).join(text.trim());
  return `${text.trimEnd()}\n${instruction}`;
}

/** The conversation that asks a problem. */
export function messagesOf(text: string, prompting: Prompting = {}): ChatMessage[] {
  const { system, instruction, examples = [] } = prompting;
  const user = (content: string): ChatMessage => ({
    role: 'user',
    content: instructed(content, instruction),
  });
  return [
    ...(system === undefined || system === ''
      ? []
      : [{ role: 'system' as const, content: system }]),
    ...examples.flatMap(({ prompt, completion }): ChatMessage[] => [
      user(prompt),
      { role: 'assistant', content: completion },
    ]),
    user(text),
  ];
}

/** The same words without a chat template. */
export function plainText(text: string, prompting: Prompting = {}): string {
  const { system, instruction, examples = [], template } = prompting;
  const asked = (problem: string): string => {
    const content = instructed(problem, instruction);
    return template === 'r1-zero'
      ? R1_ZERO.split(PROBLEM).join(content.trim().replace(/\.$/, ''))
      : content;
  };
  const shown = examples.map(({ prompt, completion }) => {
    const before = asked(prompt);
    const gap = template === 'r1-zero' ? ' ' : /\s$/.test(before) || instruction ? '\n' : '';
    return `${before.trimEnd()}${gap}${completion}`;
  });
  return [...(system ? [system] : []), ...shown, asked(text)].join('\n\n');
}

/** Whether the words go through the chat template of a model that has one. */
export const byTemplate = ({ template = 'model' }: Prompting): boolean => template === 'model';

export const switchesOf = ({ thinking }: Prompting): TemplateSwitches | undefined =>
  thinking === undefined ? undefined : { thinking };

/** Token ids of a prompt, up to where the completion starts. */
export function promptTokens(
  tokenizer: Tokenizer,
  text: string,
  prompting: Prompting | undefined,
): number[] {
  if (prompting === undefined) return tokenizer.prompt(text);
  if (tokenizer.chat === null || !byTemplate(prompting))
    return plainPrompt(tokenizer.special, tokenizer.encode(plainText(text, prompting)));
  return tokenizer.chat(messagesOf(text, prompting), switchesOf(prompting));
}

const open = new WeakMap<Prompting, WeakMap<Tokenizer, boolean>>();

/** Whether a completion begins inside its thinking. */
export function promptedThinking(
  tokenizer: Tokenizer,
  text: string,
  prompting: Prompting,
): boolean {
  if (tokenizer.chat === null || !byTemplate(prompting))
    return endsInThinking(plainText(text, prompting));
  let known = open.get(prompting);
  if (known === undefined) {
    known = new WeakMap();
    open.set(prompting, known);
  }
  let opens = known.get(tokenizer);
  if (opens === undefined) {
    opens = tokensOpenThinking(tokenizer, promptTokens(tokenizer, '', prompting));
    known.set(tokenizer, opens);
  }
  return opens || endsInThinking(instructed(text, prompting.instruction));
}
