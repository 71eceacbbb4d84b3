/**
 * @file The training worker: `train`, the interpreter of recipes that the command uses, in a page.
 *
 * It owns the run: its files in memory, its copy in the origin private file system, the model of
 * the chat. The page sends requests and receives events; no long computation runs in the page.
 */
import { zipSync } from 'fflate';
import { resolveModel } from '../../../checkpoints/run-folder.js';
import { createSampler } from '../../../inference/index.js';
import { type OpenModel, openModel, taskOf } from '../../../inference/open.js';
import { createStopwatch } from '../../../inference/stopwatch.js';
import { createCostMeter } from '../../../ledger/book/cost-meter.js';
import { defaultPriceBook } from '../../../ledger/book/price-book.js';
import { readRun } from '../../../ledger/statement/files.js';
import { computeBill } from '../../../ledger/statement/runs.js';
import type { Plan } from '../../../plan/plan.js';
import type { BackendKind } from '../../../policy/local/backend.js';
import { parseRecipe, type Recipe } from '../../../recipe/index.js';
import { kindOf, stepsOf } from '../../../stages/index.js';
import { createTask, generated } from '../../../tasks/index.js';
import { problemAt } from '../../../tasks/task.js';
import { hasRelaxedSimd, provideKernels } from '../../../tensor/backends/wasm/load.js';
import { describeAdapter, findAdapter } from '../../../tensor/backends/webgpu/index.js';
import type { TrainOptions } from '../../../train/options.js';
import { train } from '../../../train/train.js';
import { grade } from '../../../training/grade.js';
import type { RunEvent } from '../../../usage/events.js';
import { readEvents } from '../../../usage/log.js';
import type { ChatEvent } from '../../protocol.js';
import { addEvent, createRunState, type PricedEvent } from '../../run-state.js';
import { existsSync, readdirSync, readFileSync } from './node/fs.js';
import { join } from './node/path.js';
import type { FromTrainer, OpenRun, Sample, TaskChoice, ToTrainer } from './protocol.js';
import { type Choice, recipeOf } from './recipe.js';
import { openStore, RUNS, type Store } from './runs.js';

declare const __VERSION__: string;

const CURVE_BUCKETS = 400;
/** Problems among which a prompt is looked for, so that its answer can be graded. */
const LOOKED_AT = 500;
const prices = defaultPriceBook();

const send = (message: FromTrainer, transfer: Transferable[] = []): void =>
  postMessage(message, { transfer });

let store: Store | null = null;
/** The run's folder in memory; null when there is none. */
let run: string | null = null;
let stopping: AbortController | null = null;
let talking: OpenModel | null = null;
let samplesRead = 0;

// ── what there is ────────────────────────────────────────────────────────────────────────────────

async function open(): Promise<void> {
  const notes: string[] = [];
  const relaxed = hasRelaxedSimd();
  const kernels = await fetch(
    new URL(`../${relaxed ? 'kernels-relaxed' : 'kernels'}.wasm`, location.href),
  );
  if (!kernels.ok)
    throw new Error(`the kernels could not be fetched (${kernels.status}); reload the page`);
  provideKernels(new Uint8Array(await kernels.arrayBuffer()), relaxed);
  const free = await new Promise<boolean>((resolve) => {
    if (navigator.locks === undefined) return resolve(true);
    // Held as long as this worker lives.
    void navigator.locks.request('reckoner-run', { ifAvailable: true }, (lock) => {
      resolve(lock !== null);
      return lock === null ? undefined : new Promise(() => {});
    });
  });
  if (!free) throw new Error('another tab of this page holds the run; close it, or go on there');
  try {
    store = await openStore();
  } catch {
    notes.push(
      'This browser keeps no files for this page, as in a private window: a run ends with the tab.',
    );
  }
  run = (await store?.restore((message) => notes.push(`${message}.`))) ?? null;
  const adapter = await findAdapter().catch(() => null);
  const device = adapter ? describeAdapter(adapter) : null;
  const said =
    device === null
      ? 'no WebGPU'
      : `${device.name}${device.hardware ? '' : ', a software adapter'}`;
  const opened = await readOpenRun();
  send({ kind: 'opened', device: said, notes, tasks: taskChoices(), run: opened });
  if (opened !== null && store !== null)
    send({ kind: 'saved', step: opened.state.checkpoint ?? 0 });
}

/** Tasks that need no options, with a problem each; sums as r1-mini has them. */
const taskChoices = (): TaskChoice[] =>
  Object.values(generated).flatMap(({ name, description }) => {
    const reference = name === 'sums' ? { name, maximum: 9 } : { name };
    const task = createTask(reference);
    const problem = problemAt(task, 1, 'evaluation', 0);
    // A task that is graded by other code already takes no reward of the page's.
    return task.pooled
      ? []
      : { name, description, reference, prompt: problem.prompt, gold: task.gold(problem) ?? '' };
  });

