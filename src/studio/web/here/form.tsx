/**
 * @file What to train: a task, its reward, how long, on what.
 */
import { signal, useSignal } from '@preact/signals';
import type { BackendKind } from '../../../policy/local/backend.js';
import { Completion } from '../pages/rollouts.js';
import { Card, Select } from '../ui.js';
import { busy, opened, train } from './link.js';
import type { TaskChoice } from './protocol.js';
import { SIZES, type Size } from './sizes.js';

const REWARD = `({ correct, completion, thinking, answer }) => {
  // A number, or true and false for 1 and 0.
  if (!correct) return 0;
  return 1 - thinking.length / 200;
}`;

const BACKENDS = [
  { value: 'auto', name: 'The faster one' },
  { value: 'webgpu', name: 'GPU (WebGPU)' },
  { value: 'wasm', name: 'Processor (WebAssembly)' },
] as const;

/** Of the form and of a recipe of one's own. */
const backend = signal<BackendKind | 'auto'>('auto');
// What was chosen and typed is still there when a run is refused, or forgotten.
const name = signal('sums');
const own = signal(false);
const reward = signal(REWARD);
const size = signal<Size>('minute');
const seed = signal('1');

export function Form() {
  const tasks = opened.value?.tasks ?? [];
  const task = tasks.find((one) => one.name === name.value);
  if (task === undefined) return null;
  return (
    <Card
      title="What to learn"
      note="The model begins with random weights. It imitates demonstrations, good and bad, and then learns from the reward alone."
    >
      <form
        class="train-form"
        onSubmit={(event) => {
          event.preventDefault();
          const number = Number(seed.value);
          train({
            kind: 'train',
            choice: {
              task: task.reference,
              reward: own.value ? reward.value : null,
              size: size.value,
              seed: Number.isInteger(number) && number >= 0 ? number : 1,
              backend: backend.value,
            },
          });
        }}
      >
        <div class="form-row">
          <Select
            label="Task"
            value={name.value}
            options={tasks.map((one) => ({ value: one.name, name: one.name }))}
            onChange={(next) => (name.value = next)}
          />
          <Select
            label="How long"
            value={size.value}
            options={(Object.keys(SIZES) as Size[]).map((value) => ({
              value,
              name: SIZES[value].name,
            }))}
            onChange={(next) => (size.value = next)}
          />
          <Select
            label="Compute on"
            value={backend.value}
            options={BACKENDS}
            onChange={(next) => (backend.value = next)}
          />
          <label class="field small">
            <span>Seed</span>
            <input
              type="text"
              inputMode="numeric"
              value={seed.value}
              onInput={(event) => (seed.value = event.currentTarget.value)}
            />
          </label>
        </div>
        <Example task={task} />
        <label class="check">
          <input type="checkbox" checked={own.value} onChange={() => (own.value = !own.value)} />A
          reward of my own
        </label>
        {own.value && (
          <label class="field">
            <span>
              A JavaScript function of one sample. It runs in a sandbox: no network, no clock, and a
              limit on its work and memory.
            </span>
            <textarea
              class="mono code"
              rows={7}
              spellcheck={false}
              value={reward.value}
              onInput={(event) => (reward.value = event.currentTarget.value)}
            />
          </label>
        )}
        <div class="form-actions">
          <button type="submit" class="button primary" disabled={busy.value}>
            Train
          </button>
        </div>
      </form>
    </Card>
  );
}

function Example({ task }: { task: TaskChoice }) {
  return (
    <div class="example">
      <p class="note">{task.description} A problem, and an answer that earns the reward:</p>
      <p class="mono">{task.prompt}</p>
      <Completion text={task.gold} />
    </div>
  );
}

/** A recipe given as JSON. */
export function FromFile() {
  const failed = useSignal<string | null>(null);
  const read = async (file: File | undefined): Promise<void> => {
    if (file === undefined) return;
    try {
      failed.value = null;
      train({
        kind: 'train-recipe',
        recipe: JSON.parse(await file.text()),
        backend: backend.value,
      });
    } catch (error) {
      failed.value = (error as Error).message;
    }
  };
  return (
    <details class="further">
      <summary>Or a recipe of your own</summary>
      <Card note="The same JSON that the command takes; what it names must be in it, since a page reads no files.">
        <label class="field">
          <span>Recipe, JSON</span>
          <input
            type="file"
            accept="application/json,.json"
            onChange={(event) => void read(event.currentTarget.files?.[0])}
          />
        </label>
        {failed.value !== null && <p class="note">{failed.value}</p>}
      </Card>
    </details>
  );
}
