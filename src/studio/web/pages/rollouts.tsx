/**
 * @file Rollouts to read, two steps side by side: from the first to the newest, with rewards and
 * reasons, so that one sees the reasoning appear. Text of a model is text: nothing in it becomes
 * markup.
 */
import { useSignal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { partsOf, splitThinking } from '../../../tasks/thinking.js';
import type { Sample, SampleStep } from '../../samples.js';
import { get } from '../client.js';
import { count, significant } from '../format.js';
import { Problem, Select, useLoaded, Waiting } from '../ui.js';

export function Rollouts({ name, step }: { name: string; step: number }) {
  // A new index each ten steps, not at each: reading is slower than training.
  const index = useLoaded(
    () => get<SampleStep[]>(`runs/${encodeURIComponent(name)}/samples`),
    [name, Math.floor(step / 5)],
  );
  const asked = useSignal<string | null>(null);
  if (index.error !== null) return <Problem>{index.error}</Problem>;
  if (index.value === null) return <Waiting>Reading the rollouts…</Waiting>;
  const all = index.value;
  const stages = [...new Set(all.map(({ stage }) => stage))];
  if (stages.length === 0)
    return (
      <p class="waiting">Nothing has been sampled yet; a stage that imitates samples nothing.</p>
    );
  const longest = [...stages].sort((a, b) => steps(all, b).length - steps(all, a).length)[0];
  const stage = asked.value !== null && stages.includes(asked.value) ? asked.value : longest;
  const own = steps(all, stage);
  return (
    <>
      <div class="toolbar">
        <Select
          label="Stage"
          value={stage}
          options={stages.map((id) => ({ value: id, name: id }))}
          onChange={(id) => (asked.value = id)}
        />
        <p class="note right">
          The thinking is grey, the answer is not. Move the sliders, or use the arrow keys on them.
        </p>
      </div>
      <div class="panes">
        <Pane key={`${stage} a`} name={name} all={own} start={0} title="Then" />
        {own.length > 1 && (
          <Pane key={`${stage} b`} name={name} all={own} start={null} title="Now" />
        )}
      </div>
    </>
  );
}

const steps = (index: readonly SampleStep[], stage: string): SampleStep[] =>
  index.filter((one) => one.stage === stage);

/** @param start which step is shown first; null stays at the newest until it is moved */
function Pane({
  name,
  all,
  start,
  title,
}: {
  name: string;
  all: SampleStep[];
  start: number | null;
  title: string;
}) {
  const at = useSignal(start);
  const samples = useSignal<Sample[] | null>(null);
  const i = Math.min(at.value ?? all.length - 1, all.length - 1);
  const { stage, step, reward } = all[i];
  useEffect(() => {
    let current = true;
    get<Sample[]>(
      `runs/${encodeURIComponent(name)}/samples?stage=${encodeURIComponent(stage)}&step=${step}`,
    ).then(
      (found) => {
        if (current) samples.value = found;
      },
      () => {},
    );
    return () => {
      current = false;
    };
  }, [name, stage, step, samples]);
  const first = all[0].step;
  const high = Math.max(...all.map((one) => one.reward), 1e-9);
  const bars = all.length > 160 ? all.filter((_, j) => j % Math.ceil(all.length / 160) === 0) : all;
  return (
    <section class="pane" aria-label={title}>
      <div class="pane-head">
        <h2>
          Step {count(step - first + 1)} <span class="faint">of {stage}</span>
        </h2>
        <span class="note">mean reward {significant(reward)}</span>
      </div>
      <svg
        class="pane-bars"
        viewBox={`0 0 ${bars.length} 20`}
        preserveAspectRatio="none"
        aria-hidden="true"
      >
        {bars.map((one, j) => {
          const height = Math.max(0.6, (Math.max(0, one.reward) / high) * 20);
          return (
            <rect
              key={one.step}
              class={one.step === step ? 'here' : ''}
              x={j + 0.1}
              width={0.8}
              y={20 - height}
              height={height}
            />
          );
        })}
      </svg>
      <input
        type="range"
        min={0}
        max={all.length - 1}
        value={i}
        style={{ '--share': `${(i / Math.max(1, all.length - 1)) * 100}%` }}
        aria-label={`${title}: step`}
        aria-valuetext={`step ${step - first + 1}`}
        onInput={(event) => {
          const next = Number(event.currentTarget.value);
          at.value = start === null && next === all.length - 1 ? null : next;
        }}
      />
      {samples.value === null ? (
        <Waiting>Reading…</Waiting>
      ) : (
        <ul class="rollouts">
          {samples.value.map((sample, j) => (
            <li key={`${step} ${j}`} class={sample.correct ? 'right-answer' : ''}>
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
      )}
    </section>
  );
}

/** The completion in its parts. */
export function Completion({ text }: { text: string }) {
  const { thinking, content } = splitThinking(text);
  const thought = partsOf(text).thinking !== null || thinking !== '';
  const answer = partsOf(content ?? '').answer ?? content;
  return (
    <div class="completion mono">
      {thought && thinking === '' && <span class="faint">no thinking</span>}
      {thinking !== '' && <span class="thinking">{thinking}</span>}
      {answer !== null && answer !== '' && <span class="answer">{answer}</span>}
    </div>
  );
}
