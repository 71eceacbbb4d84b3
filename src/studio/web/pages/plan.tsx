/**
 * @file Plan: drag what matters and see GPU-hours, days, memory and dollars move, with their
 * intervals.
 */
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { describeParameters } from '../../../architecture/describe.js';
import type { StatementLine, StatementTotal } from '../../../ledger/statement/statement.js';
import type { Plan, PlannedStage } from '../../../plan/plan.js';
import { publishedTable } from '../../../plan/text.js';
import type { Quantity } from '../../../planner/cluster.js';
import type { RecipeChoice } from '../../protocol.js';
import { get } from '../client.js';
import { bytes, compact, count, duration, percent, significant, usd } from '../format.js';
import type { PlanAnswer } from '../plan-model.js';
import { accelerators, defaultsOf, type Settings } from '../plan-settings.js';
import { query, setQuery } from '../router.js';
import { Slider } from '../slider.js';
import {
  Button,
  Card,
  CopyLink,
  DataTable,
  Later,
  Page,
  Problem,
  Select,
  Stat,
  TextTable,
  useLoaded,
  Waiting,
} from '../ui.js';

/** Where a published recipe was run. */
const HOME: Record<string, [string, number]> = {
  'deepseek-v3': ['h800', 2048],
  'deepseek-r1': ['h800', 512],
};

function settingsOf(parameters: URLSearchParams, recipe: string): Settings {
  const number = (name: string): number | null => {
    const text = parameters.get(name);
    const value = text === null ? Number.NaN : Number(text);
    return Number.isFinite(value) && value > 0 ? value : null;
  };
  const [accelerator, size] = HOME[recipe] ?? ['h100', 8];
  return {
    accelerator: parameters.get('gpu') ?? accelerator,
    count: Math.min(1_000_000, Math.round(number('count') ?? size)),
    usdPerHour: number('price'),
    efficiency: number('efficiency'),
    goodput: number('goodput'),
    tokens: number('tokens') ?? 1,
    experts: number('experts'),
    people: number('people') ?? 0,
    months: number('months') ?? 12,
    experiments: number('experiments') ?? 1,
    utilisation: number('utilisation'),
  };
}

