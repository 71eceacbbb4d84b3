/**
 * @file `reckoner chat`: talk to a model. The thinking is shown apart from the answer, as it is
 * written.
 *
 * A model of a task knows one kind of prompt; the prompt of every turn stands alone. An empty line
 * asks a problem that training cannot have seen, and the task's verifier grades the answer.
 */

import { availableParallelism } from 'node:os';
import { createInterface } from 'node:readline';
import { Command } from 'commander';
import { UserError } from '../base/errors.js';
import { formatDuration, formatUsd, printable, printableLine } from '../base/text/index.js';
import { RUNS, resolveModel } from '../checkpoints/run-folder.js';
import { type Completion, createSampler } from '../inference/index.js';
import { type OpenModel, openModel, taskOf } from '../inference/open.js';
import { createStopwatch } from '../inference/stopwatch.js';
import { withOpening } from '../tasks/formats.js';
import { type Problem, problemAt, type Task } from '../tasks/task.js';
import { type Part, PartReader, type Piece, partsOf } from '../tasks/thinking.js';
import { tokensOpenThinking } from '../tokenizers/opening.js';
import { promptTokens } from '../tokenizers/prompting.js';
import { grade } from '../training/grade.js';
import { type ChatDocument, SCHEMA_VERSION } from './documents.js';
import { fetchNamed } from './named-model.js';
import {
  integerOption,
  note,
  numberOption,
  print,
  printDocument,
  type Style,
  styleFor,
  withExamples,
} from './output.js';
import { BLAS, NO_BLAS, NO_NATIVE, type ProductFlags, productsOfFlags } from './products.js';
import { addPrompting, type PromptingFlags, promptingOf } from './prompting.js';

interface ChatFlags extends ProductFlags, PromptingFlags {
  prompt?: string;
  temperature?: number;
  maxTokens: number;
  seed: number;
  trust?: boolean;
  runs: string;
  json?: boolean;
}

const TEMPERATURE = 0.6;

export interface Transcript {
  /** The text of the completion so far; what is new in it is written. */
  show(text: string): void;
  end(): void;
}

/**
 * Writes a completion as it grows: the thinking dim and behind a bar, the answer bold, on lines of
 * their own.
 */
export function createTranscript(write: (text: string) => void, style: Style): Transcript {
  let shown = 0;
  let part: Part = 'text';
  let atLineStart = true;
  const put = (text: string): void => {
    if (text === '') return;
    const paint = { thinking: style.dim, answer: style.bold, text: (plain: string) => plain }[part];
    const indent = part === 'thinking' ? style.dim('│ ') : '';
    const lines = printable(text).split('\n');
    lines.forEach((line, i) => {
      if (i > 0) {
        write('\n');
        atLineStart = true;
      }
      // What comes after the last line break is not a line yet.
      if (line === '' && i === lines.length - 1) return;
      if (atLineStart) write(indent);
      write(paint(line));
      atLineStart = false;
    });
  };
  const breakLine = (): void => {
    if (!atLineStart) write('\n');
    atLineStart = true;
  };
  const reader = new PartReader();
  const putPieces = (pieces: readonly Piece[]): void => {
    for (const piece of pieces) {
      if (piece.part !== part) breakLine();
      part = piece.part;
      put(piece.text);
    }
  };
  return {
    show(written) {
      // A carriage return may still turn out to be the first half of a line end.
      const text = written.replace(/\r$/, '');
      putPieces(reader.push(text.slice(shown)));
      shown = Math.max(shown, text.length);
    },
    end() {
      putPieces(reader.end());
      breakLine();
    },
  };
}

interface Answer {
  completion: Completion;
  text: string;
  promptTokens: number;
  seconds: number;
  usd: number;
}

