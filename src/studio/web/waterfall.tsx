/**
 * @file A waterfall that is read from top to bottom: what stands, and what each step adds to it.
 * Each row opens to where it comes from.
 */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import { scaleOf } from './figures.js';
import { usd } from './format.js';
import { Icon } from './icons.js';
import { save } from './ui.js';

export interface WaterfallRow {
  key: string;
  label: string;
  /** Running total before and after; a total stands on zero. */
  from: number;
  to: number;
  total: boolean;
  /** Of what the row says: the total, or the step. */
  value: number;
  low: number | null;
  high: number | null;
  basis?: string;
  body: ComponentChildren;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

const toneOf = ({ total, value }: WaterfallRow): string =>
  total ? 'total' : value < 0 ? 'less' : 'more';
const interval = ({ low, high }: WaterfallRow): string =>
  low === null || high === null || low === high ? '' : `${usd(low)} to ${usd(high)}`;
const signed = (row: WaterfallRow): string =>
  `${row.total || row.value < 0 ? '' : '+'}${usd(row.value)}`;

export function Waterfall({ rows, label }: { rows: WaterfallRow[]; label: string }) {
  const most = scaleOf(rows);
  return (
    <ul class="waterfall" aria-label={label}>
      {rows.map((row, i) => (
        <Fall key={row.key} row={row} most={most} mid={row.total && i > 0 && i < rows.length - 1} />
      ))}
    </ul>
  );
}

/** One row; what it opens to is built when it is opened. */
function Fall({ row, most, mid }: { row: WaterfallRow; most: number; mid: boolean }) {
  const [opened, setOpened] = useState(false);
  const x = (value: number): number => Math.max(0, Math.min(100, (value / most) * 100));
  const [a, b] = [Math.min(row.from, row.to), Math.max(row.from, row.to)];
  const whisker = row.total && row.low !== null && row.high !== null && row.low !== row.high;
  return (
    <li>
      <details class={`fall ${toneOf(row)}${mid ? ' mid' : ''}`} onToggle={() => setOpened(true)}>
        <summary>
          <span class="fall-label">
            <Icon name="chevron" />
            <span>{capital(row.label)}</span>
          </span>
          <svg class="fall-bar" viewBox="0 0 100 20" preserveAspectRatio="none" aria-hidden="true">
            <rect x={x(a)} y={2} width={Math.max(0.35, x(b) - x(a))} height={12} />
            {whisker && (
              <path
                d={`M${x(row.low as number)} 15.5V19.5M${x(row.low as number)} 17.5H${x(row.high as number)}M${x(row.high as number)} 15.5V19.5`}
                vector-effect="non-scaling-stroke"
              />
            )}
          </svg>
          <span class="fall-value">
            {signed(row)}
            <span class="note">{interval(row)}</span>
          </span>
        </summary>
        {opened && <div class="fall-body">{row.body}</div>}
      </details>
    </li>
  );
}

/** The same, as an image of 1,200 pixels for a slide or a message. */
export function savePng(
  name: string,
  title: string,
  source: string,
  rows: readonly WaterfallRow[],
): void {
  const style = getComputedStyle(document.documentElement);
  const token = (property: string): string => style.getPropertyValue(property).trim();
  const [width, line, top] = [1200, 40, 88];
  const height = top + rows.length * line + 56;
  const canvas = Object.assign(document.createElement('canvas'), {
    width: width * 2,
    height: height * 2,
  });
  const context = canvas.getContext('2d');
  if (context === null) return;
  context.scale(2, 2);
  const text = (
    what: string,
    x: number,
    y: number,
    font: string,
    colour: string,
    align: CanvasTextAlign = 'left',
    room?: number,
  ): void => {
    context.font = `${font} ${token('--sans')}`;
    context.fillStyle = token(colour);
    context.textAlign = align;
    context.fillText(what, x, y, room);
  };
  context.fillStyle = token('--surface');
  context.fillRect(0, 0, width, height);
  text(title, 40, 52, '600 22px', '--ink');
  const most = scaleOf(rows);
  const x = (value: number): number => 340 + Math.max(0, Math.min(1, value / most)) * 560;
  rows.forEach((row, i) => {
    const y = top + i * line;
    text(capital(row.label), 40, y + 21, `${row.total ? 600 : 400} 14px`, '--ink', 'left', 285);
    const [a, b] = [Math.min(row.from, row.to), Math.max(row.from, row.to)];
    const mid = i > 0 && i < rows.length - 1;
    context.fillStyle = token(
      row.total ? (mid ? '--bar-mid' : '--bar-total') : row.value < 0 ? '--bar-less' : '--bar-more',
    );
    context.fillRect(x(a), y + 7, Math.max(2, x(b) - x(a)), 18);
    const { low, high } = row;
    if (row.total && low !== null && high !== null && low !== high) {
      context.fillStyle = token('--muted');
      context.fillRect(x(low), y + 30, x(high) - x(low), 1);
      for (const end of [low, high]) context.fillRect(x(end), y + 27.5, 1, 6);
    }
    text(signed(row), 1000, y + 21, `${row.total ? 600 : 400} 14px`, '--ink', 'right');
    text(interval(row), 1015, y + 21, '400 12px', '--muted', 'left', 165);
  });
  text(source, 40, height - 20, '400 11px', '--muted', 'left', width - 80);
  canvas.toBlob((blob) => blob !== null && save(`${name}.png`, blob));
}
