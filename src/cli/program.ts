/**
 * @file The program: its verbs, and how a call ends.
 *
 * Every verb is one file that exports a function giving a commander `Command`. Here they are put
 * together, and whatever a verb or commander throws becomes one line (or one JSON document) and an
 * exit code.
 */
import { Command, CommanderError } from 'commander';
import { UserError } from '../base/errors.js';
import {
  EXIT,
  type Failure,
  failureOf,
  listenForInterrupt,
  note,
  print,
  printDocument,
  printFailure,
} from './output.js';
import { verbOf, verbs } from './verbs.js';
import { packageVersion } from './version.js';

/** Where help and commander's own messages go. */
interface Sink {
  out(text: string): void;
  err(text: string): void;
}

const TERMINAL: Sink = {
  out: (text) => void process.stdout.write(text),
  err: (text) => void process.stderr.write(text),
};

/**
 * The command line; `sink` receives help texts.
 * @param argv arguments without the program's name: where they name a verb, the others are left out
 */
export async function createProgram(
  argv: readonly string[],
  sink: Sink = TERMINAL,
): Promise<Command> {
  const program = new Command('reckoner')
    .description(
      'Train a small language model to reason, the way DeepSeek-R1 was trained, and account for every dollar that it took.',
    )
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show help')
    .helpCommand('help [command]', 'show help for a command')
    .option('--no-color', 'no colours (so does NO_COLOR=1)')
    .addHelpText('after', '\nExample:\n  $ reckoner train r1-mini && reckoner chat r1-mini');
  const named = verbOf(argv);
  const wanted = named === undefined ? Object.values(verbs) : [verbs[named]];
  for (const verb of await Promise.all(wanted.map((load) => load()))) {
    program.addCommand(verb.helpOption('-h, --help', 'show help'));
  }
  const all = (command: Command): Command[] => [command, ...command.commands.flatMap(all)];
  for (const command of all(program)) {
    command.exitOverride().showSuggestionAfterError(true);
    // Errors are printed once, at the end, from what is thrown.
    command.configureOutput({ writeOut: sink.out, writeErr: sink.err, outputError: () => {} });
  }
  return program;
}

/** True when the call asked for one JSON document. */
export function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf('--');
  return (end < 0 ? argv : argv.slice(0, end)).includes('--json');
}

/**
 * Runs one call.
 * @param argv arguments without the program's name
 * @returns the exit code
 */
export async function run(argv: readonly string[]): Promise<number> {
  const json = wantsJson(argv);
  if (argv.includes('--no-color')) process.env.NO_COLOR = '1';
  const help: string[] = [];
  const keep = (text: string): void => void help.push(text);
  const program = await createProgram(argv, { out: keep, err: keep });
  listenForInterrupt(() => {
    const error = new UserError('interrupted', 'interrupted');
    printFailure(failureOf(error, packageVersion()), json);
    flushThenExit(EXIT.interrupted);
  });
  try {
    await program.parseAsync(argv, { from: 'user' });
    return Number(process.exitCode ?? EXIT.success);
  } catch (error) {
    if (error instanceof CommanderError) return endOfCommander(error, help.join(''), argv, json);
    const failure = failureOf(error, packageVersion());
    printFailure(failure, json, error);
    return failure.exitCode;
  }
}

function endOfCommander(
  error: CommanderError,
  text: string,
  argv: readonly string[],
  json: boolean,
): number {
  if (error.exitCode === 0) {
    const key = error.code === 'commander.version' ? 'version' : 'help';
    if (json) printDocument({ schemaVersion: 1, [key]: text.trimEnd() });
    else print(text.trimEnd());
    return EXIT.success;
  }
  if (error.code === 'commander.help') {
    // No verb was given: the help says what there is, and the exit code that nothing was done.
    if (!json) note(text.trimEnd());
    else
      printFailure(
        {
          code: 'usage',
          field: 'command',
          message: 'no command; see reckoner --help',
          exitCode: EXIT.usage,
        },
        true,
      );
    return EXIT.usage;
  }
  printFailure(usageFailure(error, argv), json, undefined);
  return EXIT.usage;
}

/** Commander's message in one line, with the argument that was wrong and where to read more. */
export function usageFailure(error: CommanderError, argv: readonly string[]): Failure {
  const verb = verbOf(argv);
  const text = error.message
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ')
    .replace('(Did you mean', '(did you mean')
    .replace(/\.$/, '');
  const flags = /option '([^']+)'/.exec(text)?.[1];
  const field =
    error.code === 'commander.unknownCommand'
      ? 'command'
      : (flags?.split(/[ ,|]+/).find((part) => part.startsWith('--')) ??
        flags ??
        /argument '([^']+)'/.exec(text)?.[1]);
  const message = `${text}; see reckoner ${verb === undefined ? '' : `${verb} `}--help`;
  return {
    code: 'usage',
    ...(field === undefined ? {} : { field }),
    message,
    exitCode: EXIT.usage,
  };
}

/**
 * Ends the process once stdout and stderr have taken everything, whatever timers or workers are
 * left.
 */
export function flushThenExit(code: number): void {
  process.stdout.write('', () => process.stderr.write('', () => process.exit(code)));
}
