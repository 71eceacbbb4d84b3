/**
 * @file `reckoner plan`: what a recipe would take on a machine or cluster, with the layout, the
 * interval and the reasons.
 */

import { Command, Option } from 'commander';
import { describeParameters } from '../architecture/index.js';
import { UserError } from '../base/errors.js';
import {
  columns,
  formatCompact,
  formatDuration,
  formatShare,
  formatSignificant,
  formatUsd,
  formatUsdCompact,
  type Table,
  TEXT_WIDTH,
  tableLines,
  textWidth,
  wrap as wrapAt,
} from '../base/text/index.js';
import { readTarget } from '../plan/cluster/cluster-file.js';
import { parseLayout } from '../plan/cluster/layout-text.js';
import { type Plan, planRecipe } from '../plan/cluster/plan.js';
import { coreName, LOCAL_GPU, type LocalDevice, planLocal } from '../plan/local/plan-document.js';
import type { Quantity } from '../planner/cluster.js';
import { BACKENDS, type BackendKind } from '../policy/local/backend.js';
import { inspectGpus } from '../policy/local/gpu.js';
import { loadRecipe, shippedRecipes } from '../recipe/index.js';
import { PRECISIONS, type Precision, requireAdapter } from '../tensor/backends/webgpu/index.js';
import { measure } from './doctor.js';
import type { PlanDocument } from './documents.js';
import { fetchForRecipe } from './named-model.js';
import { PLAIN, print, printDocument, type Style, styleFor, withExamples } from './output.js';
import { planServeCommand } from './plan-serve.js';

interface Flags {
  on?: string;
  layout?: string;
  backend?: BackendKind;
  precision?: Precision;
  trust?: boolean;
  json?: boolean;
}

/** Losing layouts that are shown for each kind of reason. */
const SHOWN = 3;

const range = ({ low, high }: Quantity, form: (value: number) => string = formatCompact): string =>
  low === high ? '' : `${form(low)} to ${form(high)}`;
const elapsed = (days: number): string => formatDuration(days * 86400);
const usd = formatUsdCompact;

/** The table of a plan for a cluster: head, stages, total. */
function clusterTable({ stages, total }: Plan): Table {
  const rows = stages.map((stage) => [
    stage.id,
    formatCompact(stage.tokens),
    formatCompact(stage.gpuHours.value),
    range(stage.gpuHours),
    elapsed(stage.days.value),
    formatShare(stage.mfuCausal.value),
    stage.memoryBytesPerGpu === null ? '–' : formatSignificant(stage.memoryBytesPerGpu.value / 1e9),
    usd(stage.usd.value),
    range(stage.usd, usd),
  ]);
  const sum = [
    'total',
    '',
    formatCompact(total.gpuHours.value),
    range(total.gpuHours),
    elapsed(total.days.value),
    '',
    '',
  ];
  const head = [
    'stage',
    'tokens',
    'GPU-hours',
    '90% interval',
    'time',
    'MFU',
    'GB/GPU',
    'USD',
    '90% interval',
  ];
  return {
    head,
    right: head.map((_, i) => i > 0),
    rows,
    footer: [[...sum, usd(total.usd.value), range(total.usd, usd)]],
    optional: ['MFU', 'GB/GPU', 'tokens', '90% interval'],
  };
}

/** The same for this machine, where minutes say more than core-hours. */
function localTable({ stages, total }: Plan): Table {
  const row = (
    id: string,
    tokens: string,
    mfu: string,
    { days, usd: cost }: Pick<Plan['total'], 'days' | 'usd'>,
  ): string[] => [
    id,
    tokens,
    elapsed(days.value),
    range(days, elapsed),
    mfu,
    formatUsd(cost.value),
  ];
  return {
    head: ['stage', 'tokens', 'time', '90% interval', 'MFU', 'USD'],
    right: [false, true, true, true, true, true],
    rows: stages.map((stage) =>
      row(stage.id, formatCompact(stage.tokens), formatShare(stage.mfuCausal.value), stage),
    ),
    footer: [row('total', '', '', total)],
    optional: ['MFU', 'tokens'],
  };
}

