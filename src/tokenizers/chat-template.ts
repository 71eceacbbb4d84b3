/**
 * @file Chat templates: how a conversation is written for a model, as the Jinja text that comes
 * with it.
 *
 * A template is a program from a stranger. The interpreter gives it no way to files, network or
 * JavaScript, and no more than a budget of steps and memory (bounded-jinja.ts).
 */
import { parse, tokenize } from '@huggingface/jinja';
import { UserError } from '../base/errors.js';
import { boundedTemplate } from './bounded-jinja.js';
import { withTimeLimit } from './time-limit.js';

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool';
  /** Null only beside `tool_calls`. */
  content: string | null;
  /** History alone: what an assistant called, in OpenAI's form, for templates that write it. */
  tool_calls?: readonly unknown[];
  tool_call_id?: string;
  name?: string;
}

/**
 * Writes a conversation up to where the assistant's next answer begins. @throws UserError (data)
 * what the template refuses
 */
export type ChatTemplate = (
  messages: readonly ChatMessage[],
  switches?: TemplateSwitches,
) => string;

/** What a template is told beside the conversation. */
export interface TemplateSwitches {
  /** Think before the answer, or not; a template without such a switch does not look. */
  thinking?: boolean;
}

/** The switch by its names: Qwen3's, GLM's and SmolLM3's, and that of DeepSeek-V3.1 and Granite. */
export const variablesOf = ({ thinking }: TemplateSwitches): Record<string, boolean> =>
  thinking === undefined ? {} : { enable_thinking: thinking, thinking };

const MAX_TEMPLATE_CHARACTERS = 1_000_000;
const READING_MS = 1000;

/**
 * @param source the Jinja text
 * @param variables texts of special tokens: `bos_token`, `eos_token`, …
 * @throws UserError (data) when the text is no template
 */
export function createChatTemplate(
  source: string,
  variables: Record<string, string>,
): ChatTemplate {
  const fail = (what: string, error: unknown): never => {
    const why = String((error as Error)?.message ?? error)
      .split('\n')[0]
      .slice(0, 200);
    throw new UserError('data', `the model's chat template ${what}: ${why}`, 'chat_template');
  };
  if (source.length > MAX_TEMPLATE_CHARACTERS)
    return fail('is too long', `${source.length} characters`);
  let render: ReturnType<typeof boundedTemplate>;
  try {
    render = withTimeLimit(READING_MS, 'it takes too long', () =>
      // Jinja reads every line end as a line feed.
      boundedTemplate(
        parse(tokenize(source.replace(/\r\n?/g, '\n'), { lstrip_blocks: true, trim_blocks: true })),
      ),
    );
  } catch (error) {
    return fail('cannot be read', error);
  }
  return (messages, switches = {}) => {
    try {
      return render({
        // As transformers calls it without tools and documents: none, and not undefined.
        tools: null,
        documents: null,
        ...variables,
        ...variablesOf(switches),
        messages: messages.map((m) => ({ ...m })),
        add_generation_prompt: true,
      });
    } catch (error) {
      return fail('refuses this conversation', error);
    }
  };
}

/**
 * The Jinja text in a `tokenizer_config.json`: one text, or several by name, of which `default` is
 * meant; null without.
 */
export function templateIn(tokenizerConfig: Record<string, unknown> | null): string | null {
  const template = tokenizerConfig?.chat_template;
  if (typeof template === 'string') return template;
  if (!Array.isArray(template)) return null;
  const named = template as ({ name?: unknown; template?: unknown } | null)[];
  const found = named.find((entry) => entry?.name === 'default')?.template;
  return typeof found === 'string' ? found : null;
}