/** One completion of one prompt. */
async function answer(
  opened: OpenModel,
  prompt: string,
  flags: ChatFlags,
  turn: number,
  onText?: (text: string) => void,
): Promise<Answer> {
  const { backend, model, tokenizer, config } = opened;
  const ids = encode(opened, prompt, flags);
  const thinks = tokensOpenThinking(tokenizer, ids);
  const room = config.max_position_embeddings - ids.length;
  if (room < 1) {
    const limit = `${ids.length} tokens are too many for this model, which takes ${config.max_position_embeddings - 2}`;
    throw new UserError('usage', `the prompt is too long: ${limit}; shorten it`, '--prompt');
  }
  const maxTokens = Math.min(flags.maxTokens, room);
  const stopwatch = createStopwatch(backend.threads);
  const mark = backend.mark();
  try {
    const sampler = createSampler(backend, model, {
      capacity: 1,
      maxPrompt: ids.length,
      maxTokens,
      eos: tokenizer.special.eos,
    });
    const drawn: number[] = [];
    const [completion] = await sampler.generate([ids], {
      samples: 1,
      maxTokens,
      temperature: flags.temperature ?? temperatureOf(opened),
      // What the makers of a foreign model leave out of its samples; ours leave out nothing.
      topP: opened.generation.topP ?? undefined,
      topK: opened.generation.topK ?? undefined,
      key: [flags.seed, 'chat', turn],
      onToken: (_prompt, _sample, token) => {
        if (token === tokenizer.special.eos) return;
        drawn.push(token);
        onText?.(withOpening(tokenizer.decode(drawn), thinks));
      },
    });
    return {
      completion,
      text: withOpening(tokenizer.decode(completion.tokens), thinks),
      promptTokens: ids.length,
      ...stopwatch.read(),
    };
  } finally {
    backend.release(mark);
  }
}

/** Ours say 1, which is what they were trained at; a conversation is better off with less. */
function temperatureOf({ task, generation }: OpenModel): number {
  return task === null ? (generation.temperature ?? TEMPERATURE) : TEMPERATURE;
}

/**
 * Token ids; a character that the model has never seen ends in a line that says what it has seen.
 */
function encode(opened: OpenModel, prompt: string, flags: ChatFlags): number[] {
  try {
    return promptTokens(opened.tokenizer, prompt, promptingOf(flags));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const example = exampleOf(ownTask(opened, flags.trust));
    throw new UserError(
      'usage',
      `${error.message}${example === null ? '' : `; try ${JSON.stringify(example)}`}`,
      '--prompt',
    );
  }
}

function exampleOf(task: Task | null): string | null {
  return task === null ? null : problemAt(task, 1, 'evaluation', 0).prompt;
}

/**
 * The model's own kind of problem; null where it has none, and, with a note, where that refers to
 * what is not the user's: the rest of a conversation does without.
 */
function ownTask(opened: OpenModel, trust?: boolean): Task | null {
  if (opened.task === null) return null;
  try {
    return taskOf(opened, trust);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    note(`note: ${error.message}`);
    return null;
  }
}

export function chatCommand(): Command {
  const command = new Command('chat')
    .description('talk to a model; the thinking is shown apart from the answer')
    .argument(
      '[model]',
      'a run (folder, name or part of its name) or a model folder; default: the newest run',
    )
    .option('--prompt <text>', 'answer this and end')
    .option(
      '--temperature <t>',
      `0 takes the most likely token (default: generation_config.json's, else ${TEMPERATURE})`,
      numberOption(0, 100),
    )
    .option('--max-tokens <n>', 'longest answer, thinking included', integerOption(1), 512)
    .option('--seed <n>', 'chooses the random numbers', integerOption(0, 0xffffffff), 1)
    .option('--trust', "follow what the model's task refers to outside its folder; it may be code")
    .addOption(NO_NATIVE)
    .addOption(BLAS)
    .addOption(NO_BLAS)
    .option('--runs <folder>', 'where runs are', RUNS)
    .option('--json', 'print one JSON document (needs --prompt)')
    .action(runChat);
  addPrompting(command);
  return withExamples(
    command,
    'reckoner chat',
    "reckoner chat r1-mini --prompt '9+4-5=' --json",
    "reckoner chat qwen3.gguf --system 'Answer in one sentence.' --thinking off --prompt 'What is rain?'",
  );
}

