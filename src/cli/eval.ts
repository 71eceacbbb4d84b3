/**
 * @file `reckoner eval`: how often a model is right on problems that training cannot have seen, and
 * what an answer costs.
 */
import { basename } from 'node:path';
import { Command } from 'commander';
import { UserError } from '../base/errors.js';
import { formatDuration } from '../base/text/index.js';
import { RUNS, resolveModel } from '../checkpoints/run-folder.js';
import { isReckoner, onlyModel } from '../evaluation/ask.js';
import { baseUrl } from '../evaluation/endpoint.js';
import { roomFor } from '../evaluation/evaluate.js';
import { evaluateHere } from '../evaluation/here.js';
import { catalogPricing, type Pricing } from '../evaluation/price.js';
import { reportOf } from '../evaluation/report.js';
import {
  answersOf,
  chooseProblems,
  createEndpoint,
  DEFAULT_PROBLEMS,
  evaluateEndpoint,
  problemsHash,
  transcriptsPath,
  weightsHash,
} from '../evaluation/run.js';
import { chooseTask, withUsualWords } from '../evaluation/task-choice.js';
import type { Transcript, TranscriptHeader } from '../evaluation/transcripts.js';
import { describeModel } from '../inference/share.js';
import { type TaskReference, tasks } from '../tasks/index.js';
import type { Problem, Task } from '../tasks/task.js';
import { type EvalDocument, SCHEMA_VERSION } from './documents.js';
import { evalCompareCommand } from './eval-compare.js';
import { createEvalProgress, renderEvaluation } from './eval-output.js';
import { fetchNamed } from './named-model.js';
import {
  integerOption,
  interruptSignal,
  note,
  numberOption,
  print,
  printDocument,
  styleFor,
  withExamples,
} from './output.js';
import { BLAS, NO_BLAS, NO_NATIVE, type ProductFlags, productsOfFlags } from './products.js';
import { addTaskPrompting, type PromptingFlags, withPromptingFlags } from './prompting.js';

interface EvalFlags extends ProductFlags, PromptingFlags {
  task?: string;
  trust?: boolean;
  problems?: number;
  samples: number;
  temperature: number;
  greedy?: boolean;
  maxTokens?: number;
  seed: number;
  out?: string;
  workers?: number;
  runs: string;
  json?: boolean;
  model?: string;
  key?: string;
  parallel: number;
  retries: number;
  timeout: number;
  usdPerMtok?: string;
  maxUsd?: number;
  completions?: boolean;
}

/** Default length limit of a local model's completions. */
const DEFAULT_MAX_TOKENS = 256;

export function evalCommand(): Command {
  const command = new Command('eval')
    .description(
      'accuracy on unseen problems (pass@1, pass@k, majority, greedy), with tokens and dollars per correct answer; of a local model ' +
        'or of any OpenAI-compatible endpoint. An interrupted evaluation resumes.',
    )
    .argument(
      '[model]',
      'a run (folder, name or part of its name), a model folder, or the URL of an endpoint; default: the newest run',
    )
    .option(
      '--task <task>',
      `what to ask: ${Object.keys(tasks).join(', ')}; a .jsonl of problems; a .ts or .js that exports a task; or a task with ` +
        'options as JSON (default: what the model was trained on)',
    )
    .option('--trust', "follow what the model's task refers to outside its folder; it may be code")
    .option(
      '--problems <n>',
      `distinct problems (default: ${DEFAULT_PROBLEMS}, or as many as the file has)`,
      integerOption(1),
    )
    .option('--samples <k>', 'sampled completions of each problem', integerOption(1, 1024), 4)
    .option('--temperature <t>', 'of the samples', numberOption(0.01, 100), 1)
    .option(
      '--greedy',
      'also decode each problem once at temperature 0 (default for a local model)',
    )
    .option('--no-greedy', 'leave that out (default for an endpoint)')
    .option(
      '--max-tokens <n>',
      `longest completion (default: ${DEFAULT_MAX_TOKENS}, or what the model has room for; an endpoint decides for itself)`,
      integerOption(1),
    )
    .option('--seed <n>', 'chooses problems and samples', integerOption(0, 0xffffffff), 1)
    .option(
      '--out <file>',
      'transcripts, a JSON line each (default: in evaluations/ in the folder of runs)',
    )
    .option(
      '--workers <n>',
      'local model: worker threads (default: one per core); the answers are the same',
      integerOption(1, 256),
    )
    .addOption(NO_NATIVE)
    .addOption(BLAS)
    .addOption(NO_BLAS)
    .option('--runs <folder>', 'where runs are', RUNS)
    .option(
      '--model <name>',
      "endpoint: the model's name there (default: the only one that it has)",
    )
    .option('--key <variable>', 'endpoint: the environment variable that holds the API key')
    .option('--parallel <n>', 'endpoint: requests at once', integerOption(1, 1024), 8)
    .option(
      '--retries <n>',
      'endpoint: times that a failed request is tried again',
      integerOption(0, 100),
      8,
    )
    .option(
      '--timeout <seconds>',
      'endpoint: time limit of one answer',
      numberOption(1, 86_400),
      600,
    )
    .option(
      '--usd-per-mtok <in,out[,cached]>',
      'endpoint: dollars per million input, output and cached input tokens (default: the cost that it reports, or the catalog)',
    )
    .option(
      '--max-usd <amount>',
      'endpoint: stop cleanly before all answers cost more; resumable',
      numberOption(0),
    )
    .option('--completions', 'endpoint: send the bare prompt to /completions, as to a base model')
    .option('--json', 'print one JSON document')
    .action(runEval);
  addTaskPrompting(command);
  withExamples(
    command,
    'reckoner eval',
    'reckoner eval r1-mini --problems 200 --samples 16 --json',
    `reckoner eval smollm2.gguf --task sums --format last-number --instruction 'Work out {problem} and end with the number.'`,
    'reckoner eval https://api.deepseek.com/v1 --model deepseek-flash --key DEEPSEEK_API_KEY --task gsm8k.jsonl --max-usd 1',
    'reckoner eval compare runs/evaluations/*.jsonl --published "AIME 2024" --out accuracy-cost.html',
  );
  command.addCommand(evalCompareCommand());
  return command;
}

