/**
 * @file A bill to read: from headline to full, each line with its price and source, and what was
 * predicted beside what was measured.
 */
import type { Bill } from '../protocol.js';
import { count, duration, percent, significant, usd } from './format.js';
import { Button, Card, CopyLink, csv, Scroll, Stat, save } from './ui.js';
import { savePng, Waterfall, type WaterfallRow } from './waterfall.js';

const LABELS: Record<string, string> = { headline: 'Headline', full: 'Full' };

/** @param link where others see it */
export function BillSheet({
  name,
  bill,
  final,
  link,
}: {
  name: string;
  bill: Bill;
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
        <Stat
          name="Headline"
          value={usd(Number(headline.usd))}
          note={`${usd(Number(headline.usdLow))} to ${usd(Number(headline.usdHigh))}`}
        />
        <Stat
          name="Full"
          value={usd(Number(full.usd))}
          note={`${usd(Number(full.usdLow))} to ${usd(Number(full.usdHigh))}`}
        />
        <Stat
          name="Full over headline"
          value={
            Number(headline.usd) > 0
              ? `${(Number(full.usd) / Number(headline.usd)).toFixed(2)}×`
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
              onClick={() =>
                savePng(`bill-${name}`, `Bill of ${name}`, `Reckoner · ${full.scope}`, rows)
              }
            >
              PNG
            </Button>
            <Button icon="download" onClick={() => save(`bill-${name}.csv`, csvOf(bill))}>
              CSV
            </Button>
            {link !== undefined && <CopyLink url={link} />}
          </div>
        }
      >
        <Waterfall rows={rows} label="From headline to full" />
      </Card>
      {bill.predicted !== null && <PredictedTable predicted={bill.predicted} />}
      {bill.gains.length > 0 && (
        <Card
          title="What accuracy cost"
          note="Dollars for each further correct answer per 1,000 problems."
          flush
        >
          <Scroll label="Table of what accuracy cost">
            <table>
              <thead>
                <tr>
                  <th scope="col">Task</th>
                  <th scope="col">From → to</th>
                  <th scope="col" class="num">
                    Accuracy
                  </th>
                  <th scope="col" class="num">
                    Gain (95%)
                  </th>
                  <th scope="col" class="num">
                    Headline
                  </th>
                  <th scope="col" class="num">
                    Full
                  </th>
                </tr>
              </thead>
              <tbody>
                {bill.gains.map(
                  ({ task, from, to, gain, gain95, usdPerCorrectAnswerGained: each }) => (
                    <tr key={`${task} ${from.stage} ${to.stage}`}>
                      <th scope="row">{task}</th>
                      <td>
                        {from.label} → {to.label}
                      </td>
                      <td class="num">
                        {percent(from.accuracy)} → {percent(to.accuracy)}
                      </td>
                      <td class="num">
                        {(gain * 100).toFixed(1)}
                        {gain95 !== null && (
                          <span class="faint">
                            {' '}
                            95%: {(gain95.low * 100).toFixed(1)} to {(gain95.high * 100).toFixed(1)}
                          </span>
                        )}
                      </td>
                      <td class="num">{each === null ? '–' : usd(Number(each.headline))}</td>
                      <td class="num">{each === null ? '–' : usd(Number(each.full))}</td>
                    </tr>
                  ),
                )}
              </tbody>
            </table>
          </Scroll>
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

/** Lines that one step of the bridge is made of. */
function linesOf({ lines }: Bill, what: string): Bill['lines'] {
  if (what === 'headline') return lines.filter(({ columns }) => columns.includes('headline'));
  const rest = lines.filter(({ columns }) => !columns.includes('headline'));
  if (what === 'full') return lines;
  const word = what.toLowerCase();
  return rest.filter(({ purpose, item, status, stage }) => {
    if (item.startsWith('storage')) return word.includes('storage');
    if (status === 'lost') return word.includes('lost');
    if (status === 'discarded') return word.includes('discarded');
    if (status === 'other-run') return word.includes('other');
    return word.includes(purpose) || word.includes(stage);
  });
}

function rowsOf(bill: Bill): WaterfallRow[] {
  const { headline, full } = bill.totals;
  const rows: WaterfallRow[] = [];
  const body = (what: string, scope?: string) => (
    <>
      {scope !== undefined && <p>{scope}</p>}
      <Lines lines={linesOf(bill, what)} />
    </>
  );
  const total = (key: 'headline' | 'full', of: typeof full): WaterfallRow => {
    const value = Number(of.usd);
    return {
      key,
      label: LABELS[key],
      from: 0,
      to: value,
      total: true,
      value,
      low: Number(of.usdLow),
      high: Number(of.usdHigh),
      body: body(key, of.scope),
    };
  };
  rows.push(total('headline', headline));
  let at = Number(headline.usd);
  for (const { what, usd: amount } of bill.bridge) {
    const value = Number(amount);
    if (value === 0) continue;
    const lines = linesOf(bill, what);
    const sum = (column: 'usdLow' | 'usdHigh'): number | null =>
      lines.length === 0 ? null : lines.reduce((all, line) => all + Number(line[column]), 0);
    rows.push({
      key: what,
      label: what,
      from: at,
      to: at + value,
      total: false,
      value,
      low: sum('usdLow'),
      high: sum('usdHigh'),
      body: body(what),
    });
    at += value;
  }
  rows.push(total('full', full));
  return rows;
}

function Lines({ lines }: { lines: Bill['lines'] }) {
  return (
    <ul class="sources">
      {lines.map(({ stage, item, quantity, unit, unitPrice, usd: amount, basis, attempt }) => (
        <li key={`${stage} ${item} ${attempt}`}>
          <b>{stage}</b> {item}: {significant(Number(quantity), 4)} {unit} × ${unitPrice.usd} ={' '}
          {usd(Number(amount))}{' '}
          <span class="note">
            quantity {basis}, price {unitPrice.basis}. {unitPrice.source}, {unitPrice.date},{' '}
            {unitPrice.region}
          </span>
        </li>
      ))}
    </ul>
  );
}

function csvOf({ lines }: Bill): Blob {
  const head = [
    'run',
    'stage',
    'purpose',
    'attempt',
    'status',
    'item',
    'quantity',
    'unit',
    'usd',
    'usd_low',
    'usd_high',
    'basis',
    'columns',
    'price_source',
  ];
  return csv([
    head,
    ...lines.map((line) => [
      line.run,
      line.stage,
      line.purpose,
      line.attempt,
      line.status,
      line.item,
      Number(line.quantity),
      line.unit,
      Number(line.usd),
      Number(line.usdLow),
      Number(line.usdHigh),
      line.basis,
      line.columns.join(' '),
      line.unitPrice.source,
    ]),
  ]);
}

function PredictedTable({ predicted }: { predicted: NonNullable<Bill['predicted']> }) {
  const { stages } = predicted;
  return (
    <Card
      title="Predicted and measured"
      note="Said before the first step, beside what came of it. Residual: measured over predicted, less one."
      flush
    >
      <Scroll label="Table of what was predicted and measured">
        <table>
          <thead>
            <tr>
              <th scope="col">Stage</th>
              <th scope="col" class="num">
                Predicted
              </th>
              <th scope="col" class="num">
                90% interval
              </th>
              <th scope="col" class="num">
                Measured
              </th>
              <th scope="col" class="num">
                Residual
              </th>
              <th scope="col" class="num">
                Tokens
              </th>
            </tr>
          </thead>
          <tbody>
            {stages.map((stage) => {
              const { predicted: said, measured } = stage;
              const seconds = stage.residual;
              return (
                <tr key={stage.stage}>
                  <th scope="row">{stage.stage}</th>
                  <td class="num">{duration(said.seconds)}</td>
                  <td class="num faint">
                    {duration(said.secondsLow)} to {duration(said.secondsHigh)}
                  </td>
                  <td class="num">{measured === null ? '–' : duration(measured.seconds)}</td>
                  <td class="num">
                    {seconds === null
                      ? '–'
                      : `${seconds < 0 ? '−' : '+'}${percent(Math.abs(seconds), 0)}`}
                  </td>
                  <td class="num">{measured === null ? '–' : count(measured.tokens)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </Scroll>
    </Card>
  );
}
