/**
 * @file A claim for people: a waterfall for each leg of its path, then what is told wrongly, what
 * was checked, what was assumed.
 *
 * A leg has a scale of its own (its longest bar is its largest figure), because a claim may span
 * five orders of magnitude; the scale is printed. Solid bars are figures, shaded ones the steps
 * between, drawn where they begin and end. At most 100 columns. Sources are numbered, and listed
 * once.
 */

import { columns, TEXT_WIDTH, textWidth, wrap } from '../../base/text/index.js';
import type { ClaimDocument } from './schema.js';
import { shortNumber, shortUsd, withUnit } from './text.js';

type Paint = (text: string) => string;

/** The styles that are used; terminal styles of the command line fit. */
export interface ClaimStyle {
  bold: Paint;
  dim: Paint;
  red: Paint;
  green: Paint;
  yellow: Paint;
  cyan: Paint;
}

const same: Paint = (text) => text;
const PLAIN: ClaimStyle = {
  bold: same,
  dim: same,
  red: same,
  green: same,
  yellow: same,
  cyan: same,
};

export interface ClaimTextOptions {
  style?: ClaimStyle;
  /** Columns of the terminal; 72 to 100 are used. */
  width?: number;
  /** Every leg, figure and assumption; without it the main legs and what is uncertain. */
  all?: boolean;
}

export function claimText(
  claim: ClaimDocument,
  { style = PLAIN, width = TEXT_WIDTH, all = false }: ClaimTextOptions = {},
): string {
  const columns = textWidth(width, 72);
  const page: Page = { style, width: columns, sources: [] };
  const parts = [
    head(claim, page),
    ...claim.path.filter(({ detail }) => all || !detail).map((leg) => legText(claim, leg, page)),
    ...(all || claim.path.length === 0 ? [looseFigures(claim, page)] : []),
    corrections(claim, page),
    ratios(claim, page),
    checks(claim, page),
    assumptions(claim, page, all),
    ...(all ? [definitions(claim, page)] : []),
    leftOut(claim, page),
  ].filter((part) => part !== '');
  return [...parts, sourceList(page)].join('\n\n');
}

interface Page {
  style: ClaimStyle;
  width: number;
  /** In order of first use. */
  sources: string[];
}

/** `[3]` or `[1, 3]`: each part of a source that is a list of them gets a number. */
function cite(page: Page, source: string): string {
  const numbers = source.split('; ').map((part) => {
    const at = page.sources.indexOf(part);
    return at >= 0 ? at + 1 : page.sources.push(part);
  });
  return `[${[...new Set(numbers)].sort((a, b) => a - b).join(', ')}]`;
}

const indented = (text: string, rest: string, width: number, first = rest): string[] =>
  wrap(text, { first, rest, width });

function title(text: string, { style, width }: Page): string {
  const rule = '─'.repeat(Math.max(3, width - text.length - 4));
  return `${style.dim('──')} ${style.bold(text)} ${style.dim(rule)}`;
}

function head(claim: ClaimDocument, page: Page): string {
  const { style, width } = page;
  const said = claim.said.flatMap(({ what, who, when, source }) => [
    `  ${style.cyan(who)} ${style.dim(`${when} ${cite(page, source)}`)}`,
    ...indented(what, '    ', width),
  ]);
  return [style.bold(claim.title), '', ...said].join('\n');
}

// ── the waterfall ────────────────────────────────────────────────────────────────────────────────

type Figure = ClaimDocument['figures'][number];

const LABEL = 31;
const AMOUNT = 9;
const INTERVAL = 17;
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** From 0 to `share` of the width, to an eighth of a column. */
function solid(share: number, width: number): string {
  const eighths = Math.max(1, Math.round(share * width * 8));
  return '█'.repeat(Math.floor(eighths / 8)) + EIGHTHS[eighths % 8];
}

/** Between two shares of the width; at least one column. */
function floating(from: number, to: number, width: number): string {
  const start = Math.min(width - 1, Math.round(Math.min(from, to) * width));
  const end = Math.max(start + 1, Math.round(Math.max(from, to) * width));
  return ' '.repeat(start) + '▒'.repeat(end - start);
}

