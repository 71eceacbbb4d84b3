/**
 * @file `reckoner train`: runs a recipe, shows it learning, and ends with what it can do now and what it cost.
 */
import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { UserError } from '../base/errors.js';
import { readJson } from '../base/files.js';
import { billText, defaultPriceBook, parsePriceBook } from '../ledger/index.js';
import { BACKENDS, type BackendKind } from '../recipes/backend.js';
import { loadRecipe, shippedRecipes } from '../recipes/schema.js';
import { type TrainSummary, train } from '../recipes/train.js';
import { readEvents } from '../usage/log.js';
import {
  EXIT,
  integerOption,
  interruptSignal,
  note,
  numberOption,
  print,
  printDocument,
  styleFor,
  withExamples,
} from './output.js';
import { createProgress, type Progress } from './progress.js';
import { packageVersion } from './version.js';

interface TrainFlags {
  resume?: string | true;
  allowDrift?: boolean;
  seed?: number;
  workers?: number;
  backend?: BackendKind;
  blas: boolean;
  maxUsd?: number;
  maxMinutes?: number;
  prices?: string;
  runs?: string;
  json?: boolean;
}

export function trainCommand(): Command {
  const command = new Command('train')
    .description('run a recipe: train a model from random weights, with live progress; ends with the bill')
    .argument('[recipe]', `a shipped recipe (${shippedRecipes().join(', ')}) or the path of a .json file`, 'r1-mini')
    .option('--resume [run]', 'go on with a run that stopped (default: the newest)')
    .option('--allow-drift', 'resume although something that the result rests on has changed')
    .option('--seed <n>', "override the recipe's seed", integerOption(0, 0xffffffff))
    .option('--workers <n>', 'worker threads, one a core (default: all cores)', integerOption(1, 256))
    .addOption(new Option('--backend <name>', 'what computes').choices([...BACKENDS]).default(undefined, 'wasm'))
    .option('--no-blas', "use Reckoner's own matrix product although the system has a BLAS")
    .option('--max-usd <amount>', 'stop cleanly at this cost; resumable', numberOption(0))
    .option('--max-minutes <n>', 'stop cleanly after this time; resumable', numberOption(0))
    .option('--prices <file>', 'your own price book (JSON); see docs/guides/bill.md')
    .option('--runs <folder>', 'where runs are kept', 'runs')
    .option('--json', 'print the summary as one JSON document')
    .action(async (recipe: string, flags: TrainFlags) => {
      process.exitCode = await runTrain(recipe, flags, command.processedArgs.length > 0 && command.args.length > 0);
    });
  return withExamples(command, 'reckoner train', 'reckoner train countdown --seed 2 --max-minutes 10', 'reckoner train --resume');
}

async function runTrain(recipeName: string, flags: TrainFlags, recipeGiven: boolean): Promise<number> {
  const resuming = flags.resume !== undefined;
  if (resuming && (recipeGiven || flags.seed !== undefined)) {
    const field = recipeGiven ? 'recipe' : 'seed';
    throw new UserError('usage', `--resume goes on with the run's own recipe and seed; leave out the ${field}`, field);
  }
  let recipe = resuming ? undefined : loadRecipe(recipeName);
  if (recipe && flags.seed !== undefined) recipe = { ...recipe, seed: flags.seed };
  const prices = flags.prices === undefined ? defaultPriceBook() : parsePriceBook(readJson(flags.prices, 'prices'), flags.prices);
  let progress: Progress | null = null;

  const summary = await train({
    version: packageVersion(),
    recipe,
    resume: resuming ? (flags.resume === true ? '' : flags.resume) : undefined,
    allowDrift: flags.allowDrift,
    runs: flags.runs,
    workers: flags.workers,
    backend: flags.backend,
    blas: flags.blas,
    maxUsd: flags.maxUsd,
    maxMinutes: flags.maxMinutes,
    prices,
    signal: interruptSignal(),
    onStart: (run, started, { workers, fingerprint, fromStep }) => {
      const style = styleFor(process.stderr);
      const from = fromStep > 0 ? `, from step ${fromStep}` : '';
      note(`${style.bold(started.name)} ${style.dim(`→ ${run.root}${from}`)}`);
      note(style.dim(`${workers} worker${workers === 1 ? '' : 's'}, seed ${started.seed}, ${fingerprint}`));
      const stages = started.stages.map((stage) => ({
        id: stage.id,
        kind: stage.kind,
        steps: 'steps' in stage ? stage.steps : 1,
      }));
      progress = createProgress({ stream: process.stderr, title: started.name, stages });
    },
    onEvent: (event) => progress?.update(event),
    onCost: (usd) => progress?.cost(usd),
    onWarning: (message) => note(`warning: ${message}`),
  }).finally(() => progress?.done());

  const diverged =
    summary.reason === 'diverged'
      ? new UserError(
          'diverged',
          `${summary.message}; the last good checkpoint is kept: lower the learning rate in ${summary.run.recipe}, then "reckoner train --resume ${summary.run.name} --allow-drift"`,
        )
      : null;
  // With --json there is one document, and a run that diverged has failed.
  if (diverged && flags.json) throw diverged;
  const { events } = await readEvents(summary.run.events);
  const evaluations = events.flatMap((event) =>
    event.type === 'evaluation' ? [{ stage: event.stage, task: event.task, results: event.results }] : [],
  );
  const bill = JSON.parse(readFileSync(summary.run.bill, 'utf8'));
  if (flags.json) {
    const { run, reason, message, step, seconds, workers, fingerprint, memory } = summary;
    const { name, root } = run;
    const totals = { headlineUsd: bill.totals.headline.usd, fullUsd: bill.totals.full.usd };
    printDocument({
      schemaVersion: 1,
      run: { name, folder: root },
      recipe: summary.recipe.name,
      seed: summary.recipe.seed,
      reason,
      ...(message === undefined ? {} : { message }),
      step,
      seconds,
      workers,
      backend: fingerprint,
      memory,
      evaluations,
      totals,
    });
  } else {
    print(ending(summary, evaluations, readSamples(summary.run.samples)));
    print(billText(bill, { style: styleFor(process.stdout) }));
  }
  if (diverged) throw diverged;
  return summary.reason === 'interrupted' ? EXIT.interrupted : EXIT.success;
}

