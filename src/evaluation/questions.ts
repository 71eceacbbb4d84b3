/**
 * @file A problem as an endpoint is asked it, and its answer as a task grades it.
 *
 * By default a problem is a user's message, after an instruction that says which form the answer
 * must have. What comes back is written as the completion that tasks know,
 * `<think>…</think><answer>…</answer>`: the thinking is what the endpoint gives apart (DeepSeek's
 * `reasoning_content`) and what stands before the answer; the answer is what stands between the
 * tags, or in the last `\boxed{…}`, or, where the server has taken tags apart as `reckoner serve`
 * does, all of the content. With
 * `--completions` the bare prompt goes out and the text that comes back is graded as it is, as that
 * of a model here.
 */
import { z } from 'zod';
import { parseCompletion, writeCompletion } from '../tasks/completion.js';
import type { TranscriptStop } from './transcripts.js';

/**
 * For models that have not been trained on the form. Reckoner's own do not see it: their template
 * has no place for it.
 */
export const INSTRUCTION =
  'Solve the problem. Think first if it helps. End with the final answer alone, without explanation, between <answer> and </answer>.';

export interface Asked {
  api: 'chat' | 'completions';
  model: string;
  instruction: string | null;
  maxTokens: number | null;
}

/** The body of a request. */
export function bodyOf(
  asked: Asked,
  prompt: string,
  temperature: number,
  seed: number,
): Record<string, unknown> {
  const { api, model, instruction, maxTokens } = asked;
  const common = {
    model,
    temperature,
    seed,
    ...(maxTokens === null ? {} : { max_tokens: maxTokens }),
  };
  if (api === 'completions') return { ...common, prompt };
  const system = instruction === null ? [] : [{ role: 'system', content: instruction }];
  return { ...common, messages: [...system, { role: 'user', content: prompt.trim() }] };
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
const answerSchema = z.looseObject({
  choices: z
    .array(
      z.looseObject({
        text: z.string().nullish(),
        message: z
          .looseObject({
            content: z.string().nullish(),
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

/** The last `\boxed{…}` of a text, braces matched, or null. */
function lastBoxed(text: string): string | null {
  const at = text.lastIndexOf('\\boxed{');
  if (at < 0) return null;
  let depth = 0;
  for (let i = at + 6; i < text.length; i++) {
    if (text[i] === '{') depth++;
    else if (text[i] === '}' && --depth === 0) return text.slice(at + 7, i);
  }
  return null;
}

/**
 * Content and thinking of a message as one completion; text without an answer stays as it is, in no
 * form.
 */
export function completionOf(content: string, reasoning: string | null | undefined): string {
  const trimmed = content.trim();
  if (parseCompletion(trimmed).wellFormed) return trimmed;
  const close = trimmed.lastIndexOf('</answer>');
  const open = close < 0 ? -1 : trimmed.lastIndexOf('<answer>', close);
  const untagged = (text: string): string => text.replace(/<\/?(?:think|answer)>/g, '').trim();
  const thinking = (before: string): string =>
    untagged([reasoning ?? '', before].filter((part) => part !== '').join('\n'));
  if (open >= 0)
    return writeCompletion(thinking(trimmed.slice(0, open)), trimmed.slice(open + 8, close).trim());
  const boxed = lastBoxed(trimmed);
  if (boxed !== null) return writeCompletion(thinking(trimmed), boxed);
  if (typeof reasoning !== 'string') return content;
  return trimmed === ''
    ? `<think>${reasoning}`
    : writeCompletion(untagged(reasoning), untagged(content));
}
