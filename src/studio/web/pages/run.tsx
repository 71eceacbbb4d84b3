/**
 * @file One run: its state, its stages in time, and its curves, beside those of other runs where asked for.
 */
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import type { RunDetail } from '../../protocol.js';
import type { StageState } from '../../run-state.js';
import { Chart, type Series } from '../chart.js';
import { type FollowedRun, followRun, get, post, runs } from '../client.js';
import { bytes, compact, count, duration, inOrder, metric, percent, significant, usd, when } from '../format.js';
import { path, query, setQuery } from '../router.js';
import { Button, Card, Page, Problem, Stat, Status, Tabs, Waiting } from '../ui.js';
import { Rollouts } from './rollouts.js';
import { RunBill } from './run-bill.js';

/** Metrics that are drawn at once; the others are a click away. */
const FIRST = 9;
const COLOURS = 6;

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
          <span class="mono">{name}</span> · {when(state.startedAt)} · seed {detail.seed} · {count(state.workers)} workers
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
              <Button icon="play" kind="primary" onClick={() => void act('resume')} disabled={action.value.busy}>
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
      {(status === 'failed' || status === 'diverged' || status === 'killed') && summary.message !== null && (
        <Problem>{summary.message}</Problem>
      )}
      {detail.progress < 1 && (
        <p class="notice" role="status">
          A long log: this is a sample of it while the rest is read, {percent(detail.progress, 0)}.
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

function Stats({ detail }: { detail: RunDetail }) {
  const { state, summary, stages } = detail;
  const rewarded = state.stages.findLast(({ latest }) => latest.reward !== undefined);
  const now = rewarded ?? state.stages.at(-1);
  const last = state.evaluations.at(-1);
  const first = state.evaluations.find(({ task }) => task === last?.task);
  const expected = stages.reduce<{ low: number; high: number } | null>(
    (sum, { usd: cost }) => (sum === null || cost === null ? null : { low: sum.low + cost.low, high: sum.high + cost.high }),
    { low: 0, high: 0 },
  );
  const tokens = state.seconds > 0 ? state.tokens / state.seconds : 0;
  return (
    <dl class="stats">
      <Stat name="Step" value={count(state.step)} note={`of ${count(summary.steps)}`} />
      {rewarded === undefined ? (
        <Stat name="Loss" value={now?.latest.loss === undefined ? '–' : significant(now.latest.loss)} note="nats a token" />
      ) : (
        <Stat
          name="Reward"
          value={rewarded.latest.reward.toFixed(3)}
          note={`length ${significant(rewarded.latest.length ?? 0)} tokens`}
        />
      )}
      <Stat
        name="Accuracy, pass@1"
        value={last?.results.pass1 === undefined ? '–' : percent(last.results.pass1)}
        note={
          last?.results.pass1 === undefined
            ? 'not measured yet'
            : `± ${percent(last.results.pass1Half95 ?? 0)}${first !== last && first?.results.pass1 !== undefined ? `, from ${percent(first.results.pass1)}` : ''}`
        }
      />
      <Stat name="Throughput" value={`${compact(tokens)} tok/s`} note={`${compact(state.tokens)} tokens`} />
      <Stat
        name="Time"
        value={duration(state.seconds)}
        note={state.peakMemoryBytes > 0 ? `${bytes(state.peakMemoryBytes)} at the peak` : ' '}
      />
      <Stat
        name="Cost"
        value={usd(state.usd)}
        note={expected === null || expected.high === 0 ? ' ' : `plan ${usd(expected.low)}–${usd(expected.high)}`}
      />
    </dl>
  );
}

function Timeline({ detail }: { detail: RunDetail }) {
  const { stages, state } = detail;
  const known = new Map(state.stages.map((stage) => [stage.id, stage]));
  const all =
    stages.length > 0 ? stages : state.stages.map(({ id, kind, steps }) => ({ id, kind, steps, seconds: null, usd: null }));
  // By the plan's time where there is one: what is measured changes every second, and stages would wander.
  const weigh = all.every(({ seconds }) => seconds !== null);
  const weights = all.map(({ seconds, steps }) => (weigh && seconds !== null ? seconds.value : Math.sqrt(steps)));
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return (
    <ol class="timeline" aria-label="Stages">
      {all.map(({ id, kind, steps, seconds }, i) => {
        const stage = known.get(id);
        const spent = stage?.seconds ?? 0;
        const share = weights[i] / (total || 1);
        const done = stage === undefined ? 0 : stage.state === 'done' ? 1 : stage.step / Math.max(1, steps);
        const tone =
          stage === undefined
            ? 'waiting'
            : stage.state === 'done'
              ? 'done'
              : detail.summary.status === 'running'
                ? 'live'
                : 'halted';
        return (
          <li key={id} class={tone} ref={(element) => void element?.style.setProperty('flex-grow', String(0.12 + share))}>
            <span class="stage-name">
              {id} <span class="faint">{kind === id ? '' : kind}</span>
            </span>
            <progress value={done} max={1} aria-label={`${id}: ${tone}`} />
            <span class="note">
              {stage === undefined
                ? seconds === null
                  ? 'to come'
                  : `about ${duration(seconds.value)}`
                : `${tone === 'done' ? '' : `${count(stage.step)} of ${count(steps)} · `}${duration(spent)}${share > 0.15 ? ` · ${usd(stage.usd)}` : ''}`}
            </span>
          </li>
        );
      })}
    </ol>
  );
}

function Curves({ detail, version, name }: { detail: RunDetail; version: number; name: string }) {
  const { state } = detail;
  const drawn = state.stages.filter(({ curves }) => Object.keys(curves).some((metricName) => metricName !== 'usd'));
  const asked = query.value.get('stage');
  // Evaluations have a page of their own, so training is what is drawn unless asked otherwise.
  const trained =
    drawn.findLast(({ latest }) => latest.reward !== undefined) ?? drawn.findLast(({ latest }) => latest.loss !== undefined);
  const stage = drawn.find(({ id }) => id === asked) ?? trained ?? drawn.at(-1);
  const others = useSignal<Map<string, RunDetail>>(new Map());
  const chosen = (query.value.get('with') ?? '')
    .split(',')
    .filter(Boolean)
    .slice(0, COLOURS - 1);
  const all = useSignal(false);
  const key = chosen.join();
  useEffect(() => {
    for (const other of key.split(',').filter(Boolean)) {
      if (others.value.has(other)) continue;
      get<RunDetail>(`runs/${encodeURIComponent(other)}`).then(
        (found) => {
          others.value = new Map(others.value).set(other, found);
        },
        () => {},
      );
    }
  }, [key, others]);
  if (stage === undefined) return <p class="waiting">No step has been taken yet.</p>;
  const metrics = inOrder(Object.keys(stage.curves)).filter((metricName) => stage.curves[metricName].first.length > 0);
  const shownMetrics = all.value ? metrics : metrics.slice(0, FIRST);
  const candidates = (runs.value ?? []).filter((other) => other.name !== name).slice(0, 12);
  const stageLike = (other: RunDetail): StageState | undefined =>
    other.state.stages.find(({ id }) => id === stage.id) ?? other.state.stages.find(({ kind }) => kind === stage.kind);
  return (
    <>
      <div class="toolbar">
        <div class="segments" role="group" aria-label="Stage">
          {drawn.map(({ id }) => (
            <button key={id} type="button" aria-pressed={id === stage.id} onClick={() => setQuery({ stage: id })}>
              {id}
            </button>
          ))}
        </div>
        {chosen.length > 0 && (
          <ul class="legend">
            {[name, ...chosen].map((one, i) => (
              <li key={one}>
                <i class={`swatch run-${i + 1}`} />
                <a href={`/runs/${encodeURIComponent(one)}`}>{one.replace(/^\d{4}-\d{2}-\d{2}-/, '')}</a>
              </li>
            ))}
          </ul>
        )}
        {candidates.length > 0 && (
          <details class="menu right">
            <summary>Compare{chosen.length > 0 ? ` · ${chosen.length}` : ''}</summary>
            <div class="menu-body">
              {candidates.map((other) => {
                const on = chosen.includes(other.name);
                const next = on ? chosen.filter((one) => one !== other.name) : [...chosen, other.name];
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
            </div>
          </details>
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
              version={version}
              sync={path.value}
            />
          );
        })}
      </div>
      <p class="note">Steps of {stage.id} from left to right. Drag to zoom, double-click to see all.</p>
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

function Evaluations({ detail }: { detail: RunDetail }) {
  if (detail.state.evaluations.length === 0) return <p class="waiting">Nothing has been evaluated yet.</p>;
  return (
    <Card title="Evaluations" note="On problems that training cannot have drawn; ± is the half-width of the 95% interval." flush>
      <div class="scroll">
        <table>
          <thead>
            <tr>
              <th scope="col">Stage</th>
              <th scope="col">Task</th>
              <th scope="col" class="num">
                pass@1
              </th>
              <th scope="col" class="num">
                Greedy
              </th>
              <th scope="col" class="num">
                Majority
              </th>
              <th scope="col" class="num">
                Length
              </th>
              <th scope="col" class="num">
                Problems
              </th>
              <th scope="col" class="num">
                Spent until then
              </th>
            </tr>
          </thead>
          <tbody>
            {detail.state.evaluations.map(({ stage, task, step, results, usd: spent }) => (
              <tr key={`${stage} ${step} ${task}`}>
                <th scope="row">{stage}</th>
                <td>{task}</td>
                <td class="num">
                  {results.pass1 === undefined ? '–' : percent(results.pass1)}
                  {results.pass1Half95 !== undefined && <span class="faint"> ± {(results.pass1Half95 * 100).toFixed(1)}</span>}
                </td>
                <td class="num">{results.greedy === undefined ? '–' : percent(results.greedy)}</td>
                <td class="num">{results.majority === undefined ? '–' : percent(results.majority)}</td>
                <td class="num">{results.length === undefined ? '–' : `${results.length.toFixed(1)} tokens`}</td>
                <td class="num">{results.problems === undefined ? '–' : count(results.problems)}</td>
                <td class="num">{usd(spent)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </Card>
  );
}