async function runEval(which: string | undefined, flags: EvalFlags): Promise<void> {
  const { header, file, transcripts, task } = /^https?:/i.test(which ?? '')
    ? await ofEndpoint(which as string, flags)
    : await ofModelHere(which, flags);
  for (const text of task.notes ?? []) note(`note: ${text}`);
  const { model, seed, samples, temperature, maxTokens, pricing } = header;
  const answers = { have: transcripts.length, of: answersOf(header) };
  const report = reportOf(header, transcripts, task.voteOf);
  if (report.problems === 0) {
    const why = '--max-usd was reached before one problem had all its answers';
    throw new UserError(
      'state',
      `${why}: ${answers.have} of ${answers.of} are in ${file}; with more, the same command goes on`,
      '--max-usd',
    );
  }
  const document: EvalDocument = {
    schemaVersion: SCHEMA_VERSION,
    model,
    endpoint: header.request === null ? null : header.at,
    task: header.task,
    seed,
    samples,
    temperature,
    maxTokens,
    ...report,
    pricing,
    answers,
    stopped: answers.have < answers.of ? 'max-usd' : null,
    transcripts: file,
  };
  if (flags.json) printDocument(document);
  else print(renderEvaluation(document, styleFor(process.stdout)));
}

/** The flags on top of what the task says; the usual words where neither says any. */
const wordsOf =
  (flags: EvalFlags) =>
  (reference: TaskReference, trained: boolean): TaskReference => {
    const said = withPromptingFlags(reference, flags);
    const silent = flags.instruction === false || flags.completions === true || trained;
    return silent ? said : withUsualWords(said);
  };

/** What a record tells of the words that were sent. */
function sentWords(problem: Problem | undefined): string | null {
  const { system, instruction } = problem?.prompting ?? {};
  return [system, instruction].filter((text) => text).join('\n\n') || null;
}

interface Ended {
  header: TranscriptHeader;
  file: string;
  transcripts: Transcript[];
  task: Task;
}

/** What a task is called in reports: its file's name, or its own. */
function labelOf(task: Task, { file, module }: TaskReference): string {
  if (typeof file === 'string') return basename(file);
  return typeof module === 'string' ? `${task.name} (${basename(module)})` : task.name;
}

