/**
 * @file Plan: drag what matters and see GPU-hours, days, memory and dollars move, with their
 * intervals.
 */
import { describeParameters } from '../../../architecture/describe.js';
import type { StatementLine, StatementTotal } from '../../../ledger/statement/statement.js';
import type { Plan, PlannedStage } from '../../../plan/plan.js';
import { publishedTable } from '../../../plan/text.js';
import type { Quantity } from '../../../planner/cluster.js';
import type { RecipeChoice } from '../../protocol.js';
import { get } from '../client.js';
import { bytes, compact, duration, percent, usd } from '../format.js';
import { Controls, settingsOf, usePlan } from '../plan-controls.js';
import type { PlanAnswer } from '../plan-model.js';
import { query, setQuery } from '../router.js';
import {
  Button,
  Card,
  CopyLink,
  DataTable,
  Later,
  Page,
  Problem,
  Stat,
  TextTable,
  useLoaded,
  Waiting,
} from '../ui.js';

export default function PlanPage() {
  const recipes = useLoaded(() => get<RecipeChoice[]>('recipes'), []);
  const name = query.value.get('recipe') ?? 'deepseek-v3';
  const recipe = recipes.value?.find((one) => one.name === name);
  const settings = settingsOf(query.value, name);
  const { answer, pending } = usePlan(recipe, settings);

  // What it is and how long its description are known at once with the recipes; until then nothing
  // is there that could move.
  if (recipes.value === null && recipes.error === null) {
    return (
      <Page title="Plan">
        <Waiting>Reading the recipes…</Waiting>
      </Page>
    );
  }
  const moved = [...query.value.keys()].some((parameter) => parameter !== 'recipe');
  return (
    <Page
      title="Plan"
      sub={recipe === undefined ? ' ' : recipe.description}
      actions={
        <>
          {moved && (
            <Button
              kind="quiet"
              onClick={() =>
                setQuery(
                  Object.fromEntries(
                    [...query.value.keys()].map((k) => [k, k === 'recipe' ? name : null]),
                  ),
                )
              }
            >
              Reset
            </Button>
          )}
          <CopyLink />
        </>
      }
    >
      {recipes.error !== null && <Problem>{recipes.error}</Problem>}
      <div class="plan">
        <Controls name={name} recipes={recipes.value ?? []} settings={settings} />
        <div class="plan-figures" aria-live="polite">
          {answer?.ok && <Figures plan={answer.plan} />}
        </div>
        <div class="plan-out" aria-busy={pending}>
          {answer === null ? (
            <Waiting>Searching for the best layout…</Waiting>
          ) : (
            <Answer answer={answer} />
          )}
        </div>
      </div>
    </Page>
  );
}

const mfuOf = ({ mfuCausal }: PlannedStage): string =>
  mfuCausal === null ? '–' : percent(mfuCausal.value);

const range = ({ low, high }: Quantity, show: (value: number) => string): string =>
  low === high ? 'given' : `${show(low)} to ${show(high)}`;

/** What moves when something is dragged: beside the sliders, or above them on a narrow screen. */
function Figures({ plan: { total, stages } }: { plan: Plan }) {
  const memory = stages
    .map(({ memoryBytesPerGpu }) => memoryBytesPerGpu)
    .filter((one) => one !== null);
  const most = memory.length === 0 ? null : memory.reduce((a, b) => (b.value > a.value ? b : a));
  return (
    <dl class="stats plan-stats">
      <Stat name="Dollars" value={usd(total.usd.value)} note={range(total.usd, usd)} tone="lead" />
      <Stat
        name="GPU-hours"
        value={compact(total.gpuHours.value)}
        note={range(total.gpuHours, compact)}
      />
      <Stat
        name="Time"
        value={duration(total.seconds.value)}
        note={range(total.seconds, duration)}
      />
      <Stat
        name="Memory per GPU"
        value={most === null ? '–' : bytes(most.value)}
        note={most === null ? ' ' : range(most, bytes)}
      />
      <Stat
        name="Energy"
        value={`${compact(total.energyKwh.value)} kWh`}
        note={range(total.energyKwh, compact)}
      />
      <Stat name="MFU" value={mfuOf(stages[0])} note={`${stages[0].id}, causal, BF16 peak`} />
    </dl>
  );
}

const OTHER_COSTS = [
  { category: 'lost', name: 'Lost work' },
  { category: 'research', name: 'Experiments' },
  { category: 'idle', name: 'Idle hours' },
  { category: 'staff', name: 'Staff' },
];

