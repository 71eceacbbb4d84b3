/**
 * @file What the command prints, where, and with which exit code.
 *
 * - With `--json`, stdout carries exactly one JSON document, on failure `{error: {code, field?,
 *   message}}`.
 * - Otherwise results go to stdout; notes and progress always go to stderr; an error is one line on
 *   stderr.
 * - Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted.
 *
 * Colour follows https://no-color.org and the terminal; there are few styles, so no dependency.
 */
import { type Command, InvalidArgumentError } from 'commander';
import { UserError } from '../base/errors.js';
import { printable } from '../base/text/index.js';

export const EXIT = { success: 0, failure: 1, usage: 2, interrupted: 130 } as const;

// ── style ────────────────────────────────────────────────────────────────────────────────────────

const CODES = {
  bold: [1, 22],
  dim: [2, 22],
  red: [31, 39],
  green: [32, 39],
  yellow: [33, 39],
  blue: [34, 39],
  magenta: [35, 39],
  cyan: [36, 39],
} as const;

/**
 * Wraps text in terminal styles; every function returns its text unchanged where styles are off.
 */
export type Style = Record<keyof typeof CODES, (text: string) => string>;

const styleWith = (on: boolean): Style =>
  Object.fromEntries(
    Object.entries(CODES).map(([name, [open, close]]) => [
      name,
      (text: string) => (on && text !== '' ? `\x1b[${open}m${text}\x1b[${close}m` : text),
    ]),
  ) as Style;

export const PLAIN: Style = styleWith(false);
const STYLED: Style = styleWith(true);

/**
 * Styles for a stream: on for a terminal, unless NO_COLOR, `--no-color` or TERM=dumb says
 * otherwise.
 */
