/**
 * @file What a client may ask for, in OpenAI's words, and how that becomes a `GenerationRequest`.
 *
 * Fields that nobody has heard of are ignored, since clients send all sorts. A parameter that
 * OpenAI documents and that would change the answer, but is not supported here, is refused by name:
 * an answer that silently ignored it would be wrong.
 */
import { z } from 'zod';
import type { GenerationDefaults } from '../checkpoints/generation.js';
import type { GenerationRequest } from '../inference/generator.js';
import type { ChatMessage } from '../tokenizers/chat-template.js';
import { BadRequest } from './errors.js';

const text = z.string();
const messageSchema = z.looseObject({
  role: z.enum(['system', 'developer', 'user', 'assistant', 'tool'], {
    error: (issue) =>
      `must be system, developer, user, assistant or tool, is ${JSON.stringify(issue.input)?.slice(0, 60) ?? 'missing'}`,
  }),
  content: z
    .union([
      text,
      z.array(
        z.looseObject({
          type: z.literal('text', { error: 'only text parts are supported' }),
          text,
        }),
      ),
    ])
    .nullish(),
  // History: what an assistant called, and what came back.
  tool_calls: z.array(z.looseObject({})).nullish(),
  tool_call_id: text.nullish(),
  name: text.nullish(),
});

const common = {
  model: z.string(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().gt(0).max(1).nullish(),
  top_k: z.int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  n: z.int().min(1).max(64).nullish(),
  stop: z.union([text, z.array(text).max(16)]).nullish(),
  seed: z.int().min(Number.MIN_SAFE_INTEGER).max(Number.MAX_SAFE_INTEGER).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().nullish() }).nullish(),
  max_tokens: z.int().min(1).nullish(),
  logit_bias: z
    .record(z.string().regex(/^\d+$/, 'must have token ids as keys'), z.number().min(-100).max(100))
    .nullish(),
  presence_penalty: z.number().min(-2).max(2).nullish(),
  frequency_penalty: z.number().min(-2).max(2).nullish(),
};

const formatSchema = z.discriminatedUnion('type', [
  z.looseObject({ type: z.literal('text') }),
  z.looseObject({ type: z.literal('json_object') }),
  z.looseObject({
    type: z.literal('json_schema'),
    json_schema: z.looseObject({ schema: z.unknown() }),
  }),
]);

const chatSchema = z.looseObject({
  ...common,
  messages: z.array(messageSchema).min(1),
  max_completion_tokens: z.int().min(1).nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.int().min(0).max(20).nullish(),
  response_format: formatSchema.nullish(),
  /** As SGLang has it: false gives the text as the model wrote it, as `content`. */
  separate_reasoning: z.boolean().nullish(),
  /** As vLLM and SGLang have it: the switch of a template that can think or not. */
  chat_template_kwargs: z
    .looseObject({ enable_thinking: z.boolean().nullish(), thinking: z.boolean().nullish() })
    .nullish(),
});

const completionSchema = z.looseObject({
  ...common,
  prompt: z.union(
    [text, z.array(z.int()).min(1), z.tuple([text]), z.tuple([z.array(z.int()).min(1)])],
    {
      error: 'must be one text or one list of tokens',
    },
  ),
  logprobs: z.int().min(0).max(20).nullish(),
});

/** Documented by OpenAI and not supported; `harmless` values ask for nothing. */
const UNSUPPORTED: Record<string, (value: unknown) => boolean> = {
  tools: (value) => Array.isArray(value) && value.length === 0,
  tool_choice: (value) => value === 'none' || value === 'auto',
  functions: (value) => Array.isArray(value) && value.length === 0,
  function_call: (value) => value === 'none' || value === 'auto',
  audio: () => false,
  modalities: (value) => JSON.stringify(value) === '["text"]',
  prediction: () => false,
  web_search_options: () => false,
  store: (value) => value === false,
  reasoning_effort: () => false,
  verbosity: () => false,
  presence_penalty: (value) => value === 0,
  frequency_penalty: (value) => value === 0,
  echo: (value) => value === false,
  suffix: (value) => value === '',
  best_of: (value) => value === 1,
};

export interface ParsedRequest {
  model: string;
  stream: boolean;
  includeUsage: boolean;
  logprobs: boolean;
  /** The text as the model wrote it, thinking and tags included. */
  raw: boolean;
  generation: GenerationRequest;
}

function parse<T>(schema: z.ZodType<T>, body: unknown): T {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new BadRequest('the body must be a JSON object');
  for (const [name, harmless] of Object.entries(UNSUPPORTED)) {
    const value = (body as Record<string, unknown>)[name];
    if (value !== undefined && value !== null && !harmless(value)) {
      throw new BadRequest(
        `${name} is not supported by this server; leave it out`,
        name,
        'unsupported_parameter',
      );
    }
  }
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const { path, message } = result.error.issues[0];
  const field = path.map(String).join('.');
  throw new BadRequest(
    `${field === '' ? 'the body' : field}: ${message}`,
    field === '' ? undefined : field,
  );
}

