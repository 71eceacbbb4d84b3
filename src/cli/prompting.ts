/**
 * @file Options of `eval` and `chat` for the words around a problem: system message, instruction,
 * examples, template, thinking.
 */
import { type Command, Option } from 'commander';
import { formats } from '../tasks/formats.js';
import type { TaskReference } from '../tasks/index.js';
import { type Prompting, TEMPLATES, type TemplateName } from '../tokenizers/prompting.js';
import { integerOption } from './output.js';

export interface PromptingFlags {
  system?: string;
  /** False: none, also not the one that is usual. */
  instruction?: string | false;
  examples?: number;
  template?: TemplateName;
  thinking?: 'on' | 'off';
  format?: string;
}

export const SYSTEM = (): Option => new Option('--system <text>', 'the system message');
export const THINKING = (): Option =>
  new Option(
    '--thinking <switch>',
    'set the switch of a chat template that has one, as Qwen3’s (default: as the template does)',
  ).choices(['on', 'off']);

/** Options of the verbs that ask one prompt after the other: `chat` and `eval`. */
export function addPrompting(command: Command): Command {
  return command
    .addOption(SYSTEM())
    .option('--instruction <text>', 'put this after each problem, or around it: "… {problem} …"')
    .addOption(
      new Option(
        '--template <name>',
        "model: the model's chat template; none: plain text; r1-zero: that of DeepSeek-R1-Zero (default: model)",
      ).choices([...TEMPLATES]),
    )
    .addOption(THINKING());
}

/** Those of a task besides. */
export function addTaskPrompting(command: Command): Command {
  return addPrompting(command)
    .option('--no-instruction', 'send the problem alone, without a word about the form of answers')
    .option(
      '--examples <n>',
      'show this many solved training problems before each problem',
      integerOption(0, 64),
    )
    .option(
      '--format <form>',
      `where the answer stands: ${Object.keys(formats).join(', ')} (default: the task's)`,
    );
}

/** What the flags say of a prompt. */
export function promptingOf(flags: PromptingFlags): Prompting | undefined {
  const { system, instruction, template, thinking } = flags;
  const prompting: Prompting = {
    ...(system === undefined ? {} : { system }),
    ...(instruction === undefined || instruction === false ? {} : { instruction }),
    ...(template === undefined ? {} : { template }),
    ...(thinking === undefined ? {} : { thinking: thinking === 'on' }),
  };
  return Object.keys(prompting).length === 0 ? undefined : prompting;
}

/** A task's reference with what the flags say. */
export function withPromptingFlags(reference: TaskReference, flags: PromptingFlags): TaskReference {
  const { format, thinking, examples } = flags;
  const { thinking: _, ...words } = promptingOf(flags) ?? {};
  const own = { ...words, ...(examples === undefined ? {} : { examples }) };
  return {
    ...reference,
    ...(format === undefined ? {} : { format }),
    ...(thinking === undefined ? {} : { thinking }),
    ...(Object.keys(own).length === 0
      ? {}
      : { prompting: { ...(reference.prompting as object | undefined), ...own } }),
  };
}
