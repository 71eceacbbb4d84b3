/**
 * @file A problem as an endpoint is asked it, and its answer as a task grades it.
 *
 * The words are those that a model here is asked with (tokenizers/prompting.ts): messages, or, with
 * `--completions` or a template other than the model's own, one text. What comes back is read by the one reader of completions (tasks/formats.ts), as that of
 * a model here: the thinking is what the endpoint gives apart (DeepSeek's `reasoning_content`) or
 * what stands in its tags.
 */
import { z } from 'zod';
import { variablesOf } from '../tokenizers/chat-template.js';
import {
  byTemplate,
  messagesOf,
  type Prompting,
  plainText,
  switchesOf,
} from '../tokenizers/prompting.js';
import type { TranscriptStop } from './transcripts.js';

export interface Asked {
  api: 'chat' | 'completions';
  model: string;
  maxTokens: number | null;
  /** The server is Reckoner's own: it gives the text as its model wrote it, and takes it so. */
  own?: boolean;
}

/** Where a problem is sent: text that no template of the server may touch goes to `/completions`. */
export const apiOf = ({ api }: Pick<Asked, 'api'>, prompting?: Prompting): Asked['api'] =>
  prompting !== undefined && !byTemplate(prompting) ? 'completions' : api;

/** The body of a request. */
export function bodyOf(
  asked: Asked,
  { prompt, prompting }: { prompt: string; prompting?: Prompting },
  temperature: number,
  seed: number,
): Record<string, unknown> {
  const { model, maxTokens } = asked;
  const common = {
    model,
    temperature,
    seed,
    ...(maxTokens === null ? {} : { max_tokens: maxTokens }),
  };
  if (apiOf(asked, prompting) === 'completions')
    return { ...common, prompt: plainText(prompt, prompting) };
  const raw = asked.own ? { separate_reasoning: false } : {};
  const switches = prompting && switchesOf(prompting);
  const kwargs = switches === undefined ? {} : { chat_template_kwargs: variablesOf(switches) };
  const messages = messagesOf(asked.own ? prompt : prompt.trim(), prompting);
  return { ...common, ...raw, ...kwargs, messages };
}

/**
 * The body as a server may want it that has just refused it, or null. Models differ in two fields:
 * newer ones of OpenAI call the longest completion `max_completion_tokens`, and some servers know
 * no `seed`.
 */
export function adapt(
  body: Record<string, unknown>,
  refusal: string,
): Record<string, unknown> | null {
  if (refusal.includes('max_completion_tokens') && 'max_tokens' in body) {
    const { max_tokens, ...rest } = body;
    return { ...rest, max_completion_tokens: max_tokens };
  }
  if (/\bseed\b/.test(refusal) && 'seed' in body) {
    const { seed: _, ...rest } = body;
    return rest;
  }
  return null;
}

const count = z.number().int().min(0).nullish();
/** Text, or parts of which those of text count. */
const contentSchema = z.union([
  z.string(),
  z
    .array(z.looseObject({ text: z.string().nullish() }))
    .transform((parts) => parts.map(({ text }) => text ?? '').join('')),
]);
const answerSchema = z.looseObject({
  choices: z
    .array(
      z.looseObject({
        text: z.string().nullish(),
        message: z
          .looseObject({
            content: contentSchema.nullish(),
            reasoning_content: z.string().nullish(),
            reasoning: z.string().nullish(),
          })
          .nullish(),
        finish_reason: z.string().nullish(),
      }),
    )
    .min(1),
  usage: z
    .looseObject({
      prompt_tokens: count,
      completion_tokens: count,
      prompt_tokens_details: z.looseObject({ cached_tokens: count }).nullish(),
      /** As DeepSeek's API has it. */
      prompt_cache_hit_tokens: count,
      /** As `reckoner serve` has it. */
      cost_usd: z.number().min(0).nullish(),
    })
    .nullish(),
});

export interface Answer {
  /** As a task grades it. */
  completion: string;
  stop: Exclude<TranscriptStop, 'refused'>;
  promptTokens: number | null;
  cachedTokens: number;
  completionTokens: number | null;
  usd: number | null;
}

/** What a server sent with status 200; null where it is no completion. */
export function readAnswer(json: unknown, api: Asked['api']): Answer | null {
  const parsed = answerSchema.safeParse(json);
  if (!parsed.success) return null;
  const { choices, usage } = parsed.data;
  const { text, message, finish_reason } = choices[0];
  const completion =
    api === 'completions'
      ? text
      : message
        ? completionOf(message.content ?? '', message.reasoning_content ?? message.reasoning)
        : null;
  if (typeof completion !== 'string') return null;
  return {
    completion,
    stop: finish_reason === 'length' ? 'length' : 'eos',
    promptTokens: usage?.prompt_tokens ?? null,
    cachedTokens:
      usage?.prompt_tokens_details?.cached_tokens ?? usage?.prompt_cache_hit_tokens ?? 0,
    completionTokens: usage?.completion_tokens ?? null,
    usd: usage?.cost_usd ?? null,
  };
}

/**
 * Content and thinking of a message as one text, the thinking in its tags, as a model here would
 * have written it. Null content is none.
 */
export function completionOf(content: string, reasoning: string | null | undefined): string {
  if (typeof reasoning !== 'string') return content;
  const thinking = reasoning.replace(/<\/?think>/g, '');
  return content.trim() === '' ? `<think>${thinking}` : `<think>${thinking}</think>${content}`;
}