const sumOf = (lines: readonly StatementLine[], field: 'amount' | 'low' | 'high'): number =>
  lines.reduce((sum, line) => sum + Number(line[field] ?? line.amount), 0);

const intervalOf = ({ low, high }: StatementTotal): string =>
  low === undefined || high === undefined ? ' ' : `${usd(Number(low))} to ${usd(Number(high))}`;

function Answer({ answer }: { answer: PlanAnswer }) {
  if (!answer.ok) return <Problem>{answer.message}</Problem>;
  const { plan, statement, milliseconds } = answer;
  const { stages } = plan;
  const other = statement.lines.filter(({ category }) =>
    ['lost', 'research', 'idle', 'staff'].includes(category),
  );
  return (
    <>
      <p class="note">
        Beneath each figure: its 90% interval. {plan.model.name}:{' '}
        {describeParameters(plan.model.parameters)}. Planned in this page,{' '}
        {Math.round(milliseconds)} ms.
      </p>
      <Card title="Headline and full" note={[...new Set(other.map(({ rule }) => rule))].join('. ')}>
        <dl class="stats wide">
          <Stat
            name="Headline"
            value={usd(Number(statement.totals.headline.amount))}
            note={intervalOf(statement.totals.headline)}
          />
          {OTHER_COSTS.map(({ category, name }) => {
            const lines = other.filter((line) => line.category === category);
            return (
              lines.length > 0 && (
                <Stat
                  key={category}
                  name={name}
                  value={usd(sumOf(lines, 'amount'))}
                  note={`${usd(sumOf(lines, 'low'))} to ${usd(sumOf(lines, 'high'))}`}
                />
              )
            );
          })}
          <Stat
            name="Full"
            value={usd(Number(statement.totals.full.amount))}
            note={intervalOf(statement.totals.full)}
            tone="lead"
          />
        </dl>
      </Card>
      <Card
        title="Stages"
        note="With the best layout that was found for each: ways of tensor (tp), pipeline (pp), data (dp), expert (ep) and context (cp) parallelism, and the size of a micro-batch (mb)."
        flush
      >
        <DataTable
          label="Table of stages"
          rows={stages}
          columns={[
            {
              head: 'Stage',
              cell: ({ id, layout }) => (
                <>
                  {id} <span class="note mono">{layout}</span>
                </>
              ),
            },
            { head: 'Tokens', num: true, cell: ({ tokens }) => compact(tokens) },
            { head: 'GPU-hours', num: true, cell: ({ gpuHours }) => compact(gpuHours.value) },
            { head: 'Time', num: true, cell: ({ seconds }) => duration(seconds.value) },
            { head: 'MFU', num: true, cell: mfuOf },
            {
              head: 'Memory',
              num: true,
              cell: ({ memoryBytesPerGpu: memory }) =>
                memory === null ? '–' : bytes(memory.value),
            },
            { head: 'Dollars', num: true, cell: (stage) => usd(stage.usd.value) },
          ]}
        />
      </Card>
      <Later>
        <Further plan={plan} />
      </Later>
    </>
  );
}

/** Below the fold. */
function Further({ plan }: { plan: Plan }) {
  return (
    <>
      {plan.published.length > 0 && (
        <Card title="Beside what was published" note="No prediction reads these." flush>
          <TextTable table={publishedTable(plan.published)} label="Published GPU-hours" />
        </Card>
      )}
      <div class="two">
        <Card title="What the dollars depend on">
          <ul class="shares">
            {plan.sensitivity.map(({ input, what, share }) => (
              <li key={input}>
                <span>{what}</span>
                <span class="num">{percent(share, 0)}</span>
                <meter value={share} max={1} aria-label={`${what}: ${percent(share, 0)}`} />
              </li>
            ))}
          </ul>
        </Card>
        <Card title="Why other layouts lost">
          <ul class="plain rejected">
            {plan.rejected.slice(0, 9).map(({ stage, layout, reason }) => (
              <li key={`${stage} ${layout} ${reason}`}>
                <span class="mono">{layout}</span>
                <span class="note">
                  {stage}: {reason}
                </span>
              </li>
            ))}
            {plan.rejected.length === 0 && <li class="note">None was tried and rejected.</li>}
          </ul>
        </Card>
      </div>
      <p class="note">
        {usd(plan.cluster.usdPerHour.value)} an hour: {plan.cluster.usdPerHour.source}{' '}
        {plan.cluster.usdPerHour.date}. {plan.notes.join(' ')}
      </p>
    </>
  );
}
