/**
 * @file One run: its state, its stages in time, and its curves, beside those of other runs where
 * asked for.
 */
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { RunDetail } from '../../protocol.js';
import type { StageState } from '../../run-state.js';
import { Chart, type Series } from '../chart.js';
import { type FollowedRun, followRun, get, post, runs } from '../client.js';
import { useCurveNames } from '../curve-order.js';
import { hasCurves } from '../figures.js';
import { count, metric, percent, when } from '../format.js';
import { path, query, setQuery } from '../router.js';
import { Evaluations, Stats, Timeline } from '../run-parts.js';
import { Button, Card, Menu, Page, Problem, Status, Tabs, Waiting } from '../ui.js';
import { Rollouts } from './rollouts.js';
import { RunBill } from './run-bill.js';

/** Metrics that are drawn at once; the others are a click away. */
const FIRST = 9;
const COLOURS = 6;
/** How often other runs that train are asked for their curves. */
const OTHERS_MS = 4000;

export default function Run({ name: route }: { name: string }) {
  const [name, view = 'curves'] = route.split('/');
  const followed = useSignal<FollowedRun | null>(null);
  const error = useSignal<string | null>(null);
  const action = useSignal<{ busy: boolean; error: string | null }>({ busy: false, error: null });
  useEffect(
    () =>
      followRun(
        name,
        (run) => {
          followed.value = run;
        },
        (message) => {
          error.value = message;
        },
      ),
    [name, followed, error],
  );
  const act = async (verb: 'stop' | 'resume'): Promise<void> => {
    action.value = { busy: true, error: null };
    try {
      await post(`runs/${encodeURIComponent(name)}/${verb}`, {});
      action.value = { busy: false, error: null };
    } catch (problem) {
      action.value = { busy: false, error: (problem as Error).message };
    }
  };
  const run = followed.value;
  if (error.value !== null) {
    return (
      <Page title={name}>
        <Problem>
          {error.value} <a href="/runs">All runs</a>
        </Problem>
      </Page>
    );
  }
  if (run === null) {
    return (
      <Page title={name} sub=" ">
        <Waiting>Reading the log…</Waiting>
      </Page>
    );
  }
  const { detail, version } = run;
  const { summary, state } = detail;
  const { status } = summary;
  const base = `/runs/${encodeURIComponent(name)}`;
  const items = [
    { name: 'Curves', href: base, current: view === 'curves' },
    { name: 'Rollouts', href: `${base}/rollouts`, current: view === 'rollouts' },
    { name: 'Evaluations', href: `${base}/evaluations`, current: view === 'evaluations' },
    { name: 'Bill', href: `${base}/bill`, current: view === 'bill' },
  ];
  return (
    <Page
      title={summary.recipe}
      sub={
        <>
          <span class="mono">{name}</span> · {when(state.startedAt)} · seed {detail.seed} ·{' '}
          {count(state.workers)} {state.workers === 1 ? 'worker' : 'workers'}
        </>
      }
      actions={
        <>
          <Status of={status} />
          {status === 'running' ? (
            <Button icon="stop" onClick={() => void act('stop')} disabled={action.value.busy}>
              Stop
            </Button>
          ) : (
            status !== 'completed' && (
              <Button
                icon="play"
                kind="primary"
                onClick={() => void act('resume')}
                disabled={action.value.busy}
              >
                {action.value.busy ? 'Starting…' : 'Resume'}
              </Button>
            )
          )}
          {(summary.hasModel || detail.checkpoints.length > 0) && (
            <a class="button" href={`/chat?run=${encodeURIComponent(name)}`}>
              Chat
            </a>
          )}
        </>
      }
    >
      {action.value.error !== null && <Problem>{action.value.error}</Problem>}
      {(status === 'failed' || status === 'diverged' || status === 'killed') &&
        summary.message !== null && <Problem>{summary.message}</Problem>}
      {detail.progress < 1 && (
        <p class="notice afloat" role="status">
          A long log: curves and sums are from a sample of it until all is read,{' '}
          {percent(detail.progress, 0)}.
        </p>
      )}
      <Stats detail={detail} />
      <Timeline detail={detail} />
      <Tabs label="Views of this run" items={items} />
      {view === 'curves' && <Curves detail={detail} version={version} name={name} />}
      {view === 'rollouts' && <Rollouts name={name} step={state.step} />}
      {view === 'evaluations' && <Evaluations detail={detail} />}
      {view === 'bill' && <RunBill name={name} fresh={`${status} ${summary.hasBill}`} />}
    </Page>
  );
}

