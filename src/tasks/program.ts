/**
 * @file The program in a model's answer: out of Markdown fences, after the helpers of its prompt,
 * without TypeScript's types and `export`, run in the sandbox.
 */
import { createRequire } from 'node:module';
import type { JitiOptions } from 'jiti';
import { type SandboxJob, type SandboxResult, sandbox } from './sandbox/index.js';

export interface Program {
  readonly prompt: string;
  /** Name of the function. */
  readonly entry: string;
}

const escaped = (name: string): string => name.replaceAll('$', '\\$');

/** What defines the function in a text. */
const definition = (entry: string): RegExp =>
  new RegExp(
    `(?:function\\s*\\*?\\s*|(?:const|let|var|class)\\s+|exports\\.|globalThis\\.)${escaped(entry)}(?![\\w$])|(?:^|\\n)\\s*${escaped(entry)}\\s*=(?!=)`,
  );

/** Code blocks of Markdown, whatever they are called; the last may be unclosed. */
function fenced(text: string): string[] {
  const blocks: string[] = [];
  const opening = /^[ \t]*(`{3,}|~{3,})[^\n`]*\n/gm;
  for (let open = opening.exec(text); open !== null; open = opening.exec(text)) {
    const from = open.index + open[0].length;
    const close = new RegExp(`^[ \\t]*${open[1]}[ \\t]*$`, 'm').exec(text.slice(from));
    const end = close === null ? text.length : from + close.index;
    blocks.push(text.slice(from, end));
    opening.lastIndex = end + (close?.[0].length ?? 0);
  }
  return blocks;
}

/** The code of an answer: of several blocks the one that defines the function. */
export function codeIn(answer: string, entry: string): string {
  const text = answer.replace(/\r\n?/g, '\n');
  const blocks = fenced(text);
  const defines = definition(entry);
  const block = blocks.find((one) => defines.test(one)) ?? blocks.join('\n');
  const before = text.split(/^[ \t]*(?:`{3,}|~{3,})/m, 1)[0];
  const chosen =
    blocks.length > 0 && (block.trim() !== '' || before.trim() === '') ? block : before;
  const inline = /^\s*`([^`]+)`\s*$/.exec(chosen);
  return (inline?.[1] ?? chosen).replace(/^\s*<!--.*$/gm, '');
}

/**
 * What stands in a prompt before the function that is to be written: its helpers. Null where the
 * prompt is no code.
 */
export function helpersOf({ prompt, entry }: Program): string | null {
  const name = escaped(entry);
  const declared = [
    ...prompt.matchAll(
      new RegExp(
        `^(?:export\\s+)?(?:async\\s+)?(?:function\\s*\\*?\\s*${name}\\b|(?:const|let|var)\\s+${name}\\s*=)`,
        'gm',
      ),
    ),
  ].at(-1);
  return declared === undefined ? null : prompt.slice(0, declared.index);
}

/** TypeScript and modules as a plain script; null where the text is neither. */
function transformed(code: string): string | null {
  try {
    const { createJiti } = createRequire(import.meta.url)('jiti') as typeof import('jiti');
    const options: JitiOptions = { fsCache: false, moduleCache: false };
    const jiti = createJiti(import.meta.url, options);
    return jiti.transform({ source: code, filename: 'answer.ts', ts: true, async: false });
  } catch {
    return null;
  }
}

/** Runs the program of an answer against tests or calls. Never rejects. */
export async function runProgram(
  answer: string,
  program: Program,
  job: Pick<SandboxJob, 'tests' | 'calls'>,
): Promise<SandboxResult> {
  const { prompt, entry } = program;
  const code = codeIn(answer, entry);
  const helpers = helpersOf(program);
  const whole = definition(entry).test(code);
  const texts =
    helpers === null ? [code] : whole ? [`${helpers}\n${code}`, code] : [`${prompt}${code}`, code];
  let first: SandboxResult | null = null;
  const rest = { entry, ...job, ...(helpers === null ? {} : { helpers }) };
  const unread = ({ error }: SandboxResult): boolean =>
    error !== undefined && /SyntaxError|defines no function/.test(error);
  for (const text of texts) {
    const result = await sandbox({ ...rest, code: text });
    if (!unread(result)) return result;
    first ??= result;
  }
  // Types and exports are no syntax of a script.
  for (const text of texts) {
    const script = transformed(text);
    if (script === null || script === text) continue;
    const result = await sandbox({ ...rest, code: script });
    if (!unread(result)) return result;
  }
  return first as SandboxResult;
}
