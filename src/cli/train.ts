/**
 * @file `reckoner train`: runs a recipe, shows it learning, and ends with what it can do now and
 * what it cost.
 */

import { readFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { UserError } from '../base/errors.js';
import { readJson } from '../base/files.js';
import { formatAbout, formatBytes, formatUsd } from '../base/text/index.js';
import { defaultPriceBook, parsePriceBook, statementText } from '../ledger/index.js';
import { memoryText, mostOf } from '../plan/local/memory.js';
import type { PlanTotal } from '../plan/plan.js';
import { BACKENDS, type BackendKind } from '../policy/local/backend.js';
import { loadRecipe, trainableRecipes, withData } from '../recipe/index.js';
import { countsOf, stepsOf } from '../stages/index.js';
import { PRECISIONS, type Precision } from '../tensor/backends/webgpu/index.js';
import { train } from '../train/train.js';
import { readEvents } from '../usage/log.js';
import { evaluationsOf, learnedLines, nextLines, readSamples } from './ending.js';
import { fetchForRecipe } from './named-model.js';
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
import { BLAS, NO_BLAS, NO_NATIVE, type ProductFlags, productsOfFlags } from './products.js';
import { createProgress, type Progress } from './progress.js';
import { packageVersion } from './version.js';

interface TrainFlags extends ProductFlags {
  resume?: string | true;
  from?: string;
  data?: string;
  allowDrift?: boolean;
  trust?: boolean;
  seed?: number;
  workers?: number;
  backend?: BackendKind | 'auto';
  precision?: Precision;
  maxUsd?: number;
  maxMinutes?: number;
  prices?: string;
  runs?: string;
  json?: boolean;
}

export function trainCommand(): Command {
  const command = new Command('train')
    .description('run a recipe: train a model, with live progress; ends with the bill')
    .argument(
      '[recipe]',
      `a shipped recipe (${trainableRecipes().join(', ')}) or the path of a .json or .yaml file`,
      'r1-mini',
    )
    .option('--resume [run]', 'resume a run that stopped (default: the newest)')
    .option(
      '--from <stage>',
      'with --resume: run this stage and the later ones again, from what the earlier ones left',
    )
    .option(
      '--data <file>',
      'learn from this JSONL file in supervised stages: text, chats, or prompts with answers',
    )
    .option('--allow-drift', 'resume although something that determines the result has changed')
    .option(
      '--trust',
      "with --resume: follow what the run's recipe refers to outside your project; it may be code",
    )
    .option('--seed <n>', "override the recipe's seed", integerOption(0, 0xffffffff))
    .option(
      '--workers <n>',
      'worker threads, one per core (default: all cores)',
      integerOption(1, 256),
    )
    .addOption(
      new Option(
        '--backend <name>',
        'compute backend; auto: a GPU where it is measured to be faster',
      )
        .choices(['auto', ...BACKENDS])
        .default(undefined, 'wasm'),
    )
    .addOption(
      new Option('--precision <name>', "precision of a GPU's matrix products")
        .choices([...PRECISIONS])
        .default(undefined, 'f32'),
    )
    .addOption(NO_NATIVE)
    .addOption(BLAS)
    .addOption(NO_BLAS)
    .option('--max-usd <amount>', 'stop cleanly at this cost; resumable', numberOption(0))
    .option('--max-minutes <n>', 'stop cleanly after this time; resumable', numberOption(0))
    .option('--prices <file>', 'your own price book (JSON); see docs/guides/bill.md')
    .option('--runs <folder>', 'where runs are kept', 'runs')
    .option('--json', 'print the summary as one JSON document')
    .action(async (recipe: string, flags: TrainFlags) => {
      process.exitCode = await runTrain(
        recipe,
        flags,
        command.processedArgs.length > 0 && command.args.length > 0,
      );
    });
  return withExamples(
    command,
    'reckoner train',
    'reckoner train countdown --seed 2 --max-minutes 10',
    'reckoner train --resume',
  );
}

/** `≈ 4 min (90% interval 3 min 10 s to 5 min 50 s), $0.0040`: what a run will take. */
export function planLine({ seconds, usd }: Pick<PlanTotal, 'seconds' | 'usd'>): string {
  const [value, low, high] = [seconds.value, seconds.low, seconds.high].map(formatAbout);
  return `≈ ${value} (90% interval ${low} to ${high}), ${formatUsd(usd.value)}`;
}

async function runTrain(
  recipeName: string,
  flags: TrainFlags,
  recipeGiven: boolean,
): Promise<number> {
  const resuming = flags.resume !== undefined;
  if (resuming && (recipeGiven || flags.seed !== undefined)) {
    const field = recipeGiven ? 'recipe' : 'seed';
    throw new UserError(
      'usage',
      `--resume takes the run's own recipe and seed; leave out the ${field}`,
      field,
    );
  }
  if (flags.from !== undefined && !resuming) {
    throw new UserError(
      'usage',
      '--from repeats stages of a run; name the run with --resume',
      '--from',
    );
  }
  if (flags.data !== undefined && resuming) {
    throw new UserError('usage', "--resume takes the run's own data; leave out --data", '--data');
  }
  if (!resuming) await fetchForRecipe(recipeName);
  let recipe = resuming ? undefined : loadRecipe(recipeName, { trust: flags.trust });
  if (recipe && flags.seed !== undefined) recipe = { ...recipe, seed: flags.seed };
  if (recipe && flags.data !== undefined) recipe = withData(recipe, flags.data);
  const prices =
    flags.prices === undefined
      ? defaultPriceBook()
      : parsePriceBook(readJson(flags.prices, 'prices'), flags.prices);
  let progress: Progress | null = null;
  const signal = interruptSignal();
  signal.addEventListener('abort', () => progress?.stopping());

  const summary = await train({
    version: packageVersion(),
    recipe,
    resume: resuming ? (flags.resume === true ? '' : flags.resume) : undefined,
    from: flags.from,
    allowDrift: flags.allowDrift,
    trust: flags.trust,
    runs: flags.runs,
    workers: flags.workers,
    backend: flags.backend,
    precision: flags.precision,
    products: productsOfFlags(flags),
    maxUsd: flags.maxUsd,
    maxMinutes: flags.maxMinutes,
    prices,
    signal,
    onStart: (run, started, { workers, fingerprint, fromStep }) => {
      const style = styleFor(process.stderr);
      const from = fromStep > 0 ? `, from step ${fromStep}` : '';
      note(`${style.bold(started.name)} ${style.dim(`→ ${run.root}${from}`)}`);
      note(
        style.dim(
          `${workers} worker${workers === 1 ? '' : 's'}, seed ${started.seed}, ${fingerprint}`,
        ),
      );
      const stages = started.stages.map((stage) => {
        const steps = stepsOf(stage);
        const { completions, preparingSteps } = countsOf(stage);
        const { id, kind } = stage;
        return {
          id,
          kind,
          steps,
          completions: steps === 1 ? completions : undefined,
          preparingSteps: preparingSteps || undefined,
        };
      });
      progress = createProgress({ stream: process.stderr, title: started.name, stages });
    },
    onEvent: (event) => progress?.update(event),
    onCost: (usd) => progress?.cost(usd),
    onPlan: ({ total, stages }) => {
      const line = styleFor(process.stderr).dim(planLine(total));
      progress?.expect(new Map(stages.map((stage) => [stage.id, stage.seconds.value])), line);
    },
    onMemory: ({ stages }, count) => {
      const most = mostOf(stages);
      const shared = formatBytes(most.sharedBytes);
      const each = count === 1 ? '' : ' per worker';
      note(
        styleFor(process.stderr).dim(
          `memory: ${shared} of weights and optimizer; ${memoryText(most)}${each} in stage ${most.stage}`,
        ),
      );
    },
    onBackend: (kind, why) => note(`auto takes ${kind}: ${why}`),
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
  const evaluations = evaluationsOf(events);
  const bill = JSON.parse(readFileSync(summary.run.bill, 'utf8'));
  if (flags.json) {
    const { run, reason, message, step, seconds, workers, fingerprint, memory } = summary;
    const { name, root } = run;
    const totals = { headlineUsd: bill.totals.headline.amount, fullUsd: bill.totals.full.amount };
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
    const style = styleFor(process.stdout);
    const parts = [
      learnedLines(evaluations, readSamples(summary.run.samples), style),
      [statementText(bill, { style, width: process.stdout.columns, brief: true })],
      nextLines(summary, style),
    ];
    for (const lines of parts) if (lines.length > 0) print(`\n${lines.join('\n')}`);
  }
  if (diverged) throw diverged;
  return summary.reason === 'interrupted' ? EXIT.interrupted : EXIT.success;
}
