/**
 * @file Serving: throughput against latency of a served model, dollars per million tokens, and
 * replicas for a load.
 */
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { describeParameters } from '../../../architecture/describe.js';
import { MODELS } from '../../../catalog/data/models.js';
import { metricWords } from '../../../plan/serving/metric-words.js';
import type { ServingPlanDocument } from '../../../plan/serving/serving-plan.js';
import type { Quantity } from '../../../planner/cluster.js';
import {
  change,
  compact,
  count,
  duration,
  percent,
  significant,
  tick,
  unbroken,
  usd,
} from '../format.js';
import { accelerators } from '../plan-settings.js';
import { query, setQuery } from '../router.js';
import type { ServingAnswer, ServingSettings } from '../serving-model.js';
import { Slider } from '../slider.js';
import { Card, CopyLink, DataTable, Page, Problem, Select, Stat, Waiting } from '../ui.js';

const COUNTS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512];
const TOKENS = [100, 250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000];
/** Seconds; the last stop is no target. */
const TTFT = [0.2, 0.5, 1, 2, 5, 10, 1000];
const TPOT = [0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 1000];
const LOADS = [0.5, 1, 2, 5, 10, 20, 40, 80, 160, 320];
const NO_TARGET = 1000;

function settingsOf(parameters: URLSearchParams): ServingSettings {
  const number = (name: string): number | null => {
    const value = Number(parameters.get(name) ?? Number.NaN);
    return Number.isFinite(value) && value > 0 ? value : null;
  };
  const whole = (name: string, otherwise: number): number =>
    Math.max(1, Math.round(number(name) ?? otherwise));
  return {
    model: parameters.get('model') ?? 'DeepSeek-V3',
    accelerator: parameters.get('gpu') ?? 'h200',
    count: Math.min(4096, whole('count', 32)),
    input: whole('input', 2000),
    output: whole('output', 500),
    cachedShare: Math.min(0.95, number('cached') ?? 0),
    ttftSeconds: number('ttft'),
    tpotSeconds: number('tpot'),
    load: number('load'),
  };
}

export default function ServingPage() {
  const settings = settingsOf(query.value);
  const answer = useSignal<ServingAnswer | null>(null);
  const pending = useSignal(false);
  const worker = useRef<Worker | null>(null);
  const asked = useRef(0);
  const key = JSON.stringify(settings);
  useEffect(() => {
    const made = new Worker(new URL('../serving-worker.ts', import.meta.url), { type: 'module' });
    made.onmessage = ({ data }: MessageEvent<{ id: number; answer: ServingAnswer }>) => {
      // Only the answer to the newest question counts.
      if (data.id !== asked.current) return;
      answer.value = data.answer;
      pending.value = false;
    };
    worker.current = made;
    return () => made.terminate();
  }, [answer, pending]);
  useEffect(() => {
    pending.value = true;
    worker.current?.postMessage({ id: ++asked.current, settings });
  }, [key]);
  const set = (name: string, value: number | string | null): void =>
    setQuery({ [name]: value === null ? null : String(value) });
  const target = (value: number): string => (value >= NO_TARGET ? 'none' : duration(value));
  return (
    <Page
      title="Serving"
      sub="What a served model answers on a cluster, how fast and for how much."
      actions={<CopyLink />}
    >
      <div class="plan">
        <form
          class="controls"
          aria-label="What to serve"
          onSubmit={(event) => event.preventDefault()}
        >
          <Select
            label="Model"
            value={settings.model}
            options={MODELS.map(({ name }) => ({ value: name, name }))}
            onChange={(value) => set('model', value)}
          />
          <Select
            label="Accelerator"
            value={settings.accelerator}
            options={accelerators().map((one) => ({ value: one.id, name: one.name }))}
            onChange={(value) => set('gpu', value)}
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
            label="Tokens of a prompt"
            value={settings.input}
            show={count}
            stops={TOKENS}
            isDefault={!query.value.has('input')}
            onInput={(value) => set('input', value)}
          />
          <Slider
            label="Tokens of an answer"
            value={settings.output}
            show={count}
            stops={TOKENS}
            isDefault={!query.value.has('output')}
            onInput={(value) => set('output', value)}
          />
          <Slider
            label="Prompt from a cache"
            value={settings.cachedShare}
            show={(value) => percent(value, 0)}
            low={0}
            high={0.95}
            step={0.05}
            isDefault={!query.value.has('cached')}
            onInput={(value) => set('cached', value === 0 ? null : value)}
          />
          <Slider
            label="TTFT target"
            value={settings.ttftSeconds ?? NO_TARGET}
            show={target}
            stops={TTFT}
            isDefault={settings.ttftSeconds === null}
            onInput={(value) => set('ttft', value >= NO_TARGET ? null : value)}
          />
          <Slider
            label="TPOT target"
            value={settings.tpotSeconds ?? NO_TARGET}
            show={target}
            stops={TPOT}
            isDefault={settings.tpotSeconds === null}
            onInput={(value) => set('tpot', value >= NO_TARGET ? null : value)}
          />
          <Slider
            label="Requests per second"
            value={settings.load ?? LOADS[0]}
            show={(value) => (settings.load === null ? 'all it can' : significant(value))}
            stops={LOADS}
            isDefault={settings.load === null}
            onInput={(value) => set('load', value)}
          />
        </form>
        <div class="plan-out" aria-live="polite" aria-busy={pending.value}>
          {answer.value === null ? (
            <Waiting>Searching for layouts…</Waiting>
          ) : answer.value.ok ? (
            <Service plan={answer.value.plan} />
          ) : (
            <Problem>{answer.value.message}</Problem>
          )}
        </div>
      </div>
    </Page>
  );
}

