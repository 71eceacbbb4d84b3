/**
 * @file The runs of a folder, as the page sees them: found anew each time, looked up by their exact
 * names alone. A name from the page is compared with what is in the folder and never joined to a
 * path, so nothing outside it can be read.
 */
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { statPlain } from '../base/regular.js';
import { findRuns, holderOf, type RunFolder, readRunJson } from '../checkpoints/run-folder.js';
import { defaultPriceBook, priceBookOfRun, STATEMENT_SCHEMA_VERSION } from '../ledger/index.js';
import { stepsIn } from '../stages/index.js';
import type { TaskReference } from '../tasks/index.js';
import { billInThread } from './bill-thread.js';
import { createExamples } from './examples.js';
import { followLog, type LogFollower } from './log-follower.js';
import type {
  BillView,
  Expected,
  ModelChoice,
  RunDetail,
  RunStatus,
  RunSummary,
} from './protocol.js';
import { type RunState, thinned } from './run-state.js';
import { indexSamples, type SampleIndex } from './samples.js';

/**
 * Buckets of a curve that the page gets: as many as a chart has points to show, each with its least
 * and greatest.
 */
const PAGE_LIMIT = 512;
const SPARK_LIMIT = 48;

export interface Entry {
  run: RunFolder;
  log: LogFollower;
  samples: SampleIndex;
}

export interface Library {
  /** Newest first. */
  list(): Promise<RunSummary[]>;
  /** Undefined when there is no run of that name. */
  find(name: string): Entry | undefined;
  summary(entry: Entry): RunSummary;
  detail(entry: Entry): RunDetail;
  bill(entry: Entry): Promise<BillView>;
  models(): Promise<ModelChoice[]>;
  /** What the command said of a run whose log has no end. */
  noteFailure(name: string, message: string): void;
  close(): Promise<void>;
}

/** What the page shows of a recipe; a field of another kind is passed over. */
const recipeView = z.object({
  name: z.string().optional().catch(undefined),
  description: z.string().optional().catch(undefined),
  seed: z.number().optional().catch(undefined),
  task: z
    .custom<TaskReference>((task) => typeof task === 'object' && task !== null)
    .optional()
    .catch(undefined),
  stages: z
    .array(
      z
        .looseObject({ id: z.string(), kind: z.string(), steps: z.number().optional() })
        .transform((stage) => {
          const { id, kind, steps = 1 } = stage;
          return { id, kind, steps: stepsIn(stage) ?? steps };
        }),
    )
    .optional()
    .catch(undefined),
});
type RecipeFile = z.infer<typeof recipeView>;

const interval = z.object({ value: z.number(), low: z.number(), high: z.number() });
const planView = z.object({
  stages: z.array(z.object({ id: z.string(), seconds: interval, usd: interval })),
});

export function openLibrary(folder: string): Library {
  const entries = new Map<string, Entry>();
  const failures = new Map<string, string>();
  const examples = createExamples();

  function scan(): Entry[] {
    const runs = findRuns(folder);
    const names = new Set(runs.map(({ name }) => name));
    for (const name of entries.keys()) if (!names.has(name)) entries.delete(name);
    return runs.map((run) => {
      const known = entries.get(run.name);
      if (known !== undefined) return known;
      const entry = {
        run,
        log: followLog(run.events, priceBookOfRunOrDefault(run.root)),
        samples: indexSamples(run.samples),
      };
      entries.set(run.name, entry);
      return entry;
    });
  }

  function summary({ run, log }: Entry): RunSummary {
    const { state } = log.current();
    const recipe = recipeOf(run);
    const planned = (recipe.stages ?? state.stages).map(({ steps }) => steps);
    const stage =
      state.stages.findLast(({ state: now }) => now === 'running') ?? state.stages.at(-1);
    return {
      name: run.name,
      recipe: state.recipe || recipe.name || run.name,
      ...statusOf(run, state, failures.get(run.name)),
      stage: stage?.id ?? null,
      step: state.step,
      steps: planned.reduce((sum, steps) => sum + steps, 0),
      startedAt: state.startedAt,
      updatedAt: state.updatedAt,
      seconds: state.seconds,
      usd: state.usd,
      evaluations: state.evaluations,
      spark: sparkOf(state),
      hasModel: existsSync(join(run.model, 'config.json')),
      hasSamples: existsSync(run.samples),
      hasBill: existsSync(run.bill),
    };
  }

  return {
    async list() {
      const found = scan();
      // The newest first, one at a time, so that a page of a run that is asked for meanwhile comes
      // soon.
      for (const { log } of found.toReversed()) await log.look();
      return found.map(summary).reverse();
    },
    find: (name) => scan().find(({ run }) => run.name === name),
    summary,
    detail(entry) {
      const { run, log } = entry;
      const { state, offset, progress, malformed } = log.current();
      const recipe = recipeOf(run);
      const expected = planOf(run);
      return {
        summary: summary(entry),
        state: forPage(state),
        offset,
        progress,
        malformed,
        stages: (recipe.stages ?? []).map(({ id, kind, steps }) => {
          const { seconds = null, usd = null } = expected.get(id) ?? {};
          return { id, kind, steps, seconds, usd };
        }),
        description: recipe.description ?? '',
        seed: recipe.seed ?? 0,
        checkpoints: checkpointsOf(run),
      };
    },
    async bill({ run }) {
      const final = existsSync(run.bill) && holderOf(run) === null;
      if (final) {
        // That of an earlier version is another document, and is computed anew from the log.
        const bill = readRunJson(run, 'bill.json') as BillView['bill'] | null;
        if (bill?.schemaVersion === STATEMENT_SCHEMA_VERSION) return { bill, final };
      }
      return { bill: await billInThread(run.root, priceBookOfRunOrDefault(run.root)), final };
    },
    async models() {
      const choices = scan()
        .reverse()
        .map(async ({ run }): Promise<ModelChoice[]> => {
          const { name = run.name, task } = recipeOf(run);
          const finished = existsSync(join(run.model, 'config.json')) ? [null] : [];
          const steps = [...finished, ...checkpointsOf(run).reverse()];
          if (steps.length === 0) return [];
          const example = task ? await examples.get({ task, folder: run.root }) : null;
          return steps.map((step) => ({ run: run.name, step, recipe: name, example }));
        });
      return (await Promise.all(choices)).flat();
    },
    close: () => examples.close(),
    noteFailure: (name, message) => void failures.set(name, message),
  };
}

