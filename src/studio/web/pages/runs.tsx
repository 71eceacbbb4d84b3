/**
 * @file Runs: what was trained here, what is training now, and a form that starts one.
 */
import { useSignal } from '@preact/signals';
import type { Machine, RunSummary } from '../../protocol.js';
import { get, post, runs } from '../client.js';
import { count, duration, percent, typed, usd, when } from '../format.js';
import { go } from '../router.js';
import { Button, Card, Page, Problem, Select, Spark, Status, useLoaded, Waiting } from '../ui.js';

/** Of a run: accuracy before and after, where both were measured. */
export function accuracyOf({
  evaluations,
}: RunSummary): { from: number | null; to: number } | null {
  const measured = evaluations.filter(({ results }) => results.pass1 !== undefined);
  const to = measured.at(-1);
  if (to === undefined) return null;
  const from = measured.find(({ task }) => task === to.task);
  return {
    from: from === undefined || from === to ? null : from.results.pass1,
    to: to.results.pass1,
  };
}

/** Why it ended is worth a line in the list. */
const BAD = new Set<RunSummary['status']>(['failed', 'diverged', 'killed']);

function Row({ run }: { run: RunSummary }) {
  const accuracy = accuracyOf(run);
  const share = run.steps === 0 ? 0 : Math.min(1, run.step / run.steps);
  return (
    <li>
      <a class="run-row" href={`/runs/${encodeURIComponent(run.name)}`}>
        <span class="run-name">
          <b>{run.recipe}</b>
          <span class="mono faint">
            {run.name.replace(/^(\d{4}-\d{2}-\d{2})-.*-([0-9a-f]{4})$/, '$2')}
          </span>
          <span class="note">{when(run.startedAt)}</span>
        </span>
        <span class="run-state">
          <Status of={run.status} />
          <span class="note">
            {run.status === 'running' && run.stage !== null ? `${run.stage} · ` : ''}
            {count(run.step)} of {count(run.steps)} steps
          </span>
          {BAD.has(run.status) && run.message !== null && <span class="note">{run.message}</span>}
          {run.status === 'running' && <progress value={share} max={1} aria-label="Steps done" />}
        </span>
        <span class="run-spark">
          {run.spark !== null && (
            <Spark values={run.spark.values} label={`${run.spark.name} over the run`} />
          )}
        </span>
        <span class="run-number">
          {accuracy === null ? (
            <span class="faint">not measured</span>
          ) : (
            <>
              {accuracy.from !== null && <span class="faint">{percent(accuracy.from)} → </span>}
              {percent(accuracy.to)}
            </>
          )}
          <span class="note">accuracy, pass@1</span>
        </span>
        <span class="run-number">
          {usd(run.usd)}
          <span class="note">full, {duration(run.seconds)}</span>
        </span>
      </a>
    </li>
  );
}

function Start({ onClose }: { onClose: () => void }) {
  const machine = useLoaded(() => get<Machine>('machine'), []);
  const recipe = useSignal('r1-mini');
  const seed = useSignal('1');
  const minutes = useSignal('');
  const dollars = useSignal('');
  const state = useSignal<{ busy: boolean; error: string | null }>({ busy: false, error: null });
  const begin = async (): Promise<void> => {
    state.value = { busy: true, error: null };
    try {
      const limit = (label: string, text: string): number | undefined =>
        text.trim() === '' ? undefined : typed(label, text);
      const { run } = await post<{ run: string }>('runs', {
        recipe: recipe.value,
        seed: limit('Seed', seed.value),
        maxMinutes: limit('Minutes', minutes.value),
        maxUsd: limit('Dollars', dollars.value),
      });
      go(`/runs/${encodeURIComponent(run)}`);
    } catch (error) {
      state.value = { busy: false, error: (error as Error).message };
    }
  };
  const number = (label: string, value: typeof seed, hint: string) => (
    <label class="field">
      <span>{label}</span>
      <input
        type="text"
        inputMode="decimal"
        value={value.value}
        placeholder={hint}
        onInput={(event) => (value.value = event.currentTarget.value)}
      />
    </label>
  );
  return (
    <Card
      title="Train a recipe"
      note="On this machine, in a process of its own: it goes on when this page or its server is closed."
    >
      <form
        class="form-row"
        onSubmit={(event) => {
          event.preventDefault();
          void begin();
        }}
      >
        <Select
          label="Recipe"
          value={recipe.value}
          options={(machine.value?.recipes ?? ['r1-mini']).map((name) => ({ value: name, name }))}
          onChange={(value) => (recipe.value = value)}
        />
        {number('Seed', seed, '1')}
        {number('At most, minutes', minutes, 'no limit')}
        {number('At most, dollars', dollars, 'no limit')}
        <div class="form-actions">
          <button type="submit" class="button primary" disabled={state.value.busy}>
            {state.value.busy ? 'Starting…' : 'Start'}
          </button>
          <Button kind="quiet" onClick={onClose}>
            Cancel
          </Button>
        </div>
      </form>
      {state.value.error !== null && <Problem>{state.value.error}</Problem>}
    </Card>
  );
}

export default function Runs() {
  const list = runs.value;
  const starting = useSignal(false);
  const running = list?.filter(({ status }) => status === 'running').length ?? 0;
  const spent = list?.reduce((sum, run) => sum + run.usd, 0) ?? 0;
  return (
    <Page
      title="Runs"
      sub={
        list === null
          ? ' '
          : `${count(list.length)} on this machine, ${running === 0 ? 'none' : count(running)} training now; ${usd(spent)} in all`
      }
      actions={
        <>
          <a class="button" href="/train-here/" target="_self">
            Train in a tab
          </a>
          <Button
            kind="primary"
            icon="plus"
            onClick={() => (starting.value = true)}
            disabled={starting.value}
          >
            New run
          </Button>
        </>
      }
    >
      {starting.value && <Start onClose={() => (starting.value = false)} />}
      {list === null ? (
        <Waiting>Reading the runs folder…</Waiting>
      ) : list.length === 0 ? (
        <Card>
          <div class="empty">
            <h2>No run yet</h2>
            <p>
              Train <b>r1-mini</b>: a model that starts from random weights, imitates examples, and
              then finds out by reinforcement learning that thinking pays. It takes a few minutes
              and less than a cent.
            </p>
            <p>
              Or look at a bill that everybody has heard of:{' '}
              <a href="/bill">DeepSeek’s, from six million to 1.6 billion dollars</a>.
            </p>
          </div>
        </Card>
      ) : (
        <ul class="run-list">
          {list.map((run) => (
            <Row key={run.name} run={run} />
          ))}
        </ul>
      )}
    </Page>
  );
}