/** The plan for people. @param width columns of the terminal; at most 100 are used */
export function renderPlan(plan: Plan, style: Style = PLAIN, width = TEXT_WIDTH): string {
  const wrap = (text: string, rest = '  ') => wrapAt(text, { width, rest });
  const { cluster, model, stages, total, sensitivity, published, notes, rejected } = plan;
  const { usdPerHour, goodput, pue, loadFactor } = cluster;
  const { parameters } = model;
  const here = cluster.name === 'local' || cluster.name === LOCAL_GPU;
  const unit = cluster.name === 'local' ? 'core' : 'GPU';
  const lines = [
    style.bold(`${plan.recipe} on ${cluster.name}`),
    ...wrap(
      `${formatCompact(total.gpuHours.value)} ${unit}-hours, ${elapsed(total.days.value)}, ${usd(total.usd.value)} (90% interval ${range(total.usd, usd)}), ${formatCompact(total.energyKwh.value)} kWh.`,
    ),
    '',
    ...wrap(`model    ${describeParameters(parameters)}`, '         '),
    ...wrap(
      `machine  ${cluster.count} × ${cluster.accelerator} at ${usd(usdPerHour.value)} an hour (${[range(usdPerHour, usd), usdPerHour.source].filter((part) => part !== '').join('; ')}${usdPerHour.date === '' ? '' : `, ${usdPerHour.date}`})`,
      '         ',
    ),
    ...(here
      ? []
      : wrap(
          `assumed  ${formatShare(goodput.value, 0)} of the time makes progress (${range(goodput, percent)}), ${formatShare(loadFactor.value, 0)} of nameplate power, PUE ${formatSignificant(pue.value)}`,
          '         ',
        )),
    '',
  ];
  const table = tableLines(here ? localTable(plan) : clusterTable(plan), width);
  const last = table.length - 1;
  lines.push(style.bold(table[0]), ...table.slice(1, last));
  lines.push(
    style.dim('─'.repeat(Math.max(...table.map((line) => line.length)))),
    style.bold(table[last]),
    '',
  );

  const [head, ...named] = columns(
    [
      ['stage', 'a step', `tokens/s/${unit}`],
      ...stages.map(({ id, stepSeconds, tokensPerSecondPerGpu }) => [
        id,
        `${formatSignificant(stepSeconds.value)} s`,
        formatCompact(tokensPerSecondPerGpu.value),
      ]),
    ],
    [false, true, true],
  );
  lines.push(style.bold(`${head}  layout`));
  for (const [i, line] of named.entries())
    lines.push(...wrap(`${line}  ${stages[i].layout}`, ' '.repeat(line.length + 2)));

  if (published.length > 0) {
    const compared = published.map(({ what, gpuHours, predicted, relativeError }) => [
      what,
      formatCompact(gpuHours),
      formatCompact(predicted.value),
      `${relativeError < 0 ? '' : '+'}${percent(relativeError)}`,
      predicted.low <= gpuHours && gpuHours <= predicted.high ? 'yes' : 'no',
    ]);
    const [title, ...body] = tableLines(
      {
        head: ['GPU-hours', 'published', 'predicted', 'error', 'in the interval'],
        right: [false, true, true, true, true],
        rows: compared,
      },
      width,
    );
    lines.push('', style.bold(title), ...body);
    for (const source of new Set(published.map((one) => one.source)))
      lines.push(...wrap(style.dim(`source: ${source}`)));
  }
  if (sensitivity.length > 0) {
    lines.push('', style.bold('What the total in USD depends on'));
    for (const { what, share } of sensitivity.slice(0, 6))
      lines.push(`${percent(share).padStart(6)}  ${what}`);
  }
  lines.push(...whyOthersLost(plan, rejected, style, wrap));
  for (const text of notes) lines.push('', ...wrap(`note: ${text}`));
  lines.push(
    '',
    ...wrap(
      style.dim(
        here
          ? 'MFU counts the model’s operations, attention causally, against the best matrix products that were seen here.'
          : 'MFU counts the model’s operations, attention causally, against the 16-bit peak. GPU-hours include what is lost; a step does not. USD is rent: no staff, no failed experiments, no storage.',
      ),
      '',
    ),
  );
  return lines.join('\n');
}

const percent = (share: number): string => formatShare(share, Math.abs(share) < 0.1 ? 1 : 0);

