/**
 * @file The run as it goes: figures, stages, curves, rollouts, evaluations, bill, chat.
 */
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { RunStatus } from '../../protocol.js';
import { Answer } from '../answer.js';
import { BillSheet } from '../bill-sheet.js';
import { useCurveNames } from '../curve-order.js';
import { hasCurves } from '../figures.js';
import { count, metric, significant } from '../format.js';
import { Completion } from '../pages/rollouts.js';
import { Evaluations, type RunView, Stats, Timeline } from '../run-parts.js';
import { Button, Status, Waiting } from '../ui.js';
import {
  ask,
  bill,
  busy,
  download,
  forget,
  resume,
  samplesNow,
  saved,
  stop,
  stopping,
  turns,
  version,
} from './link.js';
import { PacedChart } from './paced.js';
import type { OpenRun, Sample } from './protocol.js';

const VIEWS = ['Curves', 'Rollouts', 'Evaluations', 'Bill', 'Chat'] as const;
type View = (typeof VIEWS)[number];

export function statusOf({ state }: OpenRun, working: boolean): RunStatus {
  if (working) return 'running';
  // A tab that is closed says nothing, and that is how one stops.
  return state.ended?.reason ?? 'interrupted';
}

export function Run({ of }: { of: OpenRun }) {
  const view = useSignal<View>('Curves');
  // The run is changed in place; this says when.
  void version.value;
  const { state, stages } = of;
  const steps = stages.reduce((sum, stage) => sum + stage.steps, 0);
  const detail: RunView = { state, stages, summary: { steps, status: statusOf(of, busy.value) } };
  return (
    <>
      <Stats detail={detail} />
      <Timeline detail={detail} />
      <div class="toolbar">
        <div class="segments" role="group" aria-label="Views of this run">
          {VIEWS.map((name) => (
            <button
              key={name}
              type="button"
              aria-pressed={name === view.value}
              onClick={() => (view.value = name)}
            >
              {name}
            </button>
          ))}
        </div>
        <p class="note right" role="status">
          {saved.value === null
            ? ''
            : `Kept in this browser${saved.value > 0 ? `, up to step ${count(saved.value)}` : ''}.`}
        </p>
      </div>
      {view.value === 'Curves' && <Curves of={of} />}
      {view.value === 'Rollouts' && <Rollouts />}
      {view.value === 'Evaluations' && <Evaluations detail={detail} />}
      {view.value === 'Bill' &&
        (bill.value === null ? (
          <p class="waiting">The bill is added up at the first checkpoint.</p>
        ) : (
          <BillSheet name={of.name} bill={bill.value} final={state.ended?.reason === 'completed'} />
        ))}
      {view.value === 'Chat' && <Chat of={of} />}
    </>
  );
}

export function Actions({ of }: { of: OpenRun }) {
  const sure = useSignal(false);
  void version.value;
  const status = statusOf(of, busy.value);
  if (busy.value) {
    return (
      <>
        <Status of={status} />
        <Button icon="stop" onClick={stop} disabled={stopping.value}>
          {stopping.value ? 'Stopping…' : 'Stop'}
        </Button>
      </>
    );
  }
  return (
    <>
      <Status of={status} />
      {status !== 'completed' && (
        <Button icon="play" kind="primary" onClick={resume}>
          Go on
        </Button>
      )}
      {of.hasModel && (
        <Button icon="download" onClick={download}>
          Model
        </Button>
      )}
      {sure.value ? (
        <>
          <Button kind="danger" onClick={forget}>
            Delete it
          </Button>
          <Button kind="quiet" onClick={() => (sure.value = false)}>
            Keep it
          </Button>
        </>
      ) : (
        <Button icon="plus" onClick={() => (sure.value = true)}>
          Another run
        </Button>
      )}
    </>
  );
}

function Curves({ of: { state, name } }: { of: OpenRun }) {
  const asked = useSignal<string | null>(null);
  const drawn = state.stages.filter(hasCurves);
  const trained =
    drawn.findLast(({ latest }) => latest.reward !== undefined) ??
    drawn.findLast(({ latest }) => latest.loss !== undefined);
  const stage = drawn.find(({ id }) => id === asked.value) ?? trained ?? drawn.at(-1);
  const metrics = useCurveNames(stage);
  if (stage === undefined) return <Waiting>No step has been taken yet.</Waiting>;
  return (
    <>
      <div class="segments stages" role="group" aria-label="Stage">
        {drawn.map(({ id }) => (
          <button
            key={id}
            type="button"
            aria-pressed={id === stage.id}
            onClick={() => (asked.value = id)}
          >
            {id}
          </button>
        ))}
      </div>
      <div class="charts">
        {metrics.slice(0, 9).map((one) => (
          <PacedChart
            key={`${stage.id} ${one}`}
            name={one}
            metric={metric(one)}
            series={[{ name, colour: 1, curve: stage.curves[one] }]}
            version={version.value}
            sync="here"
          />
        ))}
      </div>
    </>
  );
}