/** Everything that the page shows of a run. */
async function readOpenRun(): Promise<OpenRun | null> {
  if (run === null) return null;
  const recipe = JSON.parse(readFileSync(join(run, 'recipe.json'), 'utf8') as string) as Recipe;
  const price = pricer();
  const state = createRunState();
  const { events } = await readEvents(join(run, 'events.jsonl'));
  for (const event of events) addEvent(state, price(event), CURVE_BUCKETS);
  samplesRead = 0;
  const task = createTask(recipe.task as Record<string, unknown>);
  return {
    name: run.slice(RUNS.length + 1),
    recipe,
    state,
    samples: newSamples().slice(-2000),
    stages: stagesNow(recipe),
    bill: await billNow(),
    hasModel: modelFolder() !== null,
    example: problemAt(task, recipe.seed, 'evaluation', 0).prompt,
  };
}

function pricer(): (event: RunEvent) => PricedEvent {
  const meter = createCostMeter(prices);
  return (event) => {
    if (event.type !== 'usage') return event;
    const before = meter.usd;
    meter.add(event.usage);
    return { ...event, usd: meter.usd - before };
  };
}

function stagesNow(recipe: Recipe): OpenRun['stages'] {
  const path = join(run as string, 'plan.json');
  const planned = existsSync(path)
    ? (JSON.parse(readFileSync(path, 'utf8') as string) as Plan).stages
    : [];
  return recipe.stages.map((stage) => {
    const { id, kind } = stage;
    const { seconds = null, usd = null } = planned.find((one) => one.id === id) ?? {};
    return { id, kind, steps: stepsOf(stage), seconds, usd };
  });
}

const billNow = async () => (run === null ? null : computeBill([await readRun(run)], prices));

/** What has been added to `samples.jsonl` since the last call. */
function newSamples(): Sample[] {
  const path = join(run as string, 'samples.jsonl');
  if (!existsSync(path)) return [];
  const bytes = (readFileSync(path) as Uint8Array).subarray(samplesRead);
  samplesRead += bytes.length;
  const lines = new TextDecoder().decode(bytes).split('\n').filter(Boolean);
  return lines.map((line) => JSON.parse(line) as Sample);
}

function modelFolder(): string | null {
  try {
    return run === null ? null : resolveModel(run, RUNS).folder;
  } catch {
    return null;
  }
}

// ── training ─────────────────────────────────────────────────────────────────────────────────────

/** Whether ranks would read what others have written: they have no files in common. */
const alone = (recipe: Recipe | undefined): boolean =>
  recipe?.stages.some((stage) => kindOf(stage).keepsSamples) ?? false;

async function runTraining(
  options: Pick<TrainOptions, 'recipe' | 'resume' | 'backend'>,
): Promise<void> {
  await closeModel();
  stopping = new AbortController();
  const price = pricer();
  if (options.resume !== undefined && run !== null)
    for (const event of (await readEvents(join(run, 'events.jsonl'))).events) price(event);
  let saving = Promise.resolve();
  const save = (step: number): void => {
    if (store === null || run === null) return;
    saving = store.save(run).then(
      () => send({ kind: 'saved', step }),
      (error) =>
        send({ kind: 'note', message: `The run could not be saved: ${(error as Error).message}` }),
    );
  };
  try {
    await train({
      ...options,
      version: __VERSION__,
      runs: RUNS,
      // Also where a run was begun in an isolated page and goes on in one that is not.
      workers: alone(options.recipe) || !crossOriginIsolated ? 1 : undefined,
      // Another version of the browser counts as another processor, and there is nobody to add an
      // option.
      allowDrift: true,
      products: 'wasm',
      prices,
      signal: stopping.signal,
      onStart: (folder) => {
        run = folder.root;
        save(0);
        void readOpenRun().then((opened) => opened && send({ kind: 'run', run: opened }));
      },
      onPlan: () =>
        void readOpenRun().then((opened) => opened && send({ kind: 'run', run: opened })),
      onBackend: (kind, why) => send({ kind: 'note', message: `Computes on ${kind}: ${why}` }),
      onWarning: (message) => send({ kind: 'note', message }),
      onEvent: (event) => {
        send({ kind: 'event', event: price(event) });
        if (run === null) return;
        if (event.type === 'usage') store?.saveLog(run);
        if (event.type === 'metrics' || event.type === 'evaluation') {
          const samples = newSamples();
          if (samples.length > 0) send({ kind: 'samples', samples });
        }
        if (event.type === 'checkpoint') {
          save(event.step);
          void billNow().then((bill) => bill && send({ kind: 'bill', bill }));
        }
      },
    });
  } catch (error) {
    send({ kind: 'refused', message: (error as Error).message });
  }
  stopping = null;
  if (run !== null) {
    store?.saveLog(run);
    await saving;
    save(0);
    await saving;
  }
  send({ kind: 'idle', run: await readOpenRun() });
}

/**
 * A reward that cannot grade a right answer is said to be wrong before minutes of imitation.
 * @throws Error
 */