/** For the first stage with reasons: the nearest losers of each kind. */
function whyOthersLost(
  { stages }: Plan,
  rejected: Plan['rejected'],
  style: Style,
  wrap: (text: string, rest: string) => string[],
): string[] {
  const stage = stages.find(({ id }) => rejected.some((loser) => loser.stage === id))?.id;
  if (stage === undefined) return [];
  const losers = rejected.filter((loser) => loser.stage === stage);
  const shown = (['slower', 'memory', 'divisibility'] as const).flatMap((kind) =>
    losers.filter((loser) => loser.kind === kind).slice(0, SHOWN),
  );
  const [head, ...rows] = [
    `Why other layouts of ${stage} lost`,
    ...shown.map(({ layout, reason }) => `${layout}: ${reason}`),
  ];
  return ['', style.bold(head), ...rows.flatMap((row) => wrap(`  ${row}`, '      '))];
}

function show(plan: Plan, { json }: Flags): void {
  if (json) printDocument(plan satisfies PlanDocument);
  else print(renderPlan(plan, styleFor(process.stdout), textWidth(process.stdout.columns)));
}

async function measureCore(): Promise<LocalDevice> {
  const { native, kernel, blas } = await measure();
  return {
    name: coreName(),
    gpu: false,
    peakFlops: 1e9 * Math.max(native?.gflops ?? 0, kernel.gflops, blas?.gflops ?? 0),
  };
}

/** @throws UserError where there is none */
async function measureGpu(precision?: Precision): Promise<LocalDevice> {
  await requireAdapter();
  const [gpu] = await inspectGpus(precision);
  return { name: gpu.name, gpu: true, peakFlops: 1e9 * gpu.gflops };
}

export function planCommand(): Command {
  const command = new Command('plan')
    .description(
      'What a recipe would take on a machine or cluster: the best layout, GPU-hours, days, energy, dollars, with intervals.',
    )
    .argument(
      '<recipe>',
      `a shipped recipe (${shippedRecipes().join(', ')}) or the path of a .json or .yaml file`,
    )
    .option(
      '--on <cluster>',
      'local, <gpu>x<count> such as h800x2048, or a .yaml file; see docs/guides/plan.md',
    )
    .option(
      '--layout <parts>',
      'parts of the layout that are given, such as "pp16 ep64 dualpipe"; the rest is searched for',
    )
    .addOption(new Option('--backend <name>', 'compute backend, with --on local').choices(BACKENDS))
    .addOption(
      new Option('--precision <name>', "precision of a GPU's matrix products").choices(PRECISIONS),
    )
    .option('--trust', "follow what a run's recipe refers to outside your project; it may be code")
    .option('--json', 'print one JSON document')
    .action(async (name: string, flags: Flags) => {
      // Not a required option: commander takes it from `plan serve`, too.
      if (flags.on === undefined)
        throw new UserError('usage', 'say where with --on; see reckoner plan --help', '--on');
      await fetchForRecipe(name);
      const recipe = loadRecipe(name, { trust: flags.trust });
      if (flags.on === 'local') {
        if (flags.layout !== undefined)
          throw new UserError('usage', '--layout is of clusters; leave it out', '--layout');
        const { backend = 'wasm', precision } = flags;
        const measureDevice = backend === 'webgpu' ? () => measureGpu(precision) : measureCore;
        show(await planLocal(recipe, { measureDevice, backend, precision }), flags);
        return;
      }
      for (const name of ['backend', 'precision'] as const) {
        if (flags[name] !== undefined)
          throw new UserError('usage', `--${name} is of this machine; say --on local`, `--${name}`);
      }
      const target = readTarget(flags.on);
      if (flags.layout !== undefined)
        target.layout = { ...target.layout, ...parseLayout(flags.layout, '--layout') };
      show(planRecipe(recipe, target), flags);
    });
  command.addCommand(planServeCommand());
  return withExamples(
    command,
    'reckoner plan deepseek-v3 --on h800x2048',
    'reckoner plan deepseek-v3 --on h800x2048 --layout "pp16 ep64 dualpipe" --json',
    'reckoner plan deepseek-r1 --on h200x512',
    'reckoner plan r1-mini --on local',
    'reckoner plan r1-mini --on local --backend webgpu',
    'reckoner plan serve DeepSeek-V3 --on h800x32 --slo tpot=50ms',
  );
}
