/**
 * @file A plan for people: its tables, which the studio shows as well, and its text for a terminal.
 */
import { describeParameters } from '../architecture/describe.js';
import type { Quantity } from '../base/quantity.js';
import {
  columns,
  formatChange,
  formatCompact,
  formatDuration,
  formatShare,
  formatSignificant,
  formatUsd,
  formatUsdCompact,
  NONE,
  PLAIN_STYLE,
  type Table,
  TEXT_WIDTH,
  type TextStyle,
  tableLines,
  wrap as wrapAt,
} from '../base/text/index.js';
import type { Plan, PlannedStage, PublishedComparison } from './plan.js';

/** Losing layouts that are shown for each kind of reason. */
const SHOWN = 3;

type Form = (value: number) => string;

/** `2.0M to 5.7M`; nothing for what is given exactly. */
const range = ({ low, high }: Quantity, form: Form = formatCompact): string =>
  low === high ? '' : `${form(low)} to ${form(high)}`;
const usd = formatUsdCompact;
const percent = (share: number): string => formatShare(share, Math.abs(share) < 0.1 ? 1 : 0);
/** A bare number where the head of the column has the unit. */
const gigabytes = (bytes: Quantity | null): string =>
  bytes === null ? NONE : formatSignificant(bytes.value / 1e9);
const mfuOf = ({ mfuCausal }: PlannedStage): string =>
  mfuCausal === null ? NONE : formatShare(mfuCausal.value);

/** True for a plan of this machine: minutes say more than core-hours there. */
const isLocal = ({ calibration }: Plan): boolean => calibration !== undefined;

/** Stages and their total. */
export const stageTable = (plan: Plan): Table =>
  isLocal(plan) ? localTable(plan) : clusterTable(plan);

function clusterTable({ stages, total }: Plan): Table {
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
  const row = (id: string, of: Plan['total'], tokens: string, mfu: string, memory: string) => [
    id,
    tokens,
    formatCompact(of.gpuHours.value),
    range(of.gpuHours),
    formatDuration(of.seconds.value),
    mfu,
    memory,
    usd(of.usd.value),
    range(of.usd, usd),
  ];
  return {
    head,
    right: head.map((_, i) => i > 0),
    rows: stages.map((stage) =>
      row(
        stage.id,
        stage,
        formatCompact(stage.tokens),
        mfuOf(stage),
        gigabytes(stage.memoryBytesPerGpu),
      ),
    ),
    footer: [row('total', total, '', '', '')],
    optional: ['MFU', 'GB/GPU', 'tokens', '90% interval'],
  };
}

function localTable({ stages, total }: Plan): Table {
  const row = (id: string, of: Plan['total'], tokens: string, mfu: string): string[] => [
    id,
    tokens,
    formatDuration(of.seconds.value),
    range(of.seconds, formatDuration),
    mfu,
    formatUsd(of.usd.value),
  ];
  return {
    head: ['stage', 'tokens', 'time', '90% interval', 'MFU', 'USD'],
    right: [false, true, true, true, true, true],
    rows: stages.map((stage) => row(stage.id, stage, formatCompact(stage.tokens), mfuOf(stage))),
    footer: [row('total', total, '', '')],
    optional: ['MFU', 'tokens'],
  };
}

/** Predicted hours beside those that others published. */
export const publishedTable = (published: readonly PublishedComparison[]): Table => ({
  head: ['GPU-hours', 'published', 'predicted', 'error', 'in the interval'],
  right: [false, true, true, true, true],
  rows: published.map(({ what, gpuHours, predicted, relativeError }) => [
    what,
    formatCompact(gpuHours),
    formatCompact(predicted.value),
    formatChange(relativeError, Math.abs(relativeError) < 0.1 ? 1 : 0),
    predicted.low <= gpuHours && gpuHours <= predicted.high ? 'yes' : 'no',
  ]),
});

interface Pen {
  style: TextStyle;
  width: number;
  wrap: (text: string, rest?: string) => string[];
}

/** @param width columns of the terminal; at most 100 are used */
export function planText(plan: Plan, style: TextStyle = PLAIN_STYLE, width = TEXT_WIDTH): string {
  const wrap = (text: string, rest = '  ') => wrapAt(text, { width, rest });
  const pen = { style, width, wrap };
  const sections = [
    headLines(plan, pen),
    stageLines(plan, pen),
    layoutLines(plan, pen),
    publishedLines(plan, pen),
    sensitivityLines(plan, pen),
    lossLines(plan, pen),
    ...plan.notes.map((text) => wrap(`note: ${text}`)),
    wrap(
      style.dim(
        isLocal(plan)
          ? 'MFU counts the model’s operations, attention causally, against the best matrix products that were seen here.'
          : 'MFU counts the model’s operations, attention causally, against the 16-bit peak. GPU-hours include what is lost; a step does not. USD is rent: no staff, no failed experiments, no storage.',
      ),
      '',
    ),
  ];
  return sections
    .filter((lines) => lines.length > 0)
    .map((lines) => lines.join('\n'))
    .join('\n\n');
}

