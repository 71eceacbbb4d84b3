/**
 * @file Parts of a run's page: its figures, its stages in time, its evaluations.
 */
import type { RunDetail } from '../protocol.js';
import { rangeOf, stageSeconds } from './figures.js';
import { bytes, compact, count, duration, percent, significant, usd } from './format.js';
import { Card, DataTable, Stat } from './ui.js';

/** What these parts read of a run. */
export type RunView = Pick<RunDetail, 'state' | 'stages'> & {
  summary: Pick<RunDetail['summary'], 'steps' | 'status'>;
};

export function Stats({ detail }: { detail: RunView }) {
  const { state, summary, stages } = detail;
  const rewarded = state.stages.findLast(({ latest }) => latest.reward !== undefined);
  const now = rewarded ?? state.stages.at(-1);
  const last = state.evaluations.at(-1);
  const first = state.evaluations.find(({ task }) => task === last?.task);
  const expected = stages.reduce<{ low: number; high: number } | null>(
    (sum, { usd: cost }) =>
      sum === null || cost === null
        ? null
        : { low: sum.low + cost.low, high: sum.high + cost.high },
    { low: 0, high: 0 },
  );
  const tokens = state.seconds > 0 ? state.tokens / state.seconds : 0;
  return (
    <dl class="stats">
      <Stat name="Step" value={count(state.step)} note={`of ${count(summary.steps)}`} />
      {rewarded === undefined ? (
        <Stat
          name="Loss"
          value={now?.latest.loss === undefined ? '–' : significant(now.latest.loss)}
          note="nats a token"
        />
      ) : (
        <Stat
          name="Reward"
          value={rewarded.latest.reward.toFixed(3)}
          note={`length ${significant(rewarded.latest['completions/mean_length'] ?? 0)} tokens`}
        />
      )}
      <Stat
        name="Accuracy, pass@1"
        value={last?.results.pass1 === undefined ? '–' : percent(last.results.pass1)}
        note={
          last?.results.pass1 === undefined
            ? 'not measured yet'
            : `${rangeOf(last.results)}${first !== last && first?.results.pass1 !== undefined ? `, from ${percent(first.results.pass1)}` : ''}`
        }
      />
      <Stat
        name="Throughput"
        value={`${compact(tokens)} tok/s`}
        note={`${compact(state.tokens)} tokens`}
      />
      <Stat
        name="Time"
        value={duration(state.seconds)}
        note={state.peakMemoryBytes > 0 ? `${bytes(state.peakMemoryBytes)} at the peak` : ' '}
      />
      <Stat
        name="Compute cost, full"
        value={usd(state.usd)}
        note={
          expected === null || expected.high === 0
            ? 'without storage'
            : `plan ${usd(expected.low)}–${usd(expected.high).slice(1)}`
        }
      />
    </dl>
  );
}

export function Timeline({ detail }: { detail: RunView }) {
  const { stages, state } = detail;
  const known = new Map(state.stages.map((stage) => [stage.id, stage]));
  const all =
    stages.length > 0
      ? stages
      : state.stages.map(({ id, kind, steps }) => ({ id, kind, steps, seconds: null, usd: null }));
  // Until the run is done, widths are those of the plan alone, so that the page does not shift.
  const done = all.every(({ id }) => known.get(id)?.state === 'done');
  const weights = stageSeconds(all, done ? state.stages : []);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return (
    <ol class="timeline" aria-label="Stages">
      {all.map(({ id, kind, steps, seconds }, i) => {
        const stage = known.get(id);
        const spent = stage?.seconds ?? 0;
        const share = weights[i] / (total || 1);
        const progress =
          stage === undefined ? 0 : stage.state === 'done' ? 1 : stage.step / Math.max(1, steps);
        const tone =
          stage === undefined
            ? 'waiting'
            : stage.state === 'done'
              ? 'done'
              : detail.summary.status === 'running'
                ? 'live'
                : 'halted';
        return (
          <li
            key={id}
            class={tone}
            ref={(element) =>
              void element?.style.setProperty('flex-grow', String(Math.max(0.02, share)))
            }
          >
            <span class="stage-name" title={`${id}, ${kind}`}>
              {id} <span class="faint">{kind === id || share < 0.12 ? '' : kind}</span>
            </span>
            <progress value={progress} max={1} aria-label={`${id}: ${tone}`} />
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

/** `–` for what was not measured. */
const shown = (value: number | undefined, form: (value: number) => string): string =>
  value === undefined ? '–' : form(value);

export function Evaluations({ detail }: { detail: Pick<RunDetail, 'state'> }) {
  if (detail.state.evaluations.length === 0)
    return <p class="waiting">Nothing has been evaluated yet.</p>;
  return (
    <Card
      title="Evaluations"
      note="On problems that training cannot have drawn; in brackets the 95% interval (Wilson, over problems)."
      flush
    >
      <DataTable
        label="Table of evaluations"
        rows={detail.state.evaluations}
        columns={[
          { head: 'Stage', cell: ({ stage }) => stage },
          { head: 'Task', cell: ({ task }) => task },
          {
            head: 'pass@1',
            num: true,
            cell: ({ results }) => (
              <>
                {shown(results.pass1, percent)}
                <span class="faint"> {rangeOf(results)}</span>
              </>
            ),
          },
          { head: 'Greedy', num: true, cell: ({ results }) => shown(results.greedy, percent) },
          { head: 'Majority', num: true, cell: ({ results }) => shown(results.majority, percent) },
          {
            head: 'Length',
            num: true,
            cell: ({ results }) => shown(results.length, (n) => `${significant(n)} tokens`),
          },
          { head: 'Problems', num: true, cell: ({ results }) => shown(results.problems, count) },
          { head: 'Spent until then', num: true, cell: (row) => usd(row.usd) },
        ]}
      />
    </Card>
  );
}
