/**
 * @file `reckoner bill`: what a run cost, headline and full; with usage files, what everything in
 * them cost and for whom.
 */
import { statSync } from 'node:fs';
import { basename, resolve } from 'node:path';
import { Command, Option } from 'commander';
import { UserError } from '../base/errors.js';
import { readJson } from '../base/files.js';
import { RUNS, resolveRun } from '../checkpoints/run-folder.js';
import {
  computeBill,
  isPlan,
  loadPriceBook,
  parsePricedPlan,
  priceBookOfRun,
  type RunStatement,
  readRun,
  type Statement,
  statementOfPlan,
} from '../ledger/index.js';
import type { StatementFormat } from '../ledger/render/index.js';
import { note, print, printDocument, styleFor, withExamples } from './output.js';

/**
 * Those of `src/ledger/render`, which is loaded when it is needed: `train` prints bills as well,
 * and starts without it.
 */
const FORMATS: readonly StatementFormat[] = [
  'text',
  'markdown',
  'csv',
  'focus-csv',
  'html',
  'parquet',
];

interface Options {
  prices?: string;
  runs: string;
  usage?: string[];
  allocate?: string;
  people?: string;
  months?: string;
  experiments?: string;
  utilization?: string;
  strict?: boolean;
  format?: StatementFormat;
  out?: string;
  json?: boolean;
  markdown?: boolean;
}

export function billCommand(): Command {
  const command = new Command('bill')
    .description(
      'Show what a run cost: the headline (core-hours that made the final weights, rented) beside the full bill, by stage. ' +
        'Further runs are billed to full as tried on the way to the first. With --usage, bill the usage and charges in ' +
        'exports of Slurm, OpenCost and FOCUS.',
    )
    .argument(
      '[runs...]',
      'folders, names or parts of names of runs, or a plan (what plan --json printed, in a .json file); ' +
        'default: the newest run, and none with --usage',
    )
    .option(
      '--prices <book>',
      'rent or own, from the catalog, or a JSON file with prices of your own (default: as trained)',
    )
    .option('--runs <folder>', 'where runs are kept', RUNS)
    .option(
      '--usage <files...>',
      'usage files: sacct (parsable, JSON), OpenCost or Kubecost (JSON, CSV, Parquet), FOCUS (CSV, Parquet)',
    )
    .option('--allocate <rules>', 'a JSON file with rules that assign usage to models and purposes')
    .option('--people <number>', 'of a plan: people beside it')
    .option('--months <number>', 'of a plan: for how many months (default: 12)')
    .option(
      '--experiments <factor>',
      "of a plan: all compute over the final run's (default: the catalog's)",
    )
    .option('--utilization <share>', 'of a plan: used share of machines of your own')
    .option('--strict', 'end with an error when a row of a usage file cannot be read')
    .addOption(
      new Option('--format <format>', 'how to print it')
        .choices(FORMATS)
        .default(undefined, 'text'),
    )
    .option('--out <file>', 'write it to a file (default: print it; parquet needs a file)')
    .option('--markdown', 'print Markdown; the same as --format markdown')
    .option('--json', 'print one JSON document')
    .action(async (names: string[], options: Options) => {
      if (options.allocate !== undefined && options.usage === undefined) {
        throw new UserError(
          'usage',
          '--allocate needs usage to allocate; name the files with --usage',
          '--allocate',
        );
      }
      const format = options.format ?? (options.markdown ? 'markdown' : 'text');
      if (format === 'parquet' && options.out === undefined) {
        throw new UserError(
          'usage',
          'parquet is not for the terminal; name a file with --out',
          '--out',
        );
      }
      const statement = await statementOf(names, options);
      if (options.out !== undefined || !options.json) await show(statement, format, options);
      if (options.json) printDocument(statement);
    });
  return withExamples(
    command,
    'reckoner bill',
    'reckoner bill r1-mini --prices own',
    'reckoner bill --json',
    'reckoner bill plan.json --people 150 --months 2 --experiments 2.2',
    'reckoner bill --usage sacct.txt focus.parquet --allocate rules.json --format html --out bill.html',
  );
}

const OTHER_COSTS = ['people', 'months', 'experiments', 'utilization'] as const;

