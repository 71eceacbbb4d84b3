/**
 * @file Accuracy against cost, as a table and as a picture that stands alone.
 *
 * Dollars a problem are on a logarithmic axis, since models differ by orders of magnitude. What was
 * measured here is a filled circle with its 95% interval, what others published an open diamond; a
 * colour is a benchmark, and only marks of one colour answer the same questions. Rows without a
 * cost are in the table alone.
 */
import {
  columns,
  formatShare,
  formatShareRange,
  formatUsd,
  html,
  markdownTable,
} from '../base/text/index.js';
import type { ComparisonRow } from '../evaluation/compare.js';
import { htmlPage, htmlTable } from '../ledger/render/html.js';
import type { Style } from './output.js';

const HEAD = ['model', 'benchmark', 'accuracy', '95%', 'a problem', 'final runs', 'kind'];
const RIGHT = [false, false, true, false, true, true, false];
const DETAIL = ['model', 'benchmark', 'what the number is', 'date', 'source'];

function cellsOf(row: ComparisonRow): string[] {
  const { accuracy, kind, usdPerProblem, trainingUsd } = row;
  const interval =
    kind === 'measured' && accuracy !== null ? formatShareRange(accuracy.low, accuracy.high) : '–';
  const usd = (value: number | null): string =>
    value === null ? '–' : formatUsd(value).replace(/\.00$/, '');
  return [
    row.model,
    row.benchmark,
    row.score,
    interval,
    usd(usdPerProblem),
    usd(trainingUsd),
    kind,
  ];
}

const detailOf = ({ model, benchmark, definition, date, source }: ComparisonRow): string[] => {
  return [model, benchmark, definition, date, source];
};

/** For the terminal. */
export function comparisonText(rows: readonly ComparisonRow[], style: Style): string {
  const [head, ...lines] = columns([HEAD, ...rows.map(cellsOf)], RIGHT);
  return [style.dim(head), ...lines].join('\n');
}

export function comparisonMarkdown(rows: readonly ComparisonRow[]): string {
  const details = DETAIL.map(() => false);
  return [
    markdownTable({ head: HEAD, right: RIGHT, rows: rows.map(cellsOf) }),
    '',
    markdownTable({ head: DETAIL, right: details, rows: rows.map(detailOf) }),
    '',
  ].join('\n');
}

const [WIDTH, HEIGHT, LEFT, RIGHT_EDGE, TOP, BOTTOM] = [860, 440, 52, 190, 14, 46];
const COLOURS = 6;
const SVG_STYLE = `
.plot { width: 100%; height: auto; font: 12px system-ui, sans-serif; }
.plot { --p-ink: #1c2126; --p-line: #d5dade; --p1: #2f5d8a; --p2: #c26a2d; --p3: #3f8f5f; --p4: #8a3f7d; --p5: #a58a1f; --p6: #3f8a94; }
@media (prefers-color-scheme: dark) { .plot { --p-ink: #e6e9ec; --p-line: #3a4147; --p1: #6ea3d8; --p2: #e0935a; --p3: #6cc190; --p4: #c987bd; --p5: #d6bd5c; --p6: #74bcc6; } }
.plot text { fill: var(--p-ink); } .plot .grid { stroke: var(--p-line); }
${Array.from({ length: COLOURS }, (_, i) => `.plot .c${i + 1} { stroke: var(--p${i + 1}); fill: var(--p${i + 1}); }`).join(' ')}
.plot .published { fill: none; stroke-width: 2; } .plot .whisker { stroke-width: 1.5; } .plot .c1 text, .plot g text { stroke: none; }`;

type Placed = ComparisonRow & {
  accuracy: NonNullable<ComparisonRow['accuracy']>;
  usdPerProblem: number;
};

const placeable = (row: ComparisonRow): row is Placed =>
  row.accuracy !== null && row.usdPerProblem !== null && row.usdPerProblem > 0;