interface Sample {
  stage: string;
  prompt: string;
  completion: string;
  correct: boolean;
  reason: string;
}

function readSamples(file: string): Sample[] {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return [];
  }
  const out: Sample[] = [];
  for (const line of text.split('\n')) {
    try {
      if (line !== '') out.push(JSON.parse(line) as Sample);
    } catch {
      // A kill can tear the last line of a file that is for reading only.
    }
  }
  return out;
}

/** What the model could do before and after, in its own words, and where everything is. */
function ending(
  summary: TrainSummary,
  evaluations: readonly { stage: string; results: Record<string, number> }[],
  samples: readonly Sample[],
): string {
  const style = styleFor(process.stdout);
  const lines: string[] = [''];
  const percent = (x: number): string => `${(100 * x).toFixed(1)}%`;
  for (const { stage, results } of evaluations) {
    const { pass1, pass1Half95, greedy, length, problems } = results;
    lines.push(
      `${style.bold(stage.padEnd(14))} ${percent(pass1).padStart(6)} ± ${(100 * pass1Half95).toFixed(1)} sampled, ` +
        `${percent(greedy).padStart(6)} greedy on ${problems} unseen problems; ${length.toFixed(1)} tokens`,
    );
  }
  const first = evaluations[0]?.stage;
  const last = evaluations.at(-1)?.stage;
  if (first !== undefined && last !== undefined && first !== last) {
    const of = (stage: string): Map<string, Sample> =>
      new Map(samples.filter((s) => s.stage === stage).map((s) => [s.prompt, s]));
    const before = of(first);
    const after = of(last);
    // A problem that it failed before and solves now shows most; any other will do.
    const prompts = [...before.keys()].filter((prompt) => after.has(prompt));
    const shown = prompts.find((p) => !before.get(p)?.correct && after.get(p)?.correct) ?? prompts[0];
    if (shown !== undefined) {
      lines.push('', `${style.bold('An unseen problem')}  ${shown}`);
      for (const [label, sample] of [
        [first, before.get(shown)],
        [last, after.get(shown)],
      ] as const) {
        if (!sample) continue;
        const mark = sample.correct ? style.green('right') : style.red('wrong');
        lines.push(`  ${label} (${mark}: ${sample.reason})`);
        for (const text of sample.completion.split('\n')) lines.push(style.dim(`    ${text}`));
      }
    }
  }
  const { reason, run, step } = summary;
  if (reason === 'completed') {
    lines.push('', `The model is in ${run.model}. Talk to it: ${style.bold(`npx reckoner chat ${run.name}`)}`);
  } else if (reason !== 'diverged') {
    const why = { interrupted: 'interrupted', 'max-usd': 'reached --max-usd', 'max-minutes': 'reached --max-minutes' }[
      reason as string
    ];
    lines.push('', `Stopped at step ${step}: ${why ?? reason}. Go on: ${style.bold(`npx reckoner train --resume ${run.name}`)}`);
  }
  return `${lines.join('\n')}\n`;
}