export default function PlanPage() {
  const recipes = useLoaded(() => get<RecipeChoice[]>('recipes'), []);
  const name = query.value.get('recipe') ?? 'deepseek-v3';
  const recipe = recipes.value?.find((one) => one.name === name);
  const settings = settingsOf(query.value, name);
  const answer = useSignal<PlanAnswer | null>(null);
  const pending = useSignal(false);
  const worker = useRef<Worker | null>(null);
  const asked = useRef(0);
  const queued = useRef<(() => void) | null>(null);
  const busy = useRef(false);
  useEffect(() => {
    const made = new Worker(new URL('../plan-worker.ts', import.meta.url), { type: 'module' });
    made.onmessage = ({ data }: MessageEvent<{ id: number; answer: PlanAnswer }>) => {
      busy.current = false;
      answer.value = data.answer;
      // Only the newest question is worth an answer.
      const next = queued.current;
      queued.current = null;
      if (next !== null) next();
      else pending.value = false;
    };
    worker.current = made;
    return () => made.terminate();
  }, [answer, pending]);
  const key = JSON.stringify([recipe?.name, settings]);
  useEffect(() => {
    if (recipe === undefined) return;
    const send = (): void => {
      busy.current = true;
      worker.current?.postMessage({ id: ++asked.current, recipe: recipe.work, settings });
    };
    pending.value = true;
    if (busy.current) queued.current = send;
    else send();
  }, [key]);

  // What it is and how long its description are known at once with the recipes; until then nothing
  // is there that could move.
  if (recipes.value === null && recipes.error === null) {
    return (
      <Page title="Plan">
        <Waiting>Reading the recipes…</Waiting>
      </Page>
    );
  }
  const known = defaultsOf(settings.accelerator);
  const moe = recipe?.work.architecture.moe ?? null;
  const set = (parameter: string, value: number | string | null): void =>
    setQuery({ [parameter]: value === null ? null : String(value) });
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
        <form
          class="controls"
          aria-label="What to plan"
          onSubmit={(event) => event.preventDefault()}
        >
          <Select
            label="Recipe"
            value={name}
            options={(recipes.value ?? [{ name }]).map((one) => ({
              value: one.name,
              name: one.name,
            }))}
            onChange={(value) =>
              setQuery({
                ...Object.fromEntries([...query.value.keys()].map((k) => [k, null])),
                recipe: value,
              })
            }
          />
          <Select
            label="Accelerator"
            value={settings.accelerator}
            options={accelerators().map((one) => ({ value: one.id, name: one.name }))}
            onChange={(value) => setQuery({ gpu: value, price: null, efficiency: null })}
          />
          <Slider
            label="Accelerators"
            value={settings.count}
            show={count}
            stops={COUNTS}
            isDefault={!query.value.has('count')}
            onInput={(value) => set('count', value)}
          />
          <Slider
            label="Price of an hour"
            value={settings.usdPerHour ?? known.usdPerHour}
            show={usd}
            low={0.2}
            high={12}
            step={0.05}
            isDefault={settings.usdPerHour === null}
            onInput={(value) => set('price', value)}
          />
          <Slider
            label="Efficiency: share of peak reached"
            value={settings.efficiency ?? known.efficiency}
            show={(v) => percent(v, 0)}
            low={0.2}
            high={1}
            step={0.01}
            isDefault={settings.efficiency === null}
            onInput={(value) => set('efficiency', value)}
          />
          <Slider
            label="Goodput: time that makes progress"
            value={settings.goodput ?? known.goodput}
            show={(v) => percent(v, 0)}
            low={0.5}
            high={1}
            step={0.01}
            isDefault={settings.goodput === null}
            onInput={(value) => set('goodput', value)}
          />
          <Slider
            label="Tokens, of the recipe’s"
            value={settings.tokens}
            show={(v) => `${significant(v)}×`}
            low={0.1}
            high={4}
            step={0.1}
            isDefault={settings.tokens === 1}
            onInput={(value) => set('tokens', value === 1 ? null : value)}
          />
          {moe !== null && (
            <Slider
              label={`Routed experts a layer, ${moe.topK} active`}
              value={settings.experts ?? moe.experts}
              show={count}
              stops={EXPERTS.filter((e) => e >= moe.topK)}
              isDefault={settings.experts === null}
              onInput={(value) => set('experts', value === moe.experts ? null : value)}
            />
          )}
          <fieldset>
            <legend>Other costs</legend>
            <Slider
              label="All compute over the final run"
              value={settings.experiments}
              show={(v) => `${significant(v, 2)}×`}
              low={1}
              high={10}
              step={0.1}
              isDefault={settings.experiments === 1}
              onInput={(value) => set('experiments', value === 1 ? null : value)}
            />
            <Slider
              label="Utilization of own machines"
              value={settings.utilisation ?? 1}
              show={(v) => (v >= 1 ? 'rented' : percent(v, 0))}
              low={0.2}
              high={1}
              step={0.05}
              isDefault={settings.utilisation === null}
              onInput={(value) => set('utilisation', value >= 1 ? null : value)}
            />
            <Slider
              label="People"
              value={settings.people}
              show={count}
              low={0}
              high={400}
              step={5}
              isDefault={settings.people === 0}
              onInput={(value) => set('people', value === 0 ? null : value)}
            />
            {settings.people > 0 && (
              <Slider
                label="For how long"
                value={settings.months}
                show={(v) => `${v} months`}
                low={1}
                high={48}
                step={1}
                isDefault={settings.months === 12}
                onInput={(value) => set('months', value)}
              />
            )}
          </fieldset>
        </form>
        <div class="plan-figures" aria-live="polite">
          {answer.value?.ok && <Figures plan={answer.value.plan} />}
        </div>
        <div class="plan-out" aria-busy={pending.value}>
          {answer.value === null ? (
            <Waiting>Searching for the best layout…</Waiting>
          ) : (
            <Answer answer={answer.value} />
          )}
        </div>
      </div>
    </Page>
  );
}

const COUNTS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];
const EXPERTS = [8, 16, 32, 64, 128, 256, 384, 512, 1024];

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