export function styleFor(stream: { isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): Style {
  if (env.NO_COLOR !== undefined && env.NO_COLOR !== '') return PLAIN;
  const forced = env.FORCE_COLOR !== undefined && env.FORCE_COLOR !== '' && env.FORCE_COLOR !== '0';
  return forced || (stream.isTTY === true && env.TERM !== 'dumb') ? STYLED : PLAIN;
}

/** Text without terminal styles. */
export function stripStyle(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences start with a control character
  return text.replace(/\x1b\[[0-9;?]*[A-Za-z]/g, '');
}

/** The styles of ours; a text that holds no other escape sequence may pass to a terminal. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences start with a control character
const OWN_STYLES = /(\x1b\[(?:1|2|22|3[1-6]|39)m)/;

/**
 * Text for a stream: our own styles pass where the stream has styles, and no other control
 * character does, wherever a text came from. Documents (`--json`) and files keep the exact text.
 */
export function forTerminal(text: string, stream: { isTTY?: boolean }): string {
  if (styleFor(stream) === PLAIN) return printable(text);
  return text
    .split(OWN_STYLES)
    .map((part, i) => (i % 2 === 1 ? part : printable(part)))
    .join('');
}

// ── printing ─────────────────────────────────────────────────────────────────────────────────────

/**
 * The one JSON document of a `--json` call. Numbers that JSON lacks (NaN, infinities) become null.
 */
export function printDocument(document: unknown): void {
  process.stdout.write(`${JSON.stringify(document, null, 2)}\n`);
}

/** Results for people, on stdout. */
export function print(text: string): void {
  process.stdout.write(`${forTerminal(text, process.stdout)}\n`);
}

/** Anything that is not the result, on stderr. */
export function note(text: string): void {
  process.stderr.write(`${forTerminal(text, process.stderr)}\n`);
}

// ── options ──────────────────────────────────────────────────────────────────────────────────────

const inRange = (value: number, low: number, high: number, what: string): number => {
  if (value >= low && value <= high) return value;
  const range = high === Infinity ? `of at least ${low}` : `from ${low} to ${high}`;
  throw new InvalidArgumentError(`It must be ${what} ${range}.`);
};

/** A parser for commander: a whole number within bounds. */
export function integerOption(
  low = 0,
  high: number = Number.MAX_SAFE_INTEGER,
): (text: string) => number {
  const top = high === Number.MAX_SAFE_INTEGER ? Infinity : high;
  return (text) =>
    inRange(/^[+-]?\d+$/.test(text) ? Number(text) : Number.NaN, low, top, 'a whole number');
}

/** A parser for commander: a number within bounds. */
export function numberOption(low = 0, high = Infinity): (text: string) => number {
  return (text) => inRange(text.trim() === '' ? Number.NaN : Number(text), low, high, 'a number');
}

/** Ends a verb's help with examples that work. */
export function withExamples(command: Command, ...examples: string[]): Command {
  const title = examples.length === 1 ? 'Example:' : 'Examples:';
  return command.addHelpText('after', `\n${title}\n${examples.flatMap(exampleLines).join('\n')}`);
}

/** An example as a shell takes it: lines of at most 80 columns, cut between words. */
function exampleLines(example: string): string[] {
  const lines: string[] = [];
  // A word may be quoted.
  for (const word of example.match(/(?:"[^"]*"|'[^']*'|\S)+/g) ?? []) {
    const line = lines.at(-1);
    if (line !== undefined && line.length + word.length + 3 <= 80)
      lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(`${line === undefined ? '  $ ' : '      '}${word}`);
  }
  return lines.map((line, i) => (i < lines.length - 1 ? `${line} \\` : line));
}

// ── Ctrl-C ───────────────────────────────────────────────────────────────────────────────────────

let interrupt: AbortController | null = null;

/**
 * A signal that is aborted by the first Ctrl-C (or SIGTERM, or SIGHUP: the terminal is gone), for
 * verbs that have something to bring
 * to an end; they then throw a `UserError` with code `interrupted`. A second Ctrl-C, or the first
 * when nobody asked for the signal, ends at once.
 */
export function interruptSignal(): AbortSignal {
  interrupt ??= new AbortController();
  return interrupt.signal;
}

/** Called once by the program. `end` prints what is to be said and exits. */
export function listenForInterrupt(end: () => void): void {
  const listener = (): void => {
    if (interrupt === null || interrupt.signal.aborted) end();
    else interrupt.abort();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, listener);
}

// ── errors ───────────────────────────────────────────────────────────────────────────────────────

/** An error as the command tells it. */
export interface Failure {
  code: string;
  field?: string;
  message: string;
  exitCode: number;
}

const SYSTEM_ADVICE: Record<string, [code: string, advice: string]> = {
  ENOSPC: ['disk', 'the disk is full; free some space and try again'],
  EDQUOT: ['disk', 'the disk quota is used up; free some space and try again'],
  EROFS: ['disk', 'the file system is read-only; choose another folder'],
  EACCES: ['disk', 'permission denied; check who owns it'],
  EPERM: ['disk', 'not permitted; check who owns it'],
  ENOENT: ['data', 'no such file or folder; check the path'],
  EISDIR: ['data', 'it is a folder where a file was expected'],
  ENOTDIR: ['data', 'a part of the path is not a folder'],
  EMFILE: ['state', 'too many open files; raise the limit with ulimit -n'],
};

const oneLine = (text: string): string => text.replace(/\s*\n\s*/g, ' ').trim();

/** Says what went wrong in one line. An unexpected error is called a bug. */
export function failureOf(error: unknown, version: string): Failure {
  if (error instanceof UserError) {
    const exitCode =
      { usage: EXIT.usage, interrupted: EXIT.interrupted }[error.code as string] ?? EXIT.failure;
    return { code: error.code, field: error.field, message: oneLine(error.message), exitCode };
  }
  const system = error as { code?: unknown; path?: unknown; message?: unknown } | null | undefined;
  const advice = typeof system?.code === 'string' ? SYSTEM_ADVICE[system.code] : undefined;
  if (advice !== undefined && typeof system?.path === 'string') {
    return {
      code: advice[0],
      field: system.path,
      message: `${system.path}: ${advice[1]}`,
      exitCode: EXIT.failure,
    };
  }
  if (advice !== undefined) return { code: advice[0], message: advice[1], exitCode: EXIT.failure };
  const what = error instanceof Error ? `${error.name}: ${oneLine(error.message)}` : String(error);
  return {
    code: 'internal',
    message: `${what} (a bug in reckoner ${version}: please report this line with the command that you ran; RECKONER_DEBUG=1 shows the stack)`,
    exitCode: EXIT.failure,
  };
}

/** Prints a failure as this call promised to. */
export function printFailure(failure: Failure, json: boolean, error?: unknown): void {
  const { code, field, message } = failure;
  if (json) printDocument({ error: { code, ...(field === undefined ? {} : { field }), message } });
  else note(`${styleFor(process.stderr).red('error:')} ${message}`);
  if (process.env.RECKONER_DEBUG === '1' && error instanceof Error && error.stack !== undefined)
    note(error.stack);
}