function legText(claim: ClaimDocument, leg: ClaimDocument['path'][number], page: Page): string {
  const { style, width } = page;
  const figures = leg.figures.map(
    (id) => claim.figures.find((figure) => figure.id === id) as Figure,
  );
  const largest = Math.max(...figures.map(({ usd }) => Math.abs(usd)), 1e-12);
  const room = width - 2 - LABEL - AMOUNT - INTERVAL - 3;
  const lines = [title(leg.title, page)];
  figures.forEach((figure, i) => {
    const kind = figure.period.kind === 'stock' ? ' (stock)' : '';
    if (i > 0) {
      const from = figures[i - 1];
      const step = claim.steps.find(
        (candidate) => candidate.from === from.id && candidate.to === figure.id,
      );
      if (step === undefined) return;
      const sign = step.usd < 0 ? '−' : '+';
      const paint = step.usd < 0 ? style.green : style.yellow;
      const bar = paint(floating(from.usd / largest, figure.usd / largest, room));
      lines.push(
        row(
          `${sign} ${step.what}`,
          shortUsd(step.usd).replace('-', '−'),
          interval(step),
          bar,
          page,
          same,
        ),
      );
      const text = `${step.why} ${cite(page, step.source)}`;
      lines.push(...indented(text, '      ', width).map(style.dim));
      if (step.converts !== undefined)
        lines.push(
          ...indented(`converts: ${step.converts}`, '        ', width, '      ').map(style.cyan),
        );
    }
    const bar = style.cyan(solid(Math.abs(figure.usd) / largest, room));
    lines.push(
      row(
        `${i > 0 ? '= ' : ''}${figure.what}${kind}`,
        shortUsd(figure.usd),
        interval(figure),
        bar,
        page,
        style.bold,
      ),
    );
  });
  return lines.join('\n');
}

function row(
  label: string,
  amount: string,
  range: string,
  bar: string,
  { style }: Page,
  paint: Paint,
): string {
  const fitted = label.length > LABEL ? `${label.slice(0, LABEL - 1)}…` : label.padEnd(LABEL);
  return `  ${paint(fitted)} ${paint(amount.padStart(AMOUNT))} ${style.dim(range.padStart(INTERVAL))} ${bar}`.trimEnd();
}

/** `3.875M..9.535M`, three digits. */
function interval({ low, high, usd }: { low: number; high: number; usd: number }): string {
  if (low === usd && high === usd) return '';
  return `${signed(low)}..${signed(high)}`;
}

const signed = (value: number): string => shortNumber(value, 3).replace('-', '−');

/** Figures that are on no leg. */
function looseFigures(claim: ClaimDocument, page: Page): string {
  const onPath = new Set(claim.path.flatMap(({ figures }) => figures));
  const loose = claim.figures.filter(({ id }) => !onPath.has(id));
  if (loose.length === 0) return '';
  const room = page.width - 2 - LABEL - AMOUNT - INTERVAL - 3;
  const lines = loose.flatMap((figure) => {
    const { what, usd, scope, source, period } = figure;
    const kind = period.kind === 'stock' ? ' (stock)' : '';
    const short = `${scope.slice(0, Math.max(0, room))}`;
    const rest = `${scope} ${cite(page, source)}`;
    const oneLine = rest.length <= room;
    return [
      row(
        `${what}${kind}`,
        shortUsd(usd),
        interval(figure),
        oneLine ? page.style.dim(rest) : '',
        page,
        page.style.bold,
      ),
      ...(oneLine || short === '' ? [] : indented(rest, '      ', page.width).map(page.style.dim)),
    ];
  });
  return [title(claim.path.length === 0 ? 'Figures' : 'Further figures', page), ...lines].join(
    '\n',
  );
}

// ── the rest ─────────────────────────────────────────────────────────────────────────────────────

function corrections({ corrections: all }: ClaimDocument, page: Page): string {
  if (all.length === 0) return '';
  const { style, width } = page;
  const lines = all.flatMap(({ kind, told, instead }) => {
    const beside = told.length + kind.length + 6 <= width;
    return [
      `  ${style.red('✗')} ${told}${beside ? `  ${style.dim(kind)}` : ''}`,
      ...(beside ? [] : [`    ${style.dim(kind)}`]),
      ...indented(instead, '    ', width),
    ];
  });
  return [title('Where the retelling goes wrong', page), ...lines].join('\n');
}

/** One row: what it says, then its cells. */
interface Row {
  label: string;
  cells: readonly string[];
  /** Styles of the cells; the others are dim. */
  paint: readonly Paint[];
  /** Goes below, in full width. */
  note?: string;
}