async function tryReward({ task: reference, reward }: Choice): Promise<void> {
  if (reward === null) return;
  const own = createTask({ name: 'scored', task: reference, reward });
  const task = createTask(reference);
  const problem = problemAt(task, 1, 'evaluation', 0);
  const { reason, failed } = await own.verify(problem, task.gold(problem) ?? '');
  if (failed) throw new Error(`${reason}; it was asked about the answer below`);
}

async function begin(recipe: unknown, backend: BackendKind | 'auto'): Promise<void> {
  const parsed = parseRecipe(recipe, 'recipe');
  await forget();
  await runTraining({ recipe: parsed, backend });
}

async function forget(): Promise<void> {
  await closeModel();
  await store?.clear();
  run = null;
  samplesRead = 0;
}

// ── the model ────────────────────────────────────────────────────────────────────────────────────

async function closeModel(): Promise<void> {
  await talking?.close();
  talking = null;
}

async function answer(
  prompt: string,
  temperature: number,
  seed: number,
  tell: (event: ChatEvent) => void,
): Promise<void> {
  const folder = modelFolder();
  if (folder === null) throw new Error('there is no model to ask yet; train one first');
  talking ??= await openModel(folder, { products: 'wasm' });
  tell({ type: 'loaded' });
  const { backend, model, tokenizer, config } = talking;
  const ids = tokenizer.prompt(prompt);
  const maxTokens = config.max_position_embeddings - ids.length;
  if (maxTokens < 1)
    throw new Error(
      `the prompt has ${ids.length} tokens, and the model takes ${config.max_position_embeddings}`,
    );
  const stopwatch = createStopwatch();
  const mark = backend.mark();
  try {
    const { eos } = tokenizer.special;
    const sampler = createSampler(backend, model, {
      capacity: 1,
      maxPrompt: ids.length,
      maxTokens,
      eos,
    });
    const drawn: number[] = [];
    let sent = 0;
    const [completion] = await sampler.generate([ids], {
      samples: 1,
      maxTokens,
      temperature,
      key: [seed, 'chat', 0],
      onToken: (_prompt, _sample, token, logProbability) => {
        if (token === eos) return;
        drawn.push(token);
        const text = tokenizer.decode(drawn);
        tell({ type: 'token', text: text.slice(sent), logProbability, part: null });
        sent = text.length;
      },
    });
    const { seconds, usd } = stopwatch.read();
    const task = taskOf(talking);
    const problems = Array.from({ length: LOOKED_AT }, (_, i) =>
      problemAt(task, 1, 'evaluation', i),
    );
    const problem = problems.find((one) => one.prompt === prompt);
    const verdict = problem && (await grade(task, tokenizer, problem, completion)).verdict;
    const { stop, tokens } = completion;
    tell({
      type: 'done',
      stop,
      promptTokens: ids.length,
      tokens: tokens.length,
      seconds,
      usd,
      verdict: verdict ?? null,
    });
  } finally {
    backend.release(mark);
  }
}

/**
 * The model as a Hugging Face folder, in a zip; of a run that has not ended, its newest checkpoint.
 */
function download(): void {
  const folder = modelFolder();
  if (folder === null || run === null) throw new Error('there is no model to download yet');
  const files: Record<string, Uint8Array> = {};
  const name = run.slice(RUNS.length + 1);
  for (const file of readdirSync(folder) as string[]) {
    if (file === 'snapshot.json' || file === 'optimizer.safetensors') continue;
    files[`${name}/${file === 'weights.safetensors' ? 'model.safetensors' : file}`] =
      Uint8Array.from(readFileSync(join(folder, file)) as Uint8Array);
  }
  // Weights do not get smaller by it.
  const bytes = zipSync(files, { level: 0 });
  send({ kind: 'download', name: `${name}.zip`, bytes }, [bytes.buffer]);
}

// ── the line to the page ─────────────────────────────────────────────────────────────────────────

async function hear(message: ToTrainer): Promise<void> {
  switch (message.kind) {
    case 'open':
      return open();
    case 'train':
      await tryReward(message.choice);
      return begin(recipeOf(message.choice), message.choice.backend);
    case 'train-recipe':
      return begin(message.recipe, message.backend);
    case 'resume':
      return runTraining({ resume: '' });
    case 'forget':
      await forget();
      return send({ kind: 'idle', run: null });
    case 'ask': {
      const { id, prompt, temperature, seed } = message;
      const tell = (event: ChatEvent): void => send({ kind: 'answer', id, event });
      return answer(prompt, temperature, seed, tell).catch((error) =>
        tell({ type: 'error', message: (error as Error).message }),
      );
    }
    case 'download':
      return download();
  }
}

export function startTrainer(): void {
  let queue = Promise.resolve();
  addEventListener('message', ({ data }: MessageEvent<ToTrainer>) => {
    // Not in turn: it is meant for what is under way.
    if (data.kind === 'stop') return stopping?.abort();
    queue = queue
      .then(() => hear(data))
      .catch((error) => send({ kind: 'refused', message: (error as Error).message }));
  });
}