/** The picture; null where no row has both an accuracy and a cost. */
export function comparisonSvg(rows: readonly ComparisonRow[]): string | null {
  const points = rows.filter(placeable);
  if (points.length === 0) return null;
  const powers = points.map(({ usdPerProblem }) => Math.log10(usdPerProblem));
  const [low, high] = [
    Math.floor(Math.min(...powers) - 0.15),
    Math.ceil(Math.max(...powers) + 0.15),
  ];
  const x = (usd: number): number =>
    LEFT + ((Math.log10(usd) - low) / (high - low)) * (WIDTH - LEFT - RIGHT_EDGE);
  const y = (share: number): number => TOP + (1 - share) * (HEIGHT - TOP - BOTTOM);
  const fixed = (value: number): string => value.toFixed(1);
  const benchmarks = [...new Set(points.map(({ benchmark }) => benchmark))];
  const grid = [0, 0.25, 0.5, 0.75, 1].map(
    (share) =>
      `<path class="grid" d="M${LEFT} ${fixed(y(share))}H${WIDTH - RIGHT_EDGE}"/><text x="${LEFT - 8}" y="${fixed(y(share) + 4)}" text-anchor="end">${formatShare(share, 0)}</text>`,
  );
  for (let power = low; power <= high; power++) {
    grid.push(
      `<path class="grid" d="M${fixed(x(10 ** power))} ${TOP}V${HEIGHT - BOTTOM}"/><text x="${fixed(x(10 ** power))}" y="${HEIGHT - BOTTOM + 18}" text-anchor="middle">${formatUsd(10 ** power)}</text>`,
    );
  }
  const marks = labelled(points, x, y).map(({ point, labelY }) => {
    const [cx, cy] = [x(point.usdPerProblem), y(point.accuracy.mean)];
    const colour = `c${(benchmarks.indexOf(point.benchmark) % COLOURS) + 1}`;
    const { low: from, high: to } = point.accuracy;
    const whisker =
      to > from
        ? `<path class="whisker ${colour}" d="M${fixed(cx)} ${fixed(y(to))}V${fixed(y(from))}"/>`
        : '';
    const shape =
      point.kind === 'measured'
        ? `<circle class="${colour}" cx="${fixed(cx)}" cy="${fixed(cy)}" r="4.5"/>`
        : `<path class="published ${colour}" style="fill:none" d="M${fixed(cx)} ${fixed(cy - 5.5)}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/>`;
    const what = `${point.model}, ${point.benchmark}, ${point.kind}: ${point.score} at ${formatUsd(point.usdPerProblem)} a problem`;
    return `<g><title>${html(what)}</title>${whisker}${shape}<text x="${fixed(cx + 10)}" y="${fixed(labelY)}">${html(shorten(point.model))}</text></g>`;
  });
  const legend = benchmarks.map((benchmark, i) => {
    const top = TOP + 14 + i * 20;
    const at = WIDTH - RIGHT_EDGE + 24;
    return `<g><rect class="c${(i % COLOURS) + 1}" x="${at}" y="${top - 9}" width="10" height="10" rx="2"/><text x="${at + 16}" y="${top}">${html(shorten(benchmark))}</text></g>`;
  });
  const keyTop = TOP + 30 + benchmarks.length * 20;
  const at = WIDTH - RIGHT_EDGE + 29;
  legend.push(
    `<circle fill="var(--p-ink)" cx="${at}" cy="${keyTop - 4}" r="4.5"/><text x="${at + 11}" y="${keyTop}">measured, with 95%</text>`,
    `<path fill="none" stroke="var(--p-ink)" stroke-width="2" d="M${at} ${keyTop + 10.5}l5.5 5.5l-5.5 5.5l-5.5 -5.5z"/><text x="${at + 11}" y="${keyTop + 20}">published</text>`,
  );
  const axis = `<text x="${(LEFT + WIDTH - RIGHT_EDGE) / 2}" y="${HEIGHT - 6}" text-anchor="middle">dollars a problem</text>`;
  const label = `Accuracy against dollars a problem: ${points.map(({ model, kind, score, usdPerProblem }) => `${model} (${kind}) ${score} at ${formatUsd(usdPerProblem)}`).join('; ')}`;
  return `<svg class="plot" viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${html(label)}" xmlns="http://www.w3.org/2000/svg"><style>${SVG_STYLE}</style>${grid.join('')}${marks.join('')}${legend.join('')}${axis}</svg>\n`;
}

const shorten = (text: string): string => (text.length > 26 ? `${text.slice(0, 25)}…` : text);

/** Labels beside their marks, moved down where two would lie on each other. */
function labelled(
  points: readonly Placed[],
  x: (usd: number) => number,
  y: (share: number) => number,
): { point: Placed; labelY: number }[] {
  const placed: { point: Placed; labelX: number; labelY: number }[] = [];
  for (const point of [...points].sort((a, b) => b.accuracy.mean - a.accuracy.mean)) {
    const labelX = x(point.usdPerProblem) + 10;
    let labelY = y(point.accuracy.mean) + 4;
    const wide = (text: string): number => 6.5 * Math.min(26, text.length);
    const overlaps = (other: (typeof placed)[number]): boolean =>
      Math.abs(other.labelY - labelY) < 13 &&
      labelX < other.labelX + wide(other.point.model) &&
      other.labelX < labelX + wide(point.model);
    while (placed.some(overlaps)) labelY += 3;
    placed.push({ point, labelX, labelY });
  }
  return placed;
}

/** A page with the picture, the table and where each number comes from. */
export function comparisonHtml(rows: readonly ComparisonRow[]): string {
  const notes = [
    'Measured rows were made by Reckoner; published rows are what others reported. Scores of different benchmarks are different things.',
    'A problem is what its answers cost, all samples together. Final runs are training, at the price that was published; research and failed runs are not in it.',
  ];
  const svg = comparisonSvg(rows);
  return htmlPage(
    'Accuracy against cost',
    [
      `<ul>${notes.map((text) => `<li>${html(text)}</li>`).join('')}</ul>`,
      svg ?? '<p>No row has both an accuracy and a cost, so there is no picture.</p>',
      `<div class="wide summary">${htmlTable({ head: HEAD, right: RIGHT, rows: rows.map(cellsOf), footer: [] })}</div>`,
      '<h2>What each number is</h2>',
      `<div class="wide">${htmlTable({ head: DETAIL, right: DETAIL.map(() => false), rows: rows.map(detailOf), footer: [] })}</div>`,
    ],
    ' .summary td { white-space: nowrap; }',
  );
}
