/**
 * @file `reckoner plan serve`: throughput against latency of a served model on a cluster, replicas
 * for a load, and dollars per million tokens, with intervals and beside published figures.
 */
import { existsSync } from 'node:fs';
import { Command, Option } from 'commander';
import { type Architecture, architectureOf, describeParameters } from '../architecture/index.js';
import { UserError } from '../base/errors.js';
import {
  formatCompact,
  formatCount,
  formatDuration,
  formatShare,
  formatSignificant,
  formatUsd,
  type Table,
  TEXT_WIDTH,
  tableLines,
  textWidth,
  wrap as wrapAt,
} from '../base/text/index.js';
import { configOf } from '../checkpoints/load-model.js';
import { resolveModel } from '../checkpoints/run-folder.js';
import { readTarget } from '../plan/cluster/cluster-file.js';
import { metricWords } from '../plan/serving/metric-words.js';
import {
  planService,
  SERVICE_DEFAULTS,
  type ServiceRequest,
  type ServingPlanDocument,
  servedModel,
} from '../plan/serving/serving-plan.js';
import type { Quantity } from '../planner/cluster.js';
import { serving } from '../planner/index.js';
import { loadRecipe, shippedRecipes } from '../recipe/index.js';
import { fetchNamed } from './named-model.js';
import { PLAIN, print, printDocument, type Style, styleFor, withExamples } from './output.js';

interface Flags {
  on?: string;
  slo?: string;
  load?: string;
  input: string;
  output: string;
  cached: string;
  utilization: string;
  format?: serving.WeightFormat;
  kv: 'fp8' | 'bf16';
  elasticity: string;
  prices?: string;
  json?: boolean;
}

const fail = (flag: string, text: string, forms: string): never => {
  throw new UserError('usage', `${flag} ${text}: give ${forms}`, flag);
};

function numberOf(flag: string, text: string, forms: string): number {
  const value = Number(text);
  return text.trim() !== '' && Number.isFinite(value) ? value : fail(flag, text, forms);
}

/** Seconds of `2s`, `50ms` or `0.05`. */
function secondsOf(flag: string, text: string): number {
  const [, digits, unit] = /^\s*([\d.]+)\s*(ms|s|)\s*$/.exec(text) ?? [];
  const value = Number(digits) / (unit === 'ms' ? 1000 : 1);
  return value > 0 ? value : fail(flag, text, 'a time above 0, such as 2s or 50ms');
}

/** `ttft=2s,tpot=50ms`. */
export function parseSlo(text: string): Pick<ServiceRequest, 'ttftSeconds' | 'tpotSeconds'> {
  const goals: Record<string, number> = {};
  for (const part of text.split(',')) {
    const [, name, value] = /^\s*(ttft|tpot)\s*=(.*)$/.exec(part) ?? [];
    if (name === undefined || name in goals)
      fail('--slo', text, 'ttft=<time>, tpot=<time> or both, such as ttft=2s,tpot=50ms');
    goals[name] = secondsOf('--slo', value);
  }
  return { ttftSeconds: goals.ttft ?? null, tpotSeconds: goals.tpot ?? null };
}

/** Requests a second of `40rps`, `40/s` or `40`. */
export function parseLoad(text: string): number {
  const [, digits] = /^\s*([\d.]+)\s*(?:rps|\/s|)\s*$/.exec(text) ?? [];
  const value = Number(digits);
  return value > 0 ? value : fail('--load', text, 'requests per second above 0, such as 40rps');
}

/** A share of `0.56` or `56%`. */
function shareOf(flag: string, text: string): number {
  const [, digits, percent] = /^\s*([\d.]+)\s*(%?)\s*$/.exec(text) ?? [];
  const value = Number(digits) / (percent === '%' ? 100 : 1);
  return value >= 0 && value <= 1 ? value : fail(flag, text, 'a share, such as 0.56 or 56%');
}

/** `1.2`, or an interval `0.5..2`. */
export function parseElasticity(text: string): Quantity {
  const forms = 'a positive number or an interval, such as 1.2 or 0.5..2';
  const parts = text.split('..').map((part) => numberOf('--elasticity', part, forms));
  const [low, high = low] = parts;
  if (parts.length > 2 || !(low > 0 && high >= low)) fail('--elasticity', text, forms);
  return { low, value: Math.sqrt(low * high), high };
}

