/**
 * @file What the page of plans is asked by: its controls, their address, and the worker that plans.
 */
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { RecipeChoice } from '../protocol.js';
import { count, percent, significant, usd } from './format.js';
import type { PlanAnswer } from './plan-model.js';
import { accelerators, defaultsOf, type Settings } from './plan-settings.js';
import { query, setQuery } from './router.js';
import { Slider } from './slider.js';
import { Select } from './ui.js';

/** Where a published recipe was run. */
const HOME: Record<string, [string, number]> = {
  'deepseek-v3': ['h800', 2048],
  'deepseek-r1': ['h800', 512],
};

/** The settings that an address has. */
export function settingsOf(parameters: URLSearchParams, recipe: string): Settings {
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

/** Plans in a worker whenever the recipe or a setting changes. */
export function usePlan(
  recipe: RecipeChoice | undefined,
  settings: Settings,
): { answer: PlanAnswer | null; pending: boolean } {
  const answer = useSignal<PlanAnswer | null>(null);
  const pending = useSignal(false);
  const worker = useRef<Worker | null>(null);
  const asked = useRef(0);
  const queued = useRef<(() => void) | null>(null);
  const busy = useRef(false);
  useEffect(() => {
    const made = new Worker(new URL('./plan-worker.ts', import.meta.url), { type: 'module' });
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
  return { answer: answer.value, pending: pending.value };
}

const COUNTS = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 32768, 65536];
const EXPERTS = [8, 16, 32, 64, 128, 256, 384, 512, 1024];

const set = (parameter: string, value: number | string | null): void =>
  setQuery({ [parameter]: value === null ? null : String(value) });

export function Controls(props: {
  name: string;
  recipes: readonly RecipeChoice[];
  settings: Settings;
}) {
  const { name, recipes, settings } = props;
  const known = defaultsOf(settings.accelerator);
  const moe = recipes.find((one) => one.name === name)?.work.architecture.moe ?? null;
  return (
    <form class="controls" aria-label="What to plan" onSubmit={(event) => event.preventDefault()}>
      <Select
        label="Recipe"
        value={name}
        options={(recipes.length > 0 ? recipes : [{ name }]).map((one) => ({
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
      <OtherCosts settings={settings} />
    </form>
  );
}

function OtherCosts({ settings }: { settings: Settings }) {
  return (
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
  );
}