type Common = { [K in keyof typeof common]?: z.infer<(typeof common)[K]> };

function sampling(
  body: Common,
  maxTokens: number | null | undefined,
  defaults: GenerationDefaults,
): Omit<GenerationRequest, 'input' | 'topLogProbabilities' | 'json'> {
  const stop = typeof body.stop === 'string' ? [body.stop] : (body.stop ?? []);
  return {
    choices: body.n ?? 1,
    maxTokens: maxTokens ?? null,
    stop: stop.filter((string) => string !== ''),
    seed: body.seed ?? null,
    temperature: body.temperature ?? defaults.temperature ?? 1,
    topP: body.top_p ?? defaults.topP ?? 1,
    topK: Math.max(0, body.top_k ?? defaults.topK ?? 0),
    minP: body.min_p ?? 0,
    logitBias: Object.entries(body.logit_bias ?? {}).map(([token, bias]) => [Number(token), bias]),
  };
}

const shared = (body: Common): Pick<ParsedRequest, 'model' | 'stream' | 'includeUsage'> => ({
  model: body.model as string,
  stream: body.stream ?? false,
  includeUsage: body.stream_options?.include_usage ?? false,
});

/** Most bytes of a schema, as JSON; what it compiles to is bounded too (inference/rules.ts). */
export const MOST_SCHEMA_BYTES = 128 * 1024;

/** @throws BadRequest when a message has nothing in it */
function messageOf(message: z.infer<typeof messageSchema>, i: number): ChatMessage {
  const { role, content, tool_calls: calls, tool_call_id: id, name } = message;
  const called = role === 'assistant' && (calls?.length ?? 0) > 0;
  if ((content === null || content === undefined) && role !== 'assistant')
    throw new BadRequest(`messages.${i}.content: is missing`, `messages.${i}.content`);
  const plain = typeof content === 'string' ? content : content?.map((part) => part.text).join('');
  return {
    role: role === 'developer' ? 'system' : role,
    content: plain ?? (called ? null : ''),
    ...(called ? { tool_calls: calls as object[] } : {}),
    ...(id ? { tool_call_id: id } : {}),
    ...(name ? { name } : {}),
  };
}

function schemaText(schema: unknown): string {
  const written = JSON.stringify(schema);
  const bytes = Buffer.byteLength(written);
  if (bytes <= MOST_SCHEMA_BYTES) return written;
  throw new BadRequest(
    `the JSON schema has ${bytes} bytes; it may have ${MOST_SCHEMA_BYTES}`,
    'response_format',
  );
}

/** What a server's owner says of prompts, where a client says nothing. */
export interface ChatDefaults {
  system?: string;
  thinking?: boolean;
}

/** The body of `POST /v1/chat/completions`. @throws BadRequest */
export function parseChat(
  body: unknown,
  defaults: GenerationDefaults,
  { system, thinking: usual }: ChatDefaults = {},
): ParsedRequest {
  const request = parse(chatSchema, body);
  const own = request.messages.map(messageOf);
  const messages: ChatMessage[] =
    system === undefined || own[0].role === 'system'
      ? own
      : [{ role: 'system', content: system }, ...own];
  const kwargs = request.chat_template_kwargs;
  const thinking = kwargs?.enable_thinking ?? kwargs?.thinking ?? usual;
  const format = request.response_format;
  if (request.top_logprobs && !request.logprobs)
    throw new BadRequest('top_logprobs needs logprobs: true', 'top_logprobs');
  if (format?.type === 'json_schema' && format.json_schema.schema === undefined) {
    throw new BadRequest('response_format.json_schema.schema is missing', 'response_format');
  }
  return {
    ...shared(request),
    logprobs: request.logprobs ?? false,
    raw: request.separate_reasoning === false || (format?.type ?? 'text') !== 'text',
    generation: {
      input: { messages, ...(thinking === undefined ? {} : { switches: { thinking } }) },
      ...sampling(request, request.max_completion_tokens ?? request.max_tokens, defaults),
      topLogProbabilities: request.logprobs ? (request.top_logprobs ?? 0) : null,
      json:
        format?.type === 'json_schema'
          ? { kind: 'schema', text: schemaText(format.json_schema.schema) }
          : format?.type === 'json_object'
            ? { kind: 'object' }
            : null,
    },
  };
}

/** The body of `POST /v1/completions`. @throws BadRequest */
export function parseCompletion(body: unknown, defaults: GenerationDefaults): ParsedRequest {
  const request = parse(completionSchema, body);
  const { prompt } = request;
  const only = typeof prompt === 'string' || typeof prompt[0] === 'number' ? prompt : prompt[0];
  return {
    ...shared(request),
    raw: true,
    logprobs: typeof request.logprobs === 'number',
    generation: {
      input: typeof only === 'string' ? { text: only } : { tokens: only as number[] },
      ...sampling(request, request.max_tokens, defaults),
      topLogProbabilities: request.logprobs ?? null,
      json: null,
    },
  };
}