const range = ({ low, high }: Quantity, show: (value: number) => string): string =>
  low === high ? 'given' : `${show(low)} to ${show(high)}`;
const milliseconds = (value: number): string => `${significant(value * 1000)} ms`;

function Service({ plan }: { plan: ServingPlanDocument }) {
  const { operating, cost, load, published } = plan;
  return (
    <>
      {operating === null || cost === null ? (
        <Problem>No layout meets the target. The frontier below shows what can be had.</Problem>
      ) : (
        <dl class="stats wide">
          <Stat
            name="A million output tokens"
            value={usd(cost.usdPerMillionOutput.value)}
            note={range(cost.usdPerMillionOutput, usd)}
            tone="lead"
          />
          <Stat
            name="A million input tokens"
            value={usd(cost.usdPerMillionInput.value)}
            note={`cached: ${usd(cost.usdPerMillionCached.value)}`}
          />
          <Stat
            name="TTFT"
            value={duration(operating.ttftSeconds.value)}
            note={range(operating.ttftSeconds, duration)}
          />
          <Stat
            name="TPOT"
            value={milliseconds(operating.tpotSeconds.value)}
            note={range(operating.tpotSeconds, milliseconds)}
          />
          <Stat
            name="Output tokens/s per GPU"
            value={compact(operating.outputTokensPerSecondPerAccelerator.value)}
            note={operating.layout}
          />
          {load !== null && (
            <Stat
              name="Replicas"
              value={count(load.replicas.value)}
              note={`${count(load.accelerators.value)} GPUs, ${usd(load.usdPerDay.value)} a day`}
            />
          )}
        </dl>
      )}
      <p class="note">
        {plan.model}: {describeParameters(plan.parameters)}; served without MTP.
      </p>
      <Card
        title="Throughput against latency"
        note="Each point is a layout at a number of requests; no point beats another in both. Filled points meet the target."
      >
        <Frontier plan={plan} />
      </Card>
      {published.length > 0 && (
        <Card title="Beside published figures" note="No prediction reads these." flush>
          <DataTable
            label="Table of published figures"
            rows={published}
            columns={[
              {
                head: 'Figure',
                cell: ({ metric, layout }) => (
                  <>
                    {metricWords(metric)} <span class="note mono">{layout}</span>
                  </>
                ),
              },
              { head: 'Measured', num: true, cell: ({ measured }) => compact(measured) },
              { head: 'Predicted', num: true, cell: (row) => compact(row.predicted.value) },
              { head: 'Error', num: true, cell: (row) => change(row.relativeError) },
              { head: 'Source', cell: ({ source }) => unbroken(source) },
            ]}
          />
        </Card>
      )}
    </>
  );
}

const [WIDTH, HEIGHT, LEFT, BOTTOM] = [720, 320, 60, 44];

/** Tokens a second of a user across, output tokens a second of an accelerator up; logarithmic. */
function Frontier({ plan: { frontier, model, cluster } }: { plan: ServingPlanDocument }) {
  const points = frontier.map((point) => ({
    point,
    user: point.tokensPerSecondPerUser.value,
    rate: point.outputTokensPerSecondPerAccelerator.value,
  }));
  const scale = (values: readonly number[], from: number, to: number) => {
    const [low, high] = [Math.log10(Math.min(...values)), Math.log10(Math.max(...values))];
    const span = Math.max(0.1, high - low);
    return {
      at: (value: number): number => from + ((Math.log10(value) - low) / span) * (to - from),
      ticks: ticksOf(10 ** low, 10 ** (low + span)),
    };
  };
  const x = scale(
    points.map(({ user }) => user),
    LEFT + 16,
    WIDTH - 24,
  );
  const y = scale(
    points.map(({ rate }) => rate),
    HEIGHT - BOTTOM - 12,
    32,
  );
  const line = points.map(({ user, rate }) => `${x.at(user)} ${y.at(rate)}`).join('L');
  const label = `Throughput against latency of ${model} on ${cluster.name}`;
  return (
    <div class="scatter-box" role="region" tabIndex={0} aria-label={label}>
      <svg
        class="scatter frontier"
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        role="img"
        aria-label={label}
      >
        {y.ticks.map((value) => (
          <g key={value}>
            <path class="grid" d={`M${LEFT} ${y.at(value)}H${WIDTH}`} />
            <text x={LEFT - 8} y={y.at(value) + 4} text-anchor="end">
              {tick(value)}
            </text>
          </g>
        ))}
        {x.ticks.map((value) => (
          <text key={value} x={x.at(value)} y={HEIGHT - BOTTOM + 16} text-anchor="middle">
            {tick(value)}
          </text>
        ))}
        <text x={(LEFT + WIDTH) / 2} y={HEIGHT - 6} text-anchor="middle">
          tokens per second per user
        </text>
        <text x={LEFT} y={10}>
          output tokens per second per GPU
        </text>
        <g class="dot run-1">
          <path d={`M${line}`} fill="none" />
          {points.map(({ point, user, rate }) => (
            <circle
              key={`${point.layout} ${point.concurrency}`}
              cx={x.at(user)}
              cy={y.at(rate)}
              r={4}
              fill-opacity={point.meetsGoals ? 1 : 0.25}
            >
              <title>{`${point.layout}, ${count(point.concurrency)} requests: ${significant(user)} tokens/s per user, ${significant(rate)} per GPU`}</title>
            </circle>
          ))}
        </g>
      </svg>
    </div>
  );
}

/** 1, 2 and 5 times powers of ten within a range. */
function ticksOf(low: number, high: number): number[] {
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(low)); 10 ** power <= high; power++)
    for (const digit of [1, 2, 5]) {
      const tick = digit * 10 ** power;
      if (tick >= low && tick <= high) ticks.push(tick);
    }
  return ticks;
}
