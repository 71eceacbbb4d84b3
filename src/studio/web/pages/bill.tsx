/**
 * @file Bills and claims: what a published figure leaves out, step by step, and the bills of the
 * runs made here.
 */
import type { ComponentChildren } from 'preact';
import { useState } from 'preact/hooks';
import type { ClaimDocument } from '../../protocol.js';
import { get, runs } from '../client.js';
import { change, compact, duration, percent, usd, when } from '../format.js';
import {
  Button,
  Card,
  CopyLink,
  csv,
  DataTable,
  Later,
  Page,
  Problem,
  Stat,
  save,
  Tabs,
  useLoaded,
  Waiting,
} from '../ui.js';
import { savePng, Waterfall, type WaterfallRow } from '../waterfall.js';

type Figure = ClaimDocument['figures'][number];
type Step = ClaimDocument['steps'][number];

/** Of the figures of DeepSeek's claim, those that people quote. */
const QUOTED: Record<string, string> = {
  'v3-headline': 'The headline: V3’s final run',
  'programme-idle': 'V3 and R1, research, idle hours',
  'company-year': 'The company, in a year',
  'fleet-capex': 'Its servers, at purchase',
};

export default function BillPage({ name }: { name: string }) {
  const id = name === '' ? 'deepseek' : name;
  const list = useLoaded(() => get<{ id: string; title: string }[]>('claims'), []);
  const items = (list.value ?? [{ id: 'deepseek', title: '' }]).map((claim) => ({
    name:
      { deepseek: 'DeepSeek', 'llama-3.1-405b': 'Llama 3.1 405B', 'olmo-3': 'Olmo 3' }[claim.id] ??
      claim.id,
    href: `/bill/${claim.id}`,
    current: id === claim.id,
  }));
  return (
    <Page
      title="Bills and claims"
      sub="A published figure and a full one are mostly both right: they count different things."
    >
      <Tabs
        label="Claims"
        items={[...items, { name: 'Runs made here', href: '/bill/runs', current: id === 'runs' }]}
      />
      {id === 'runs' ? <Bills /> : <Claim key={id} id={id} />}
    </Page>
  );
}

function Bills() {
  const list = runs.value;
  if (list === null) return <Waiting>Reading the runs folder…</Waiting>;
  if (list.length === 0)
    return <p class="waiting">No run has been made here yet; each ends with its bill.</p>;
  return (
    <Card
      title="Bills of the runs made here"
      note="Full column, storage apart; each opens to its headline, its lines and its prediction."
      flush
    >
      <DataTable
        label="Table of bills"
        rows={list}
        columns={[
          {
            head: 'Run',
            cell: ({ name }) => <a href={`/runs/${encodeURIComponent(name)}/bill`}>{name}</a>,
          },
          { head: 'Begun', cell: ({ startedAt }) => when(startedAt) },
          { head: 'Time', num: true, cell: ({ seconds }) => duration(seconds) },
          { head: 'Cost', num: true, cell: (run) => usd(run.usd) },
        ]}
      />
    </Card>
  );
}

const periodOf = ({ period }: Figure): string =>
  period.kind === 'stock'
    ? 'a stock, at a date'
    : period.years === undefined
      ? 'paid once'
      : period.years === 1
        ? 'a flow, a year'
        : `a flow, ${period.years} years`;