const unitOf = ({ cluster }: Plan): string => (cluster.name === 'local' ? 'core' : 'GPU');

function headLines(plan: Plan, { style, wrap }: Pen): string[] {
  const { cluster, model, total } = plan;
  const { usdPerHour, goodput, pue, loadFactor } = cluster;
  const source = [range(usdPerHour, usd), usdPerHour.source].filter((part) => part !== '');
  const date = usdPerHour.date === '' ? '' : `, ${usdPerHour.date}`;
  const indent = '         ';
  return [
    style.bold(`${plan.recipe} on ${cluster.name}`),
    ...wrap(
      `${formatCompact(total.gpuHours.value)} ${unitOf(plan)}-hours, ${formatDuration(total.seconds.value)}, ${usd(total.usd.value)} (90% interval ${range(total.usd, usd)}), ${formatCompact(total.energyKwh.value)} kWh.`,
    ),
    '',
    ...wrap(`model    ${describeParameters(model.parameters)}`, indent),
    ...wrap(
      `machine  ${cluster.count} × ${cluster.accelerator} at ${usd(usdPerHour.value)} an hour (${source.join('; ')}${date})`,
      indent,
    ),
    ...(isLocal(plan)
      ? []
      : wrap(
          `assumed  ${formatShare(goodput.value, 0)} of the time makes progress (${range(goodput, percent)}), ${formatShare(loadFactor.value, 0)} of nameplate power, PUE ${formatSignificant(pue.value)}`,
          indent,
        )),
  ];
}

function stageLines(plan: Plan, { style, width }: Pen): string[] {
  const table = tableLines(stageTable(plan), width);
  const last = table.length - 1;
  return [
    style.bold(table[0]),
    ...table.slice(1, last),
    style.dim('─'.repeat(Math.max(...table.map((line) => line.length)))),
    style.bold(table[last]),
  ];
}

function layoutLines(plan: Plan, { style, wrap }: Pen): string[] {
  const { stages } = plan;
  const rows = stages.map(({ id, stepSeconds, tokensPerSecondPerGpu }) => [
    id,
    formatDuration(stepSeconds.value),
    formatCompact(tokensPerSecondPerGpu.value),
  ]);
  const head = ['stage', 'a step', `tokens/s/${unitOf(plan)}`];
  const [first, ...named] = columns([head, ...rows], [false, true, true]);
  return [
    style.bold(`${first}  layout`),
    ...named.flatMap((line, i) =>
      wrap(`${line}  ${stages[i].layout}`, ' '.repeat(line.length + 2)),
    ),
  ];
}

function publishedLines({ published }: Plan, { style, width, wrap }: Pen): string[] {
  if (published.length === 0) return [];
  const [head, ...body] = tableLines(publishedTable(published), width);
  const sources = [...new Set(published.map(({ source }) => source))];
  return [
    style.bold(head),
    ...body,
    ...sources.flatMap((source) => wrap(style.dim(`source: ${source}`))),
  ];
}

function sensitivityLines({ sensitivity }: Plan, { style }: Pen): string[] {
  if (sensitivity.length === 0) return [];
  return [
    style.bold('What the total in USD depends on'),
    ...sensitivity.slice(0, 6).map(({ what, share }) => `${percent(share).padStart(6)}  ${what}`),
  ];
}

/** For the first stage with reasons: the nearest losers of each kind. */
function lossLines({ stages, rejected }: Plan, { style, wrap }: Pen): string[] {
  const stage = stages.find(({ id }) => rejected.some((loser) => loser.stage === id))?.id;
  if (stage === undefined) return [];
  const losers = rejected.filter((loser) => loser.stage === stage);
  const shown = (['slower', 'memory', 'divisibility'] as const).flatMap((kind) =>
    losers.filter((loser) => loser.kind === kind).slice(0, SHOWN),
  );
  return [
    style.bold(`Why other layouts of ${stage} lost`),
    ...shown.flatMap(({ layout, reason }) => wrap(`  ${layout}: ${reason}`, '      ')),
  ];
}