function Curves({ detail, version, name }: { detail: RunDetail; version: number; name: string }) {
  const { state } = detail;
  const drawn = state.stages.filter(hasCurves);
  const asked = query.value.get('stage');
  const trained =
    drawn.findLast(({ latest }) => latest.reward !== undefined) ??
    drawn.findLast(({ latest }) => latest.loss !== undefined);
  const stage = drawn.find(({ id }) => id === asked) ?? trained ?? drawn.at(-1);
  const others = useSignal<Map<string, RunDetail>>(new Map());
  const chosen = (query.value.get('with') ?? '')
    .split(',')
    .filter(Boolean)
    .slice(0, COLOURS - 1);
  const all = useSignal(false);
  const key = chosen.join();
  const fetched = useSignal(0);
  useEffect(() => {
    const load = (other: string): void => {
      get<RunDetail>(`runs/${encodeURIComponent(other)}`).then(
        (found) => {
          others.value = new Map(others.value).set(other, found);
          fetched.value++;
        },
        () => {},
      );
    };
    const names = key.split(',').filter(Boolean);
    for (const other of names) if (!others.peek().has(other)) load(other);
    // One that trains meanwhile moves, too; a stream for each would be more than a browser has
    // connections.
    let before: string[] = [];
    const timer = setInterval(() => {
      const live = (runs.peek() ?? [])
        .filter(({ status }) => status === 'running')
        .map((run) => run.name);
      for (const other of names) if (live.includes(other) || before.includes(other)) load(other);
      before = live;
    }, OTHERS_MS);
    return () => clearInterval(timer);
  }, [key, others, fetched]);
  const metrics = useCurveNames(stage);
  if (stage === undefined) {
    return (
      <p key="waiting" class="waiting">
        No step has been taken yet.
      </p>
    );
  }
  const shownMetrics = all.value ? metrics : metrics.slice(0, FIRST);
  const candidates = (runs.value ?? []).filter((other) => other.name !== name).slice(0, 12);
  const stageLike = (other: RunDetail): StageState | undefined =>
    other.state.stages.find(({ id }) => id === stage.id) ??
    other.state.stages.find(({ kind }) => kind === stage.kind);
  return (
    <>
      <div class="toolbar">
        <div class="segments" role="group" aria-label="Stage">
          {drawn.map(({ id }) => (
            <button
              key={id}
              type="button"
              aria-pressed={id === stage.id}
              onClick={() => setQuery({ stage: id })}
            >
              {id}
            </button>
          ))}
        </div>
        {chosen.length > 0 && (
          <ul class="legend">
            {[name, ...chosen].map((one, i) => (
              <li key={one}>
                <i class={`swatch run-${i + 1}`} />
                <a href={`/runs/${encodeURIComponent(one)}`}>
                  {one.replace(/^\d{4}-\d{2}-\d{2}-/, '')}
                </a>
              </li>
            ))}
          </ul>
        )}
        {candidates.length > 0 && (
          <Menu title={`Compare${chosen.length > 0 ? ` · ${chosen.length}` : ''}`}>
            {candidates.map((other) => {
              const on = chosen.includes(other.name);
              const next = on
                ? chosen.filter((one) => one !== other.name)
                : [...chosen, other.name];
              return (
                <label key={other.name} class="check">
                  <input
                    type="checkbox"
                    checked={on}
                    disabled={!on && chosen.length >= COLOURS - 1}
                    onChange={() => setQuery({ with: next.join(',') || null })}
                  />
                  {other.recipe} <span class="mono faint">{other.name.slice(-4)}</span>
                </label>
              );
            })}
          </Menu>
        )}
      </div>
      <div class="charts">
        {shownMetrics.map((metricName) => {
          const series: Series[] = [{ name, colour: 1, curve: stage.curves[metricName] }];
          chosen.forEach((other, i) => {
            const found = others.value.get(other);
            const curve = found === undefined ? undefined : stageLike(found)?.curves[metricName];
            if (curve !== undefined) series.push({ name: other, colour: i + 2, curve });
          });
          return (
            <Chart
              key={`${stage.id} ${metricName}`}
              name={metricName}
              metric={metric(metricName)}
              series={series}
              version={version + fetched.value}
              sync={path.value}
            />
          );
        })}
      </div>
      <p key="note" class="note">
        Steps of {stage.id} from left to right. Drag to zoom, double-click to see all.
      </p>
      {metrics.length > FIRST && (
        <Button kind="quiet" onClick={() => (all.value = !all.value)}>
          {all.value ? 'Fewer curves' : `${metrics.length - FIRST} more curves`}
        </Button>
      )}
      {state.warnings.length > 0 && (
        <Card title="Warnings">
          <ul class="plain">
            {state.warnings.map(({ step, message }) => (
              <li key={`${step} ${message}`}>
                step {count(step)}: {message}
              </li>
            ))}
          </ul>
        </Card>
      )}
    </>
  );
}