async function statementOf(names: readonly string[], options: Options): Promise<Statement> {
  const plan = names.find((name) => /\.json$/i.test(name) && isFile(name));
  if (plan !== undefined) return statementOfFile(plan, names, options);
  const given = OTHER_COSTS.find((name) => options[name] !== undefined);
  if (given !== undefined)
    throw new UserError('usage', `--${given} is for a plan; name its .json file`, `--${given}`);
  if (options.usage === undefined) return statementOfRuns(names, options);
  const runs = names.length === 0 ? undefined : await statementOfRuns(names, options);
  return statementOfUsage(runs, options.usage, options);
}

/** The statement of a plan in a file. */
function statementOfFile(file: string, names: readonly string[], options: Options): Statement {
  if (names.length > 1 || options.usage !== undefined || options.prices !== undefined)
    throw new UserError(
      'usage',
      `${file} is a plan, and is billed alone, at its own prices; leave out runs, --usage and --prices`,
      file,
    );
  const content = readJson(file, 'plan');
  if (!isPlan(content))
    throw new UserError(
      'data',
      `${file}: no plan; write one with reckoner plan <recipe> --on <cluster> --json`,
    );
  const numberOf = (name: (typeof OTHER_COSTS)[number]): number | null => {
    const text = options[name];
    if (text === undefined) return null;
    const value = Number(text);
    if (text.trim() === '' || !Number.isFinite(value))
      throw new UserError('usage', `--${name} ${text}: give a number`, `--${name}`);
    return value;
  };
  return statementOfPlan(parsePricedPlan(content, file), {
    people: numberOf('people') ?? 0,
    months: numberOf('months') ?? 12,
    experiments: numberOf('experiments'),
    utilization: numberOf('utilization'),
  });
}

const isFile = (name: string): boolean =>
  statSync(name, { throwIfNoEntry: false })?.isFile() === true;

async function statementOfRuns(names: readonly string[], options: Options): Promise<RunStatement> {
  const wanted = names.length === 0 ? [undefined] : names;
  const tell = (line: string): void => note(`note: ${line}`);
  const folders = [
    ...new Set(wanted.map((name) => resolve(resolveRun(name, options.runs, { tell }).root))),
  ];
  const book =
    options.prices === undefined ? priceBookOfRun(folders[0]) : loadPriceBook(options.prices);
  const runs = [];
  for (const folder of folders) runs.push(await readRun(folder));
  return computeBill(runs, book);
}

async function statementOfUsage(
  runs: RunStatement | undefined,
  files: string[],
  options: Options,
): Promise<Statement> {
  const [{ computeUsageBill }, { NO_RULES, parseRules }] = await Promise.all([
    import('../ledger/statement/usage.js'),
    import('../ledger/book/allocation-rules.js'),
  ]);
  const rules =
    options.allocate === undefined
      ? NO_RULES
      : parseRules(readJson(options.allocate, 'allocation rules'), basename(options.allocate));
  const prices = options.prices === undefined ? undefined : loadPriceBook(options.prices);
  const statement = await computeUsageBill(files, { rules, runs, prices });
  reportUnread(statement, options.strict === true);
  return statement;
}

/** So many places of unread rows are printed; the document lists more. */
const PLACES = 5;

/**
 * Warns on stderr of rows whose money is not in the bill.
 * @throws UserError (data) with `--strict`
 */
function reportUnread({ imports }: Statement, strict: boolean): void {
  const kinds = [
    ['malformed', 'cannot be read and are not billed', imports.malformed],
    ['refused', 'overlap charges of an earlier file and are not billed', imports.refused],
  ] as const;
  for (const [kind, what, listed] of kinds) {
    const rows = imports.files.reduce((all, file) => all + file[kind], 0);
    if (rows === 0) continue;
    const places = listed.slice(0, PLACES).map(({ file, line }) => `${file}:${line}`);
    const more = rows > places.length ? ` and ${rows - places.length} more` : '';
    const text = `${rows} rows ${what}: ${places.join(', ')}${more} (${listed[0]?.reason})`;
    if (strict) throw new UserError('data', `${text}; --strict takes none`, listed[0]?.file);
    note(`${styleFor(process.stderr).yellow('warning:')} ${text}`);
  }
}

async function show(
  statement: Statement,
  format: StatementFormat,
  { out, json }: Options,
): Promise<void> {
  const { formatStatement, writeStatement } = await import('../ledger/render/index.js');
  if (out !== undefined) {
    await writeStatement(statement, format, out);
    if (!json) note(`written to ${out}`);
  } else if (format !== 'parquet') {
    print(
      formatStatement(statement, format, {
        style: styleFor(process.stdout),
        width: process.stdout.columns,
      }).trimEnd(),
    );
  }
}
