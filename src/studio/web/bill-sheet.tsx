/**
 * @file A run's statement to read: from headline to full, each line with its price and source, and
 * what was predicted beside what was measured.
 */
import { statementCsv } from '../../ledger/render/csv.js';
import { gainTable, planTable } from '../../ledger/render/sections.js';
import type { Amount, StatementLine } from '../../ledger/statement/statement.js';
import type { RunStatement } from '../protocol.js';
import { ratio, significant, usd } from './format.js';
import { Button, Card, CopyLink, Stat, save, TextTable } from './ui.js';
import { savePng, Waterfall, type WaterfallRow } from './waterfall.js';

const endsOf = ({ amount, low = amount, high = amount }: Amount): string =>
  `${usd(Number(low))} to ${usd(Number(high))}`;

/** @param link where others see it */
export function BillSheet({
  name,
  bill,
  final,
  link,
}: {
  name: string;
  bill: RunStatement;
  final: boolean;
  link?: string;
}) {
  const { headline, full } = bill.totals;
  const rows = rowsOf(bill);
  return (
    <>
      {!final && (
        <p class="notice">
          The run has not ended: this is its bill as far as it has come. Open this page again for a
          newer one.
        </p>
      )}
      <dl class="stats wide">
        <Stat name="Headline" value={usd(Number(headline.amount))} note={endsOf(headline)} />
        <Stat name="Full" value={usd(Number(full.amount))} note={endsOf(full)} />
        <Stat
          name="Full over headline"
          value={
            Number(headline.amount) > 0
              ? `${ratio(Number(full.amount) / Number(headline.amount))}×`
              : '–'
          }
          note="what a headline leaves out"
        />
      </dl>
      <Card
        title="From headline to full"
        note="Each row opens to its lines: quantity, price, source. In the notes: every price at its low or high end."
        aside={
          <div class="actions">
            <Button
              icon="download"
              onClick={() => savePng(`bill-${name}`, bill.title, `Reckoner · ${full.scope}`, rows)}
            >
              PNG
            </Button>
            <Button
              icon="download"
              onClick={() =>
                save(`bill-${name}.csv`, new Blob([statementCsv(bill)], { type: 'text/csv' }))
              }
            >
              CSV
            </Button>
            {link !== undefined && <CopyLink url={link} />}
          </div>
        }
      >
        <Waterfall rows={rows} label="From headline to full" />
      </Card>
      {bill.predicted !== null && (
        <Card
          title="Predicted and measured"
          note="Predicted before the first step, beside what was measured. Residual: measured over predicted, less one."
          flush
        >
          <TextTable table={planTable(bill)} />
        </Card>
      )}
      {bill.gains.length > 0 && (
        <Card
          title="What accuracy cost"
          note="Dollars for each further correct answer per 1,000 problems."
          flush
        >
          <TextTable table={gainTable(bill)} />
        </Card>
      )}
      {bill.notes.length > 0 && (
        <Card title="Notes">
          <ul class="plain">
            {bill.notes.map((note) => (
              <li key={note}>{note}</li>
            ))}
          </ul>
        </Card>
      )}
    </>
  );
}

function rowsOf({ totals, bridge, lines }: RunStatement): WaterfallRow[] {
  const { headline, full } = totals;
  const rowOf = (row: Omit<WaterfallRow, 'low' | 'high' | 'body'>, own: StatementLine[]) => {
    const sum = (end: 'low' | 'high'): number =>
      own.reduce((all, line) => all + Number(line[end] ?? line.amount), 0);
    return { ...row, low: sum('low'), high: sum('high'), body: <Lines lines={own} /> };
  };
  const total = (key: 'headline' | 'full', label: string, { amount, scope }: typeof full) => {
    const value = Number(amount);
    const own = lines.filter(({ columns }) => columns.includes(key));
    const row = rowOf({ key, label, from: 0, to: value, total: true, value }, own);
    const body = (
      <>
        <p>{scope}</p>
        {row.body}
      </>
    );
    return { ...row, body };
  };
  const rows: WaterfallRow[] = [total('headline', 'Headline', headline)];
  let at = Number(headline.amount);
  for (const { category, what, amount } of bridge) {
    const value = Number(amount);
    const own = lines.filter(
      (line) => line.category === category && !line.columns.includes('headline'),
    );
    const row = rowOf(
      { key: category, label: what, from: at, to: at + value, total: false, value },
      own,
    );
    // A step that replaces the headline's own lines has no ends of its own.
    rows.push(category === 'owned' ? { ...row, low: null, high: null } : row);
    at += value;
  }
  rows.push(total('full', 'Full', full));
  return rows;
}

function Lines({ lines }: { lines: readonly StatementLine[] }) {
  return (
    <ul class="sources">
      {lines.map(({ what, quantity, unit, price, amount, run }, i) => (
        <li key={i}>
          <b>{run?.stage}</b> {what}: {significant(Number(quantity), 4)} {unit} × ${price?.amount} ={' '}
          {usd(Number(amount))}{' '}
          <span class="note">
            quantity {run?.basis}, price {price?.basis}. {price?.source}, {price?.date},{' '}
            {price?.region}
          </span>
        </li>
      ))}
    </ul>
  );
}
