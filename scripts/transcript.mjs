// Fills the README from a finished run, so that none of its figures is typed by hand.
//
//   node scripts/transcript.mjs <run folder> [--readme README.md] [--check]
//
// Between `<!-- transcript:start -->` and `<!-- transcript:end -->` goes what the run printed,
// replayed from its events by the code that printed it; between `<!-- cost:start -->` and `<!--
// cost:end -->` what it took, from its bill. The same run gives the same text. `--check` writes
// nothing and exits 1 when the file differs. Needs dist/ (npm run build).
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const fail = (message) => {
  console.error(`transcript: ${message}`);
  process.exit(1);
};

const load = (path) =>
  import(new URL(`../dist/${path}`, import.meta.url)).catch(() =>
    fail('dist/ is missing or old; npm run build makes it'),
  );
const { evaluationsOf, learnedLines, nextLines, readSamples } = await load('cli/ending.js');
const { formatDuration } = await load('base/text/index.js');
const { initialState, reduceEvent } = await load('cli/progress.js');
const { statementText } = await load('ledger/index.js');
const { readEvents } = await load('usage/log.js');

/** Columns of the terminal that the transcript shows. */
const WIDTH = 100;
const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));
const counted = (n, noun) => `${n.toLocaleString('en-US')} ${noun}${n === 1 ? '' : 's'}`;

/** The run as it looked to the one who started it. */
export async function readRunFolder(folder) {
  const { events } = await readEvents(join(folder, 'events.jsonl'));
  const started = events.find((event) => event.type === 'started');
  const ended = events.findLast((event) => event.type === 'ended');
  if (!started || ended?.reason !== 'completed') fail(`${folder} is not a completed run`);
  const recipe = readJson(join(folder, 'recipe.json'));
  const bill = readJson(join(folder, 'bill.json'));
  const name = basename(folder);
  return {
    events,
    started,
    ended,
    recipe,
    bill,
    name,
    samples: readSamples(join(folder, 'samples.jsonl')),
  };
}

/** Lines that stay on the screen of a terminal: one a stage, one an evaluation. */
function keptLines({ events, recipe }) {
  const stages = recipe.stages.map(({ id, kind, steps = 1 }) => ({ id, kind, steps }));
  const state = initialState(recipe.name, stages, Date.parse(events[0].time));
  return events.flatMap((event) => {
    state.now = Date.parse(event.time);
    return reduceEvent(state, event) ?? [];
  });
}

export function transcriptOf(run) {
  const { started, ended, recipe, bill, name, samples, events } = run;
  const root = `runs/${name}`;
  const parts = [
    [
      '$ npm ci && npm start',
      `${recipe.name} → ${root}`,
      `${counted(started.workers, 'worker')}, seed ${recipe.seed}, ${started.fingerprint}`,
      ...keptLines(run),
    ],
    learnedLines(evaluationsOf(events), samples),
    [statementText(bill, { width: WIDTH, brief: true })],
    nextLines({
      reason: ended.reason,
      step: ended.step,
      run: { name, root, model: `${root}/model` },
    }),
  ];
  return `\`\`\`text\n${parts.map((lines) => lines.join('\n')).join('\n\n')}\n\`\`\``;
}

/** What it took, in words. Amounts and their digits are those of the printed bill. */
export function costOf(run) {
  const { events, started, bill, recipe } = run;
  const seconds = events.reduce(
    (sum, event) => sum + (event.type === 'usage' ? event.usage.wallSeconds : 0),
    0,
  );
  const line = statementText(bill, { width: WIDTH, brief: true }).replace(/\s+/g, ' ');
  const match = line.match(
    /Headline (\S+) \((\S+) to (\S+)\); full (\S+) \((\S+) to (\S+?)\)(?:, (\S+) times that)?/,
  );
  if (!match) fail('the bill does not say its totals as it used to');
  const [, headline, , , full, low, high, times] = match;
  const { cpu, cores, node } = started.machine;
  const bridge = bill.bridge.map(({ what }) => what);
  const list =
    bridge.length > 1 ? `${bridge.slice(0, -1).join(', ')} and ${bridge.at(-1)}` : bridge.join('');
  const rows = [
    [
      'time',
      `${formatDuration(seconds)} (${recipe.stages.map(({ id }) => id).join(' → ')}; installing not included)`,
    ],
    [
      'machine',
      `${cpu.trim()}, ${counted(started.workers, 'worker')} on ${counted(cores, 'core')}, Node ${node.replace(/^v/, '')}`,
    ],
    ['engine', `\`${started.fingerprint}\``],
    ['headline', `**${headline}**: the core time of the training stages, at a rental price`],
    [
      'full',
      `**${full}**${times === undefined ? '' : `, ${times} times the headline`}${list === '' ? '' : `: also ${list}`}`,
    ],
    ['interval of full', `${low} to ${high}, with every price at its low or high end`],
  ];
  return ['| | |', '|---|---|', ...rows.map(([what, text]) => `| ${what} | ${text} |`)].join('\n');
}

/** `text` with what is between the markers replaced. */
export function fill(text, marker, content) {
  const [start, end] = [`<!-- ${marker}:start -->`, `<!-- ${marker}:end -->`];
  const [from, to] = [text.indexOf(start), text.indexOf(end)];
  if (from < 0 || to < from) fail(`no ${start} … ${end}`);
  return `${text.slice(0, from + start.length)}\n${content}\n${text.slice(to)}`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      readme: { type: 'string', default: 'README.md' },
      check: { type: 'boolean', default: false },
    },
  });
  if (positionals.length !== 1)
    fail('give one run folder: node scripts/transcript.mjs runs/2026-11-23-r1-mini-7f3a');
  const run = await readRunFolder(positionals[0].replace(/\/+$/, ''));
  const old = readFileSync(values.readme, 'utf8');
  const text = fill(fill(old, 'transcript', transcriptOf(run)), 'cost', costOf(run));
  if (values.check) {
    if (text !== old)
      fail(`${values.readme} is not what ${positionals[0]} printed; run this without --check`);
  } else {
    writeFileSync(values.readme, text);
  }
}
