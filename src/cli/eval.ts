/**
 * @file `reckoner eval`: how often a model is right on problems that training cannot have seen, and what an answer costs.
 */
import { Command } from 'commander';
import { UserError } from '../base/errors.js';
import { RUNS, resolveModel } from '../checkpoints/run-folder.js';
import { evaluate } from '../evaluation/evaluate.js';
import { clusteredInterval, type Estimate, passAtK, wilsonInterval } from '../evaluation/statistics.js';
import { openModel, taskOf } from '../inference/open.js';
import { createStopwatch } from '../inference/stopwatch.js';
import { tasks } from '../tasks/index.js';
import { type EvalDocument, SCHEMA_VERSION } from './documents.js';
import { formatCount, formatDuration, formatNumber, formatShare, formatUsd } from './format.js';
import { integerOption, note, numberOption, print, printDocument, type Style, styleFor, withExamples } from './output.js';

interface EvalFlags {
  task?: string;
  problems: number;
  samples: number;
  temperature: number;
  greedy: boolean;
  maxTokens?: number;
  seed: number;
  blas: boolean;
  runs: string;
  json?: boolean;
}

/** Longest completion when nobody says otherwise. */
const DEFAULT_MAX_TOKENS = 256;

/** 1, 2, 4, … up to n, and n itself. */
export function powersUpTo(n: number): number[] {
  const out: number[] = [];
  for (let k = 1; k < n; k *= 2) out.push(k);
  return [...out, n];
}

export function evalCommand(): Command {
  const command = new Command('eval')
    .description('accuracy on unseen problems (pass@1, pass@k, majority, greedy), with tokens and dollars per correct answer')
    .argument('[model]', 'a run (folder, name or part of its name) or a model folder; default: the newest run')
    .option('--task <name>', `what to ask: ${Object.keys(tasks).join(', ')} (default: what the model was trained on)`)
    .option('--problems <n>', 'distinct problems', integerOption(1), 1000)
    .option('--samples <k>', 'sampled completions of each problem', integerOption(1, 1024), 4)
    .option('--temperature <t>', 'of the samples', numberOption(0.01, 100), 1)
    .option('--greedy', 'also decode each problem once at temperature 0', true)
    .option('--no-greedy', 'leave that out')
    .option(
      '--max-tokens <n>',
      `longest completion (default: ${DEFAULT_MAX_TOKENS}, or what the model has room for)`,
      integerOption(1),
    )
    .option('--seed <n>', 'chooses problems and samples', integerOption(0, 0xffffffff), 1)
    .option('--no-blas', "use Reckoner's own matrix product although the system has a BLAS")
    .option('--runs <folder>', 'where runs are', RUNS)
    .option('--json', 'print one JSON document')
    .action(runEval);
  return withExamples(command, 'reckoner eval', 'reckoner eval r1-mini --problems 200 --samples 16 --json');
}