function Claim({ id }: { id: string }) {
  const { value: claim, error } = useLoaded(
    () => get<ClaimDocument>(`claims/${encodeURIComponent(id)}`),
    [id],
  );
  if (error !== null) return <Problem>{error}</Problem>;
  if (claim === null)
    return <Waiting>Computing every figure with its interval, and the plan beside them…</Waiting>;
  const figures = new Map(claim.figures.map((figure) => [figure.id, figure]));
  const quoted = Object.keys(QUOTED)
    .map((one) => figures.get(one))
    .filter((figure) => figure !== undefined);
  const hero = quoted.length > 0 ? quoted : ends(claim, figures);
  const [main, detail] = [
    claim.path.filter((leg) => !leg.detail),
    claim.path.filter((leg) => leg.detail),
  ];
  return (
    <>
      <section class="hero">
        <h2>{claim.title}</h2>
        <dl class="stats hero-stats">
          {hero.map((figure) => (
            <Stat
              key={figure.id}
              name={QUOTED[figure.id] ?? figure.what}
              value={usd(figure.usd)}
              note={`${periodOf(figure)} · ${usd(figure.low)} to ${usd(figure.high)}`}
            />
          ))}
        </dl>
        <ul class="said">
          {claim.said.map(({ what, who, when: date, source }) => (
            <li key={what}>
              <b>{who}</b> <span class="note">{date}</span>
              <p>{what}</p>
              <p class="note">{source}</p>
            </li>
          ))}
        </ul>
      </section>
      {main.map((leg) => (
        <Later key={leg.title}>
          <Leg title={leg.title} claim={claim} figures={figures} ids={leg.figures} />
        </Later>
      ))}
      <Later>
        <Corrections claim={claim} />
      </Later>
      {detail.length > 0 && (
        <Later>
          <Further count={detail.length}>
            {detail.map((leg) => (
              <Leg
                key={leg.title}
                title={leg.title}
                claim={claim}
                figures={figures}
                ids={leg.figures}
              />
            ))}
          </Further>
        </Later>
      )}
      <Later>
        <Checks claim={claim} />
      </Later>
      <Later>
        <Assumptions claim={claim} />
      </Later>
    </>
  );
}

function Corrections({ claim: { corrections } }: { claim: ClaimDocument }) {
  if (corrections.length === 0) return null;
  return (
    <Card title="Where the retelling goes wrong">
      <ul class="corrections">
        {corrections.map(({ told, kind, instead }) => (
          <li key={told}>
            <p class="told">{told}</p>
            <p class="note">{kind}</p>
            <p>{instead}</p>
          </li>
        ))}
      </ul>
    </Card>
  );
}

function Further({ count, children }: { count: number; children: ComponentChildren }) {
  const [opened, setOpened] = useState(false);
  return (
    <details class="further" onToggle={() => setOpened(true)}>
      <summary>{count} more reconciliations</summary>
      {opened && children}
    </details>
  );
}

/** First and last figure of each leg, once. */
function ends({ path }: ClaimDocument, figures: ReadonlyMap<string, Figure>): Figure[] {
  const ids = [
    ...new Set(path.flatMap((leg) => [leg.figures[0], leg.figures[leg.figures.length - 1]])),
  ].slice(0, 4);
  return ids.map((id) => figures.get(id)).filter((figure) => figure !== undefined);
}

function rowsOf(
  ids: readonly string[],
  figures: ReadonlyMap<string, Figure>,
  { steps }: ClaimDocument,
): WaterfallRow[] {
  const rows: WaterfallRow[] = [];
  ids.forEach((id, i) => {
    const figure = figures.get(id);
    if (figure === undefined) return;
    const before = figures.get(ids[i - 1]);
    const step = steps.find(({ from, to }) => from === before?.id && to === id);
    if (before !== undefined && step !== undefined) {
      const { what, usd: value, low, high, basis } = step;
      rows.push({
        key: `${before.id} ${id}`,
        label: what,
        from: before.usd,
        to: figure.usd,
        total: false,
        value,
        low,
        high,
        basis,
        body: <StepBody step={step} />,
      });
    }
    const { what, usd: value, low, high, basis } = figure;
    rows.push({
      key: id,
      label: what,
      from: 0,
      to: value,
      total: true,
      value,
      low,
      high,
      basis,
      body: <FigureBody figure={figure} />,
    });
  });
  return rows;
}

function StepBody({ step }: { step: Step }) {
  return (
    <>
      <p>{step.why}</p>
      {step.converts !== undefined && <p>Converts {step.converts.replace(/^from /, 'from ')}.</p>}
      <dl class="facts">
        <dt>Amount</dt>
        <dd>
          {usd(step.usd)}, 90% interval {usd(step.low)} to {usd(step.high)}
        </dd>
        <dt>Basis</dt>
        <dd>{step.basis}</dd>
        <dt>Source</dt>
        <dd>{step.source}</dd>
      </dl>
    </>
  );
}