function Rollouts() {
  const all = samplesNow();
  const groups = new Map<string, Sample[]>();
  for (const sample of all) {
    const key = `${sample.stage} ${sample.step}`;
    const known = groups.get(key);
    if (known === undefined) groups.set(key, [sample]);
    else known.push(sample);
  }
  const steps = [...groups.values()];
  if (steps.length === 0)
    return (
      <p class="waiting">Nothing has been sampled yet; a stage that imitates samples nothing.</p>
    );
  return (
    <div class="panes">
      <Pane steps={steps} start={0} title="Then" />
      {steps.length > 1 && <Pane steps={steps} start={null} title="Now" />}
    </div>
  );
}

/** @param start which step is shown first; null stays at the newest until it is moved */
function Pane({ steps, start, title }: { steps: Sample[][]; start: number | null; title: string }) {
  const at = useSignal(start);
  const i = Math.min(at.value ?? steps.length - 1, steps.length - 1);
  const samples = steps[i];
  const mean = samples.reduce((sum, { reward }) => sum + reward, 0) / samples.length;
  return (
    <section class="pane" aria-label={title}>
      <div class="pane-head">
        <h2>
          Step {count(samples[0].step)} <span class="faint">of {samples[0].stage}</span>
        </h2>
        <span class="note">mean reward {significant(mean)}</span>
      </div>
      <input
        type="range"
        min={0}
        max={Math.max(1, steps.length - 1)}
        value={i}
        style={{ '--share': `${(i / Math.max(1, steps.length - 1)) * 100}%` }}
        aria-label={`${title}: step`}
        aria-valuetext={`step ${samples[0].step}`}
        onInput={(event) => {
          const next = Number(event.currentTarget.value);
          at.value = start === null && next >= steps.length - 1 ? null : next;
        }}
      />
      <ul class="rollouts">
        {samples.slice(0, 8).map((sample, j) => (
          <li key={j} class={sample.correct ? 'right-answer' : ''}>
            <div class="rollout-head">
              <span class="mono prompt">{sample.prompt}</span>
              <span class={`reward ${sample.correct ? 'good' : 'bad'}`}>
                {significant(sample.reward, 2)}
              </span>
            </div>
            <Completion text={sample.completion} />
            <p class="note">
              {sample.reason} · {sample.tokens} tokens
            </p>
          </li>
        ))}
      </ul>
    </section>
  );
}

function Chat({ of }: { of: OpenRun }) {
  const prompt = useSignal('');
  const free = !busy.value && of.hasModel;
  const end = useRef<HTMLDivElement>(null);
  const answered = turns.value.filter(
    ({ reply }) => reply.done !== null || reply.error !== null,
  ).length;
  useEffect(() => {
    if (turns.value.length > 0) end.current?.scrollIntoView({ block: 'nearest' });
  }, [turns.value.length, answered]);
  const send = (): void => {
    if (!free || prompt.value.trim() === '') return;
    ask(prompt.value, 0.6);
    prompt.value = '';
  };
  return (
    <>
      <div class="turns" aria-live="polite">
        {turns.value.length === 0 && (
          <div class="empty chat-empty">
            <h2>Ask a problem</h2>
            <p>
              {free ? (
                <>
                  This model knows problems such as{' '}
                  <button
                    type="button"
                    class="chip mono"
                    onClick={() => (prompt.value = of.example)}
                  >
                    {of.example}
                  </button>
                </>
              ) : (
                'While it trains, the model does not talk. Stop it, ask, and go on.'
              )}
            </p>
          </div>
        )}
        {turns.value.map((turn, i) => (
          <section key={i} class="turn">
            <p class="asked mono">{turn.prompt}</p>
            <div class="replies n1">
              <Answer reply={turn.reply} likely titled={false} />
            </div>
          </section>
        ))}
      </div>
      <form
        class="ask"
        onSubmit={(event) => {
          event.preventDefault();
          send();
        }}
      >
        <label class="hidden" for="prompt">
          Prompt
        </label>
        <textarea
          id="prompt"
          rows={2}
          value={prompt.value}
          placeholder={of.example}
          onInput={(event) => (prompt.value = event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            send();
          }}
        />
        <div class="ask-foot">
          <button type="submit" class="button primary right" disabled={!free}>
            Ask
          </button>
        </div>
      </form>
      <div ref={end} />
    </>
  );
}