/** `input,cached,output` in USD per million tokens. */
export function parsePrices(text: string): serving.TokenPrices {
  const forms = 'USD per million tokens: input,cached,output, such as 0.55,0.14,2.19';
  const values = text.split(',').map((part) => numberOf('--prices', part, forms));
  if (values.length !== 3 || values.some((value) => value < 0)) fail('--prices', text, forms);
  const [input, inputCached, output] = values;
  return { input, inputCached, output };
}

/** The model of a folder, a run or a shipped recipe, or a catalogued one. */
function modelOf(name: string): Architecture {
  if (shippedRecipes().includes(name)) {
    const recipe = loadRecipe(name);
    if (recipe.model !== undefined && 'vocab_size' in recipe.model)
      return architectureOf(recipe.model, name);
  }
  if (name.includes('/') || name.includes('\\') || existsSync(name)) {
    const { folder } = resolveModel(name);
    return architectureOf(configOf(folder), name);
  }
  return servedModel(name);
}

const FORMATS = Object.keys(serving.WEIGHT_BYTES);

/** Rows of the frontier that are shown. */
const SHOWN = 12;
/** Layouts that cannot serve the model that are listed. */
const SHOWN_REJECTED = 3;

const range = ({ low, high }: Quantity, form: (value: number) => string): string =>
  low === high ? '' : `${form(low)} to ${form(high)}`;
const withRange = (quantity: Quantity, form: (value: number) => string): string => {
  const interval = range(quantity, form);
  return `${form(quantity.value)}${interval === '' ? '' : ` (${interval})`}`;
};
const rate = (value: number): string => formatSignificant(value, 3);
/** Milliseconds tell times per token apart. */
const perToken = (seconds: number): string => `${formatSignificant(seconds * 1000, 3)} ms`;

function frontierTable({ frontier }: ServingPlanDocument): Table {
  const step = (frontier.length - 1) / (Math.min(SHOWN, frontier.length) - 1 || 1);
  const shown = Array.from(
    { length: Math.min(SHOWN, frontier.length) },
    (_, i) => frontier[Math.round(i * step)],
  );
  return {
    head: ['layout', 'GPUs', 'requests', 'TTFT', 'TPOT', 'tok/s/user', 'tok/s/GPU', 'in target'],
    right: [false, true, true, true, true, true, true, false],
    rows: shown.map((point) => [
      point.layout,
      String(point.accelerators),
      formatCount(point.concurrency),
      formatDuration(point.ttftSeconds.value),
      perToken(point.tpotSeconds.value),
      rate(point.tokensPerSecondPerUser.value),
      rate(point.outputTokensPerSecondPerAccelerator.value),
      point.meetsGoals ? 'yes' : 'no',
    ]),
    optional: ['tok/s/user', 'in target'],
  };
}

function costTable({ cost, pools }: ServingPlanDocument): Table | null {
  if (cost === null) return null;
  const rows: [string, keyof serving.TokenCost][] = [
    ['input', 'usdPerMillionInput'],
    ['input from a cache', 'usdPerMillionCached'],
    ['output', 'usdPerMillionOutput'],
    ['all cost on output', 'usdPerMillionAllOnOutput'],
    ['input and output alike', 'usdPerMillionTotal'],
  ];
  return {
    head: ['USD per million tokens', 'median', '90% interval', 'in two pools'],
    right: [false, true, true, true],
    rows: rows.map(([name, key]) => [
      name,
      formatUsd(cost[key].value),
      range(cost[key], formatUsd),
      pools === null || key === 'usdPerMillionCached' ? '–' : formatUsd(pools.cost[key].value),
    ]),
    optional: ['in two pools'],
  };
}

function publishedTable({ published }: ServingPlanDocument): Table {
  return {
    head: ['published', 'layout', 'in/out', 'measured', 'predicted', 'error', 'in interval'],
    right: [false, false, true, true, true, true, false],
    rows: published.map((row) => [
      metricWords(row.metric),
      row.layout,
      `${row.inputTokens ?? '–'}/${row.outputTokens ?? '–'}`,
      formatCompact(row.measured),
      formatCompact(row.predicted.value),
      `${row.relativeError < 0 ? '' : '+'}${formatShare(row.relativeError, 0)}`,
      row.predicted.low <= row.measured && row.measured <= row.predicted.high ? 'yes' : 'no',
    ]),
    optional: ['in/out', 'layout'],
  };
}