function priceBookOfRunOrDefault(root: string) {
  try {
    return priceBookOfRun(root);
  } catch {
    return defaultPriceBook();
  }
}

const views = new Map<string, { stamp: string; value: unknown }>();

/** What `make` makes of a file of a run, once for each state of the file; null where it cannot. */
function viewOf<T>(run: RunFolder, name: string, make: (value: unknown) => T): T | null {
  const path = join(run.root, name);
  const stat = statPlain(path);
  const stamp = stat === null ? '' : `${stat.ino} ${stat.size} ${stat.mtimeMs}`;
  const known = views.get(path);
  if (known?.stamp === stamp) return known.value as T | null;
  let value: T | null = null;
  try {
    if (stat !== null) value = make(readRunJson(run, name));
  } catch {
    // Half written, or a stranger's.
  }
  views.set(path, { stamp, value });
  return value;
}

const recipeOf = (run: RunFolder): RecipeFile =>
  viewOf(run, 'recipe.json', (value) => recipeView.parse(value)) ?? {};

function planOf(run: RunFolder): Map<string, { seconds: Expected; usd: Expected }> {
  const plan = viewOf(run, 'plan.json', (value) => planView.parse(value));
  return new Map((plan?.stages ?? []).map((stage) => [stage.id, stage]));
}

/** Steps of the checkpoints that hold a whole model, in order. */
function checkpointsOf(run: RunFolder): number[] {
  try {
    return readdirSync(run.checkpoints)
      .filter(
        (name) => /^\d{1,12}$/.test(name) && existsSync(join(run.checkpoints, name, 'config.json')),
      )
      .map(Number)
      .sort((a, b) => a - b);
  } catch {
    return [];
  }
}

/** The folder of a model that the page names, by what is there. */
export function modelFolder({ run }: Entry, step: number | null): string | undefined {
  if (step === null) return existsSync(join(run.model, 'config.json')) ? run.model : undefined;
  if (!checkpointsOf(run).includes(step)) return undefined;
  const name = readdirSync(run.checkpoints).find(
    (folder) => /^\d{1,12}$/.test(folder) && Number(folder) === step,
  );
  return name === undefined ? undefined : join(run.checkpoints, name);
}

function statusOf(
  run: RunFolder,
  state: RunState,
  failure?: string,
): { status: RunStatus; message: string | null } {
  if (holderOf(run) !== null) return { status: 'running', message: null };
  const { ended } = state;
  if (ended !== null) return { status: ended.reason, message: ended.message ?? null };
  // A log that was just begun: its process takes the lock first, so there is none.
  return {
    status: 'killed',
    message:
      failure ??
      'Its process ended without saying why: it was killed, or the machine stopped. Resume goes on from the last checkpoint.',
  };
}

function forPage(state: RunState): RunState {
  return {
    ...state,
    stages: state.stages.map((stage) => ({
      ...stage,
      curves: Object.fromEntries(
        Object.entries(stage.curves).map(([name, curve]) => [name, thinned(curve, PAGE_LIMIT)]),
      ),
    })),
  };
}

function sparkOf(state: RunState): RunSummary['spark'] {
  const stage =
    state.stages.findLast(({ curves }) => curves.reward !== undefined) ??
    state.stages.findLast(({ curves }) => curves.loss);
  if (stage === undefined) return null;
  const name = stage.curves.reward === undefined ? 'loss' : 'reward';
  const curve = thinned(stage.curves[name], SPARK_LIMIT);
  return { name, values: curve.sum.map((sum, i) => sum / curve.count[i]) };
}