async function runChat(which: string | undefined, flags: ChatFlags): Promise<void> {
  if (flags.json && flags.prompt === undefined)
    throw new UserError('usage', '--json needs --prompt', '--prompt');
  const { folder, notes } = resolveModel(await fetchNamed(which), flags.runs);
  for (const text of notes) note(`note: ${text}`);
  const opened = await openModel(folder, {
    products: productsOfFlags(flags),
    threads: availableParallelism(),
  });
  try {
    if (flags.prompt === undefined) await converse(opened, which ?? folder, flags);
    else await answerOnce(opened, which ?? folder, flags.prompt.trim(), flags);
  } finally {
    await opened.close();
  }
}

async function answerOnce(
  opened: OpenModel,
  name: string,
  prompt: string,
  flags: ChatFlags,
): Promise<void> {
  if (!flags.json) {
    const transcript = createTranscript(
      (text) => process.stdout.write(text),
      styleFor(process.stdout),
    );
    const { completion } = await answer(opened, prompt, flags, 0, transcript.show);
    transcript.end();
    if (completion.stop === 'length')
      note(`note: cut off at ${completion.tokens.length} tokens; --max-tokens allows more`);
    return;
  }
  const { completion, text, promptTokens, seconds, usd } = await answer(opened, prompt, flags, 0);
  const document: ChatDocument = {
    schemaVersion: SCHEMA_VERSION,
    model: name,
    prompt,
    ...partsOf(text),
    text,
    tokens: { prompt: promptTokens, completion: completion.tokens.length },
    stopReason: completion.stop,
    seconds,
    usd,
  };
  printDocument(document);
}

/** Turn after turn, until the input ends. */
async function converse(opened: OpenModel, name: string, flags: ChatFlags): Promise<void> {
  const style = styleFor(process.stdout);
  const interactive = process.stdin.isTTY === true && process.stdout.isTTY === true;
  const task = ownTask(opened, flags.trust);
  const lines = createInterface({
    input: process.stdin,
    output: interactive ? process.stdout : undefined,
    prompt: style.cyan('› '),
  });
  lines.on('SIGINT', () => lines.close());
  if (interactive) {
    const hint =
      task === null
        ? ''
        : `; a prompt is like ${exampleOf(task)}, and an empty line asks an unseen problem`;
    print(`${style.bold(printableLine(name))}${style.dim(`${printable(hint)}. Ctrl-D ends.`)}`);
    lines.prompt();
  }
  let turn = 0;
  for await (const line of lines) {
    const problem =
      line.trim() === '' && task !== null ? problemAt(task, flags.seed, 'evaluation', turn) : null;
    const prompt = problem?.prompt ?? line.trim();
    if (prompt !== '') {
      try {
        await turnOf(opened, task, problem, prompt, flags, turn, style);
      } catch (error) {
        // A prompt that the model cannot read ends a script, but not a conversation.
        if (!interactive || !(error instanceof UserError)) throw error;
        note(`${styleFor(process.stderr).red('error:')} ${error.message}`);
      }
      turn++;
    }
    if (interactive) lines.prompt();
  }
  if (interactive) process.stdout.write('\n');
}

async function turnOf(
  opened: OpenModel,
  task: Task | null,
  problem: Problem | null,
  prompt: string,
  flags: ChatFlags,
  turn: number,
  style: Style,
): Promise<void> {
  if (problem !== null) print(style.cyan(printable(prompt)));
  const transcript = createTranscript((text) => process.stdout.write(text), style);
  const { completion, seconds, usd } = await answer(opened, prompt, flags, turn, transcript.show);
  transcript.end();
  const about = [`${completion.tokens.length} tokens`, formatDuration(seconds), formatUsd(usd)];
  if (completion.stop === 'length') about.unshift('cut off');
  if (problem !== null && task !== null) {
    const { verdict } = await grade(task, opened.tokenizer, problem, completion);
    about.unshift(
      verdict.correct ? style.green('✓ right') : `${style.red('✗ wrong')}: ${verdict.reason}`,
    );
  }
  note(style.dim(about.join(' · ')));
}