/** The plan for people. @param width columns of the terminal */
export function renderServingPlan(
  plan: ServingPlanDocument,
  style: Style = PLAIN,
  width = TEXT_WIDTH,
): string {
  const wrap = (text: string, rest = '  ') => wrapAt(text, { width, rest });
  const table = (content: Table): string[] => {
    const [head, ...body] = tableLines(content, width);
    return [style.bold(head), ...body];
  };
  const { request, cluster, operating, load, demand, pools, published, rejected } = plan;
  const { ttftSeconds, tpotSeconds } = request;
  const target = [
    ttftSeconds === null ? '' : `TTFT ${formatDuration(ttftSeconds)}`,
    tpotSeconds === null ? '' : `TPOT ${perToken(tpotSeconds)}`,
  ].filter((part) => part !== '');
  const within = target.length === 0 ? 'Highest throughput' : `Best within ${target.join(', ')}`;
  const lines = [
    style.bold(`${plan.model} served on ${cluster.name}`),
    ...wrap(
      operating === null
        ? `No layout meets ${target.join(' and ')}; the fastest are listed below.`
        : `${within}: ${operating.layout}, ${formatCount(operating.accelerators)} GPUs a replica, ${formatCount(operating.concurrency)} requests at once: TTFT ${formatDuration(operating.ttftSeconds.value)}, TPOT ${perToken(operating.tpotSeconds.value)}, ${withRange(operating.outputTokensPerSecondPerAccelerator, rate)} output tokens/s per GPU.`,
    ),
    '',
    ...wrap(`model    ${describeParameters(plan.parameters)}; served without MTP`, '         '),
    ...wrap(
      `request  ${formatCount(request.input)} tokens in (${formatShare(request.cachedShare, 0)} from a cache of earlier prompts), ${formatCount(request.output)} out; weights ${request.format}, KV cache ${request.kv}`,
      '         ',
    ),
    ...wrap(
      `machine  ${formatCount(cluster.count)} × ${cluster.accelerator} at ${formatUsd(cluster.usdPerHour.value)} an hour (${[range(cluster.usdPerHour, formatUsd), cluster.usdPerHour.source, cluster.usdPerHour.date].filter((part) => part !== '').join('; ')})`,
      '         ',
    ),
    '',
    ...table(frontierTable(plan)),
  ];
  if (pools !== null) {
    lines.push(
      '',
      ...wrap(
        `In two pools within the same target: prompts on ${pools.prefill} (${formatShare(pools.prefillShare, 0)} of the GPUs), decoding on ${pools.decode}: ${withRange(pools.outputTokensPerSecondPerAccelerator, rate)} output tokens/s per GPU.`,
      ),
    );
  }
  const costs = costTable(plan);
  if (costs !== null) lines.push('', ...table(costs));
  if (load !== null) lines.push('', ...loadLines(plan, load, wrap));
  lines.push(
    '',
    ...table({
      head: ['if prices fall to', 'tokens', 'spending', 'spending then', 'replicas'],
      right: [false, true, true, false, true],
      rows: demand.map((one) => [
        formatShare(one.priceRatio, 0),
        `× ${withRange(one.tokensRatio, rate)}`,
        `× ${withRange(one.spendingRatio, rate)}`,
        one.verdict,
        one.replicas === null ? '–' : formatCount(one.replicas.value),
      ]),
      optional: ['replicas'],
    }),
    ...wrap(
      style.dim(
        `At a price elasticity of ${withRange(request.elasticity, rate)}, which is assumed; above 1 spending rises when prices fall.`,
      ),
    ),
  );
  if (published.length > 0) {
    lines.push('', ...table(publishedTable(plan)));
    for (const source of new Set(published.map((row) => row.source)))
      lines.push(...wrap(style.dim(`source: ${source}`)));
  }
  const tooLarge = rejected.slice(0, SHOWN_REJECTED);
  if (tooLarge.length > 0) {
    lines.push('', style.bold('Layouts that cannot serve it'));
    for (const { layout, reason } of tooLarge)
      lines.push(...wrap(`  ${layout}: ${reason}`, '      '));
  }
  lines.push(
    '',
    ...wrap(
      style.dim(
        `Means of a steady load, without speculative decoding; intervals are 90%. ${load === null ? '' : `Dollars are those of the load, with ${formatShare(load.utilisation, 0)} of the capacity used. `}Tokens from a cache are priced at the time of attending to them, with ${formatShare(plan.cachedPriceShare, 0)} of the input cached.`,
      ),
      '',
    ),
  );
  return lines.join('\n');
}