/** Rows of a label and cells; the label is cut where a line would be too wide. */
function table(
  rows: readonly Row[],
  alignRight: readonly boolean[],
  { style, width }: Page,
): string[] {
  const cells = rows.map(({ label, cells: own }) => [label, ...own]);
  const lines = columns(cells, [false, ...alignRight], {
    gap: 1,
    width: width - 2,
    paint: (cell, row, column) =>
      column === 0 ? cell : (rows[row].paint[column - 1] ?? style.dim)(cell),
  });
  return rows.flatMap(({ note = '' }, i) => [
    `  ${lines[i]}`,
    ...(note === '' ? [] : indented(note, '      ', width).map(style.dim)),
  ]);
}

function ratios(claim: ClaimDocument, page: Page): string {
  if (claim.ratios.length === 0) return '';
  const rows = claim.ratios.map(({ what, value, low, high, unit, source }) => ({
    label: what,
    cells: [withUnit(value, unit), rangeOf(value, low, high, unit), cite(page, source)],
    paint: [page.style.bold],
  }));
  return [title('Shares and prices', page), ...table(rows, [true, false, false], page)].join('\n');
}

function checks(claim: ClaimDocument, page: Page): string {
  if (claim.checks.length === 0) return '';
  const { style } = page;
  const rows: Row[] = claim.checks.map(
    ({ what, computed, published, relativeError, unit, source, note }) => {
      const size = Math.abs(relativeError);
      const sign = relativeError < 0 ? '−' : '+';
      const error = size === 0 ? 'exact' : `${sign}${(100 * size).toFixed(size < 0.0995 ? 2 : 1)}%`;
      return {
        label: `${what}, ${unit}`,
        cells: [shortNumber(computed, 5), shortNumber(published, 5), error, cite(page, source)],
        paint: [same, same, size < 0.02 ? style.green : size < 0.1 ? style.yellow : style.red],
        note,
      };
    },
  );
  const header = {
    label: '',
    cells: ['computed', 'published', 'error', ''],
    paint: [style.dim, style.dim, style.dim],
  };
  return [
    title('Checks: what follows from other published figures', page),
    ...table([header, ...rows], [true, true, true, false], page),
  ].join('\n');
}

function assumptions(claim: ClaimDocument, page: Page, all: boolean): string {
  const shown = claim.assumptions.filter(({ low, high }) => all || low !== high);
  if (shown.length === 0) return '';
  const { style } = page;
  const rows = shown.map(({ what, value, low, high, unit, basis, source, note }) => ({
    label: what,
    cells: [withUnit(value, unit), rangeOf(value, low, high, unit), basis, cite(page, source)],
    paint: [style.bold],
    note,
  }));
  const rest = claim.assumptions.length - shown.length;
  const legs = claim.path.filter(({ detail }) => detail).length;
  const hidden = [
    ...(rest > 0 ? [`what has no interval (${rest})`] : []),
    ...(legs > 0 ? [`${legs} further legs`] : []),
  ];
  const more =
    all || hidden.length === 0 ? [] : [style.dim(`  --all shows ${hidden.join(' and ')} as well`)];
  return [
    title(all ? 'What it rests on' : 'What makes the intervals wide', page),
    ...table(rows, [true, false, false, false], page),
    ...more,
  ].join('\n');
}

function rangeOf(value: number, low: number, high: number, unit: string): string {
  return low === value && high === value
    ? ''
    : `${withUnit(low, plain(unit))}..${withUnit(high, plain(unit))}`;
}

/** An interval names its unit only where that is part of the number. */
const plain = (unit: string): string =>
  unit.startsWith('USD') || unit === 'fraction' ? unit.split('/')[0] : '';

function definitions({ definitions: all }: ClaimDocument, page: Page): string {
  const entries = Object.entries(all);
  if (entries.length === 0) return '';
  const lines = entries.flatMap(([word, meaning]) => {
    const [first, ...rest] = indented(`${word}: ${meaning}`, '    ', page.width, '  ');
    return [first.replace(word, page.style.bold(word)), ...rest];
  });
  return [title('Words', page), ...lines].join('\n');
}

function leftOut({ leftOut: all }: ClaimDocument, page: Page): string {
  return all.length === 0
    ? ''
    : page.style.dim(`  Left out: ${all.map(({ id, why }) => `${id} (${why})`).join(', ')}`);
}

function sourceList(page: Page): string {
  const digits = String(page.sources.length).length;
  const lines = page.sources.flatMap((source, i) =>
    indented(source, ' '.repeat(digits + 5), page.width, `  [${String(i + 1).padStart(digits)}] `),
  );
  return [title('Sources', page), ...lines.map(page.style.dim)].join('\n');
}