async function ofModelHere(which: string | undefined, flags: EvalFlags): Promise<Ended> {
  const { model, key, usdPerMtok, maxUsd } = flags;
  for (const [flag, value] of Object.entries({
    model,
    key,
    'usd-per-mtok': usdPerMtok,
    'max-usd': maxUsd,
  })) {
    if (value !== undefined) {
      throw new UserError(
        'usage',
        `--${flag} is for an endpoint; name one by its URL, as https://host/v1`,
        `--${flag}`,
      );
    }
  }
  const named = await fetchNamed(which);
  const { folder, run: source, step, notes } = resolveModel(named, flags.runs);
  for (const text of notes) note(`note: ${text}`);
  // Before the model is read: what is wrong with a task is said at once.
  if (flags.task !== undefined && !Object.hasOwn(tasks, flags.task))
    chooseTask(flags.task, null, false, wordsOf(flags));
  const described = describeModel(folder);
  const { tokenizer, config } = described;
  const { task, reference } = chooseTask(flags.task, described, flags.trust, wordsOf(flags));
  const { seed, samples, temperature, greedy = true, workers } = flags;
  const problems = chooseProblems(task, seed, flags.problems);
  for (const text of task.notes ?? []) note(`note: ${text}`);
  if (!problems.some(({ prompt }) => canEncode(tokenizer.encode, prompt))) {
    const foreign = [...problems[0].prompt].find((one) => !canEncode(tokenizer.encode, one));
    const known = described.task === null ? '' : `; it was trained on ${described.task.name}`;
    throw new UserError(
      'usage',
      `the model cannot read ${task.name}: it has no ${JSON.stringify(foreign)}${known}`,
      '--task',
    );
  }
  const room = roomFor(tokenizer, problems, config.max_position_embeddings);
  const maxTokens = flags.maxTokens ?? Math.min(DEFAULT_MAX_TOKENS, room);
  const header: TranscriptHeader = {
    // Without a name, that of the run: its model folder has the same name in every run.
    model:
      which ??
      (source === null
        ? basename(folder)
        : step === null
          ? source.name
          : `${source.name}, step ${step}`),
    at: weightsHash(folder),
    task: labelOf(task, reference),
    problemsHash: problemsHash(problems),
    seed,
    problems: problems.length,
    samples,
    temperature,
    greedy,
    maxTokens,
    request: null,
    pricing: null,
  };
  const file = flags.out ?? transcriptsPath(flags.runs, header);
  const progress = createEvalProgress(process.stderr, header);
  const run = {
    folder,
    described,
    reference,
    file,
    header,
    task,
    problems,
    maxTokens,
    workers,
    products: productsOfFlags(flags),
    progress,
  };
  try {
    const transcripts = await evaluateHere({ ...run, signal: interruptSignal() });
    return { header, file, transcripts, task };
  } finally {
    progress.done();
  }
}

async function ofEndpoint(address: string, flags: EvalFlags): Promise<Ended> {
  const url = baseUrl(address);
  if (flags.workers !== undefined) {
    throw new UserError(
      'usage',
      '--workers is for a local model; --parallel sets how many requests are open at once',
      '--workers',
    );
  }
  const { task, reference } = chooseTask(flags.task, null, false, wordsOf(flags));
  for (const text of task.notes ?? []) note(`note: ${text}`);
  const { seed, samples, temperature, greedy = false, maxTokens = null } = flags;
  const problems = chooseProblems(task, seed, flags.problems);
  let key: string | undefined;
  if (flags.key !== undefined) {
    key = process.env[flags.key]?.trim();
    if (key === undefined || key === '') {
      throw new UserError(
        'usage',
        `the environment variable ${flags.key} is empty; set it to the API key`,
        '--key',
      );
    }
  }
  const given = flags.usdPerMtok === undefined ? null : parsePrices(flags.usdPerMtok);
  const style = styleFor(process.stderr);
  let progress: ReturnType<typeof createEvalProgress> | null = null;
  const endpoint = createEndpoint({
    url,
    key,
    retries: flags.retries,
    timeoutSeconds: flags.timeout,
    signal: interruptSignal(),
    onRetry: (why, seconds) =>
      progress?.say(style.dim(`trying again in ${formatDuration(seconds)}: ${why}`)),
  });
  const model = flags.model ?? (await onlyModel(endpoint));
  const header: TranscriptHeader = {
    model,
    at: url,
    task: labelOf(task, reference),
    problemsHash: problemsHash(problems),
    seed,
    problems: problems.length,
    samples,
    temperature,
    greedy,
    maxTokens,
    request: flags.completions
      ? { api: 'completions', instruction: sentWords(problems[0]) }
      : { api: 'chat', instruction: sentWords(problems[0]) },
    pricing: given ?? catalogPricing(url, model),
  };
  const file = flags.out ?? transcriptsPath(flags.runs, header);
  progress = createEvalProgress(process.stderr, header);
  try {
    const { parallel, maxUsd } = flags;
    const own = !flags.completions && (await isReckoner(endpoint));
    const transcripts = await evaluateEndpoint({
      own,
      file,
      header,
      task,
      problems,
      endpoint,
      parallel,
      maxUsd,
      progress,
    });
    return { header, file, transcripts, task };
  } finally {
    progress.done();
  }
}

/** `0.55,2.19` or `0.55,2.19,0.14`. @throws UserError (usage) */
export function parsePrices(text: string): Pricing {
  const numbers = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  const [inputUsdPerMtok, outputUsdPerMtok, cachedInputUsdPerMtok = inputUsdPerMtok] = numbers;
  if (
    numbers.length < 2 ||
    numbers.length > 3 ||
    !numbers.every((number) => number >= 0 && Number.isFinite(number))
  ) {
    const message = `--usd-per-mtok takes two or three numbers, as 0.55,2.19,0.14 (read, written, read from the cache), not ${text}`;
    throw new UserError('usage', message, '--usd-per-mtok');
  }
  return {
    inputUsdPerMtok,
    cachedInputUsdPerMtok,
    outputUsdPerMtok,
    source: 'given with --usd-per-mtok',
    date: null,
  };
}

function canEncode(encode: (text: string) => number[], character: string): boolean {
  try {
    encode(character);
    return true;
  } catch {
    return false;
  }
}