function loadLines(
  { cluster, request, revenue }: ServingPlanDocument,
  load: serving.ServedLoad,
  wrap: (text: string) => string[],
): string[] {
  const { replicas, accelerators, fits } = load;
  const room = fits ? '' : `, more than the ${formatCount(cluster.count)} of ${cluster.name}`;
  const lines = wrap(
    `${rate(load.requestsPerSecond)} requests/s: ${withRange(replicas, formatCount)} replicas, ${withRange(accelerators, formatCount)} GPUs${room}; ${formatShare(load.utilisation, 0)} of their capacity is used (at most ${formatShare(request.utilization, 0)}), TTFT ${formatDuration(load.ttftSeconds.value)}, TPOT ${perToken(load.tpotSeconds.value)}, ${withRange(load.usdPerDay, formatUsd)} a day.`,
  );
  if (revenue === null) return lines;
  return [
    ...lines,
    ...wrap(
      `At the list prices: ${formatUsd(revenue.usdPerDay)} a day, ${formatShare(revenue.marginOverCost, 0)} over the cost.`,
    ),
  ];
}

export function planServeCommand(): Command {
  const { input, output, utilization } = SERVICE_DEFAULTS;
  const command = new Command('serve')
    .description(
      'What a served model answers on a cluster: throughput against latency, replicas for a load, dollars per million tokens.',
    )
    .argument('<model>', 'a catalogued model such as DeepSeek-V3, a run, or a model folder')
    .option('--on <cluster>', '<gpu>x<count> such as h800x32, or a .yaml file')
    .option('--slo <target>', 'latency target, such as ttft=2s,tpot=50ms')
    .option('--load <rate>', 'requests per second, such as 40rps')
    .option('--input <tokens>', 'tokens of the mean prompt', String(input))
    .option('--output <tokens>', 'tokens of the mean answer', String(output))
    .option('--cached <share>', 'share of the input that a cache of earlier prompts holds', '0')
    .option(
      '--utilization <share>',
      'share of the capacity that a load may take',
      String(utilization),
    )
    .addOption(new Option('--format <name>', 'format of the weights').choices(FORMATS))
    .addOption(new Option('--kv <name>', 'KV cache').choices(['bf16', 'fp8']).default('bf16'))
    .option('--elasticity <number>', 'price elasticity of demand, a number or low..high', '0.5..2')
    .option('--prices <list>', 'list prices, USD per million tokens: input,cached,output')
    .option('--json', 'print one JSON document')
    .action(async (name: string, _: unknown, self: Command) => {
      // Commander hands options that `plan` has, too, to `plan`.
      const flags = self.optsWithGlobals<Flags & Record<string, unknown>>();
      for (const other of ['layout', 'backend', 'precision', 'trust'])
        if (flags[other] !== undefined)
          throw new UserError('usage', `--${other} is not an option of plan serve`, `--${other}`);
      if (flags.on === undefined)
        throw new UserError(
          'usage',
          'name a cluster with --on; see reckoner plan serve --help',
          '--on',
        );
      const plan = planService(
        modelOf(await fetchNamed(name)),
        readTarget(flags.on),
        requestOf(flags),
      );
      if (flags.json) printDocument(plan);
      else
        print(renderServingPlan(plan, styleFor(process.stdout), textWidth(process.stdout.columns)));
    });
  return withExamples(
    command,
    'reckoner plan serve DeepSeek-V3 --on h800x32',
    'reckoner plan serve DeepSeek-V3 --on h200x64 --slo ttft=2s,tpot=50ms --load 40rps --input 2000 --output 500',
    'reckoner plan serve "Llama 3.3 70B" --on h100x8 --cached 56% --prices 0.55,0.14,2.19 --load 5rps --json',
  );
}

function requestOf(flags: Flags): ServiceRequest {
  const whole = (flag: string, text: string): number =>
    numberOf(flag, text, 'a whole number of tokens');
  return {
    input: whole('--input', flags.input),
    output: whole('--output', flags.output),
    cachedShare: shareOf('--cached', flags.cached),
    ...(flags.slo === undefined ? { ttftSeconds: null, tpotSeconds: null } : parseSlo(flags.slo)),
    load: flags.load === undefined ? null : parseLoad(flags.load),
    utilization: shareOf('--utilization', flags.utilization),
    format: flags.format ?? null,
    kv: flags.kv,
    elasticity: parseElasticity(flags.elasticity),
    prices: flags.prices === undefined ? null : parsePrices(flags.prices),
  };
}
