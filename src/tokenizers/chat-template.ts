/**
 * @file Chat templates: how a conversation is written for a model, as the Jinja text that comes
 * with it.
 *
 * A template is a program from a stranger. The interpreter (`@huggingface/jinja`) gives it no way
 * to files, network or JavaScript; what is left is time and memory, so a template may not be long
 * and may not count far. It has no clock either (`strftime_now`): what a model is asked does not
 * depend on the day.
 */
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import { UserError } from '../base/errors.js';

export interface ChatMessage {
  role: 'system' | 'user' | 'assistant' | 'tool';
  content: string;
}

/**
 * Writes a conversation up to where the assistant's next answer begins. @throws UserError (data)
 * what the template refuses
 */
export type ChatTemplate = (messages: readonly ChatMessage[]) => string;

const MAX_TEMPLATE_CHARACTERS = 1_000_000;
const MAX_RANGE = 100_000;

/** `range` of Python, of at most so many numbers. */
function range(...bounds: number[]): number[] {
  const [from, to] = bounds.length > 1 ? bounds : [0, bounds[0]];
  const step = bounds[2] ?? 1;
  const length = Math.ceil((to - from) / step);
  if (!(length <= MAX_RANGE)) throw new Error(`range of ${length} numbers`);
  return Array.from({ length: Math.max(0, length) }, (_, i) => from + i * step);
}

/** What a template may call and name; `range` is ours, and so the rest is set here too. */
const GLOBALS: Record<string, unknown> = {
  range,
  raise_exception(message: unknown): never {
    throw new Error(String(message));
  },
  true: true,
  false: false,
  none: null,
  True: true,
  False: false,
  None: null,
};

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
  let program: ReturnType<typeof parse>;
  try {
    program = parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));
  } catch (error) {
    return fail('cannot be read', error);
  }
  return (messages) => {
    try {
      const environment = new Environment();
      const conversation = {
        messages: messages.map((m) => ({ ...m })),
        add_generation_prompt: true,
      };
      for (const [name, value] of Object.entries({ ...GLOBALS, ...variables, ...conversation }))
        environment.set(name, value);
      return String((new Interpreter(environment).run(program) as { value: unknown }).value);
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
