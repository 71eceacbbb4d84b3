/**
 * @file The waterfall from headline to full, as an SVG that needs nothing else.
 *
 * Bars hang between running totals, so that each shows what it adds; the first and the last stand
 * on the axis. Sizes are for a page of 860 pixels; colours come from CSS variables of the page,
 * with defaults.
 */
import { html } from '../../base/text/index.js';
import { Decimal } from '../money.js';
import type { Statement } from '../statement/statement.js';
import { formatMoney } from './tables.js';

export interface Bar {
  label: string;
  amount: string;
  /** Running totals before and after. */
  from: string;
  to: string;
  total: boolean;
}

/** The bars of a statement: headline, one a step, full. The last step ends where full stands. */
export function barsOf({ totals, bridge }: Pick<Statement, 'totals' | 'bridge'>): Bar[] {
  let at = new Decimal(totals.headline.amount);
  const bars: Bar[] = [
    { label: 'headline', amount: at.toFixed(), from: '0', to: at.toFixed(), total: true },
  ];
  for (const { what, amount } of bridge) {
    const to = at.plus(amount);
    bars.push({ label: what, amount, from: at.toFixed(), to: to.toFixed(), total: false });
    at = to;
  }
  bars.push({
    label: 'full',
    amount: totals.full.amount,
    from: '0',
    to: totals.full.amount,
    total: true,
  });
  return bars;
}

const [WIDTH, ROW, LABEL, RIGHT] = [860, 30, 300, 130];

export function waterfallSvg(statement: Pick<Statement, 'totals' | 'bridge' | 'currency'>): string {
  const bars = barsOf(statement);
  const ends = bars.flatMap(({ from, to }) => [Number(from), Number(to)]);
  const [low, high] = [Math.min(0, ...ends), Math.max(0, ...ends)];
  const span = high - low || 1;
  const x = (value: number): number => LABEL + ((value - low) / span) * (WIDTH - LABEL - RIGHT);
  const fixed = (value: number): string => value.toFixed(1);
  const rows = bars.map(({ label, amount, from, to, total }, i) => {
    const [a, b] = [x(Math.min(Number(from), Number(to))), x(Math.max(Number(from), Number(to)))];
    const y = i * ROW + 6;
    const kind = total ? 'total' : new Decimal(amount).isNegative() ? 'less' : 'more';
    const shown = `${!total && !new Decimal(amount).isNegative() ? '+' : ''}${formatMoney(amount, 2, statement.currency)}`;
    const link =
      i === bars.length - 1
        ? ''
        : `<path class="link" d="M${fixed(x(Number(to)))} ${y + 18}V${y + ROW}"/>`;
    return (
      `<g><title>${html(`${label}: ${shown}`)}</title>` +
      `<text x="${LABEL - 10}" y="${y + 13}" text-anchor="end">${html(label)}</text>` +
      `<rect class="${kind}" x="${fixed(a)}" y="${y}" width="${fixed(Math.max(1, b - a))}" height="18" rx="2"/>${link}` +
      `<text class="number" x="${fixed(b + 8)}" y="${y + 13}">${html(shown)}</text></g>`
    );
  });
  const height = bars.length * ROW + 6;
  const description = `From headline to full: ${bars.map(({ label, amount }) => `${label} ${formatMoney(amount, 2, statement.currency)}`).join(', ')}`;
  return `<svg class="waterfall" viewBox="0 0 ${WIDTH} ${height}" role="img" aria-label="${html(description)}" xmlns="http://www.w3.org/2000/svg">${rows.join('')}</svg>`;
}