function FigureBody({ figure }: { figure: Figure }) {
  return (
    <>
      <p>{figure.scope}</p>
      <dl class="facts">
        <dt>Amount</dt>
        <dd>
          ${Number(figure.usdExact).toLocaleString('en-US')}, 90% interval {usd(figure.low)} to{' '}
          {usd(figure.high)}
        </dd>
        <dt>Period</dt>
        <dd>
          {periodOf(figure)},{' '}
          {figure.period.start === figure.period.end
            ? figure.period.start
            : `${figure.period.start} to ${figure.period.end}`}
        </dd>
        {figure.formula !== null && (
          <>
            <dt>Formula</dt>
            <dd class="mono">{figure.formula}</dd>
          </>
        )}
        {figure.drivers.length > 0 && (
          <>
            <dt>Interval from</dt>
            <dd>
              {figure.drivers
                .map(({ input, share }) => `${input} (${percent(share, 0)})`)
                .join(', ')}
            </dd>
          </>
        )}
        <dt>Basis</dt>
        <dd>{figure.basis}</dd>
        <dt>Source</dt>
        <dd>{figure.source}</dd>
      </dl>
    </>
  );
}

type LegProps = {
  title: string;
  claim: ClaimDocument;
  figures: ReadonlyMap<string, Figure>;
  ids: readonly string[];
};

function Leg({ title, claim, figures, ids }: LegProps) {
  const rows = rowsOf(ids, figures, claim);
  const file = `${claim.claim}-${title
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .slice(0, 40)}`;
  return (
    <Card
      title={title}
      aside={
        <div class="actions">
          <Button
            icon="download"
            label={`PNG of ${title}`}
            onClick={() => savePng(file, title, `Reckoner · ${claim.title}`, rows)}
          >
            PNG
          </Button>
          <Button
            icon="download"
            label={`CSV of ${title}`}
            onClick={() =>
              save(
                `${file}.csv`,
                csv([
                  ['what', 'kind', 'usd', 'low', 'high', 'basis'],
                  ...rows.map((row) => [
                    row.label,
                    row.total ? 'figure' : 'step',
                    row.value,
                    row.low,
                    row.high,
                    row.basis ?? '',
                  ]),
                ]),
              )
            }
          >
            CSV
          </Button>
          <CopyLink url={`${location.origin}/bill/${claim.claim}`} />
        </div>
      }
    >
      <Waterfall rows={rows} label={title} />
    </Card>
  );
}

function Checks({ claim }: { claim: ClaimDocument }) {
  if (claim.checks.length === 0) return null;
  return (
    <Card
      title="Checks"
      note="What follows from other published figures, beside what was published."
      flush
    >
      <DataTable
        label="Table of checks"
        rows={claim.checks}
        columns={[
          {
            head: 'What',
            cell: ({ what, unit }) => (
              <>
                {what} <span class="note">{unit}</span>
              </>
            ),
          },
          { head: 'Computed', num: true, cell: ({ computed }) => compact(computed) },
          { head: 'Published', num: true, cell: ({ published }) => compact(published) },
          {
            head: 'Error',
            num: true,
            cell: ({ relativeError }) => (relativeError === 0 ? 'exact' : change(relativeError, 2)),
          },
          { head: 'Source', tone: 'source', cell: ({ source }) => source },
        ]}
      />
    </Card>
  );
}

function Assumptions({ claim }: { claim: ClaimDocument }) {
  const open = claim.assumptions.filter(({ low, high }) => low !== high);
  return (
    <Card
      title="What makes the intervals wide"
      note={`${open.length} of ${claim.assumptions.length} quantities are not known exactly.`}
      flush
    >
      <DataTable
        label="Table of quantities"
        rows={open}
        columns={[
          {
            head: 'Quantity',
            cell: ({ what, note }) => (
              <>
                {what} {note !== '' && <span class="note">{note}</span>}
              </>
            ),
          },
          {
            head: 'Value',
            num: true,
            cell: ({ value, unit }) => (
              <>
                {compact(value)} <span class="note">{unit}</span>
              </>
            ),
          },
          {
            head: 'Interval',
            num: true,
            cell: ({ low, high }) => (
              <span class="faint">
                {compact(low)} to {compact(high)}
              </span>
            ),
          },
          { head: 'Basis', cell: ({ basis }) => basis },
          { head: 'Source', tone: 'source', cell: ({ source }) => source },
        ]}
      />
    </Card>
  );
}