async function runEval(which: string | undefined, flags: EvalFlags): Promise<void> {
  if (flags.task !== undefined && !Object.hasOwn(tasks, flags.task)) {
    throw new UserError('usage', `no task ${JSON.stringify(flags.task)}; there are ${Object.keys(tasks).join(', ')}`, '--task');
  }
  const { folder, notes } = resolveModel(which, flags.runs);
  for (const text of notes) note(`note: ${text}`);
  const opened = await openModel(folder, { blas: flags.blas });
  try {
    const { backend, model, tokenizer, config } = opened;
    const task = taskOf(opened, flags.task);
    const foreign = [...task.alphabet].find((character) => !canEncode(tokenizer.encode, character));
    if (foreign !== undefined) {
      const known = opened.task === null ? '' : `; it was trained on ${opened.task.name}`;
      throw new UserError('usage', `the model cannot read ${task.name}: it has no ${JSON.stringify(foreign)}${known}`, '--task');
    }
    const room = config.max_position_embeddings - (task.maxPromptLength + 1);
    const maxTokens = flags.maxTokens ?? Math.min(DEFAULT_MAX_TOKENS, room);
    const { problems, samples, temperature, greedy, seed } = flags;
    const progress = createCounter(process.stderr);
    const stopwatch = createStopwatch();
    const result = await evaluate(
      { backend, model, tokenizer, task, seed, onProgress: progress.show },
      { problems, samples, temperature, passAt: 1, greedy, maxTokens },
    );
    progress.done();
    const { seconds, usd } = stopwatch.read();
    const { results, correct } = result;
    const solved = correct.reduce((sum, c) => sum + c, 0) + (greedy ? results.greedy * problems : 0);
    const document: EvalDocument = {
      schemaVersion: SCHEMA_VERSION,
      model: which ?? folder,
      task: task.name,
      seed,
      problems,
      samples,
      temperature,
      maxTokens,
      pass1: clusteredInterval(correct.map((c) => c / samples)),
      passAtK: powersUpTo(samples).map((k) => ({
        k,
        value: correct.reduce((sum, c) => sum + passAtK(samples, c, k), 0) / problems,
      })),
      majority: wilsonInterval(Math.round(results.majority * problems), problems),
      greedy: greedy ? wilsonInterval(Math.round(results.greedy * problems), problems) : null,
      formatRate: results.wellFormed,
      meanLength: results.length,
      stopReasons: { eos: 1 - results.truncated, length: results.truncated },
      tokens: { prompt: result.tokensIn, completion: result.tokensOut },
      seconds,
      usd,
      usdPerCorrectAnswer: solved > 0 ? usd / solved : null,
    };
    if (flags.json) printDocument(document);
    else print(renderEvaluation(document, styleFor(process.stdout)));
  } finally {
    await opened.close();
  }
}

/** `1,024 of 5,000 completions`: in place on a terminal, a line every few seconds elsewhere. */
function createCounter(stream: NodeJS.WriteStream): { show(done: number, total: number): void; done(): void } {
  const live = stream.isTTY === true;
  let lastAt = performance.now();
  return {
    show(done, total) {
      const now = performance.now();
      if (now - lastAt < (live ? 100 : 5000)) return;
      lastAt = now;
      const text = `${formatCount(done)} of ${formatCount(total)} completions`;
      stream.write(live ? `\r\x1b[K${text}` : `${text}\n`);
    },
    done() {
      if (live) stream.write('\r\x1b[K');
    },
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

/** The document for people. */
export function renderEvaluation(document: EvalDocument, style: Style): string {
  const { pass1, majority, greedy, samples, problems } = document;
  const interval = ({ mean, low, high }: Estimate): string =>
    `${style.bold(formatShare(mean).padStart(6))}  ${style.dim(`95%: ${formatShare(low)} – ${formatShare(high)}`)}`;
  const rows: [name: string, text: string][] = [];
  rows.push(['pass@1', `${interval(pass1)}${style.dim(`, mean of ${samples} at temperature ${document.temperature}`)}`]);
  for (const { k, value } of document.passAtK) if (k > 1) rows.push([`pass@${k}`, style.bold(formatShare(value).padStart(6))]);
  if (samples > 2) rows.push([`majority of ${samples}`, interval(majority)]);
  if (greedy !== null) rows.push(['greedy', interval(greedy)]);
  rows.push(['right form', formatShare(document.formatRate).padStart(6)]);
  rows.push([
    'length',
    `${formatNumber(document.meanLength).padStart(6)} tokens, ${formatShare(document.stopReasons.length)} cut off`,
  ]);
  const { prompt, completion } = document.tokens;
  rows.push(['tokens', `${formatCount(prompt)} read, ${formatCount(completion)} written in ${formatDuration(document.seconds)}`]);
  const each = document.usdPerCorrectAnswer;
  rows.push(['cost', `${formatUsd(document.usd)}${each === null ? '' : `, ${formatUsd(each)} per correct answer`}`]);
  const title = `${style.bold(document.model)} on ${formatCount(problems)} unseen problems of ${style.bold(document.task)}, seed ${document.seed}`;
  return [title, ...rows.map(([name, text]) => `  ${name.padEnd(15)} ${text}`)].join('\n');
}
