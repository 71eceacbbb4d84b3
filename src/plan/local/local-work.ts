/**
 * @file The work of a recipe as one machine does it: what the busiest rank does a step, and what
 * has to be timed to know how long that takes here.
 *
 * What a stage does is what its kind's `work()` says (`plan/recipe-work.ts`); this file deals it to
 * ranks, draws single completions, and names the shapes that `calibrate.ts` times.
 */
import {
  type Architecture,
  countParameters,
  modelFlopsPerToken,
} from '../../architecture/index.js';
import { Random } from '../../base/random.js';
import type { Quantity } from '../../planner/cluster.js';
import { quantileFunction } from '../../planner/distribution.js';
import {
  type Rollout as LocalRollout,
  type LocalScenario,
  type LocalStage,
  SCORING_SHARE,
} from '../../planner/local.js';
import type { ResolvedRecipe } from '../../recipe/index.js';
import { partsOf, type Totals, totalsOf } from '../../stages/totals.js';
import {
  at,
  type ModelRole,
  meanOf,
  middleOf,
  type Pass,
  type Rollout,
  SCENARIOS,
  type Scenario,
  type Score,
  type Sequences,
  type Work,
} from '../../stages/work.js';
import { optimizerSchema } from '../../training/optimizer.js';
import { optimizers } from '../../training/optimizers/index.js';
import type { Purpose } from '../../usage/usage.js';
import { type StageWork, type SurveyedWork, surveyRecipe } from '../recipe-work.js';
import type { CalibrationPiece, CalibrationRequest } from './calibrate.js';
import type { MemorySettings } from './memory.js';

/** A part of a stage's work that is timed by itself. */
export interface LocalPart {
  local: Omit<LocalStage, 'secondsPerCheckpoint'>;
  /** Keys of the pieces that were timed for it. */
  trainingKey: string | null;
  generationKey: string | null;
  secondsPerProblem: number;
  secondsPerGrade: number;
}

export interface DescribedStage {
  id: string;
  kind: StageWork['kind'];
  purpose: Purpose;
  parts: LocalPart[];
  checkpoints: number;
  /** In one checkpoint within the stage. */
  checkpointBytes: number;
  tokensIn: Quantity;
  tokensOut: Quantity;
  modelFlops: Quantity;
  /** Mean tokens of a completion; null where nothing is sampled. */
  completionTokens: Quantity | null;
  /** What the busiest rank holds outside the engine during a step, bytes. */
  heldBytes: number;
  /** Share of the time that goes to sampling: all, none, or null where both happen. */
  samplingShare: number | null;
  /** Model FLOPs with attention counted in full, over those with it counted causally. */
  fullOverCausal: number;
}

export interface DescribedRecipe {
  /** Of the recipe's own model. */
  architecture: Architecture;
  stages: DescribedStage[];
  request: CalibrationRequest;
  /** Bytes of the weights that are trained. */
  weightBytes: number;
}

/** The pieces to time, each once, however many stages need it. */
class Pieces {
  readonly all = new Map<string, CalibrationPiece>();

  need(piece: CalibrationPiece): string {
    const found = this.all.get(piece.key);
    if (!found) this.all.set(piece.key, piece);
    else {
      if (found.kind === 'generation' && piece.kind === 'generation')
        found.completionTokens = Math.max(found.completionTokens, piece.completionTokens);
      found.steps += piece.steps;
    }
    return piece.key;
  }
}

/** Every scenario of a part of a stage. */
const scenariosOf = (
  make: (scenario: Scenario) => LocalScenario,
): Record<Scenario, LocalScenario> => ({
  expected: make('expected'),
  short: make('short'),
  long: make('long'),
});

const NOTHING: LocalScenario = { trainedTokens: 0, scoredTokens: 0, rollouts: [] };
const noPart = (steps: number): LocalPart => ({
  local: {
    steps,
    updates: 0,
    problems: 0,
    grades: 0,
    checkpoints: 0,
    ...scenariosOf(() => NOTHING),
  },
  trainingKey: null,
  generationKey: null,
  secondsPerProblem: 0,
  secondsPerGrade: 0,
});

/** @param memory settings that gave way to fit the memory */
export function describeRecipe(
  resolved: ResolvedRecipe,
  workers: number,
  surveyed: SurveyedWork = surveyRecipe(resolved),
  memory?: MemorySettings,
): DescribedRecipe {
  const recipe = { ...resolved.recipe, ...memory };
  const pieces = new Pieces();
  const [first] = surveyed.configs;
  const stages = surveyed.stages.map((stage, i): DescribedStage => {
    const seconds = surveyed.seconds[i];
    const { stage: config, teacher } = surveyed.configs[i];
    const shapes = { config, teacher, first: first.stage };
    const sequences = memory?.sequences ?? null;
    const context = { recipe, stage, seconds, workers, pieces, shapes, sequences };
    const parts = stage.works.flatMap((work) => partsOfWork(work, context));
    const totals = SCENARIOS.map((scenario) => totalsOf(stage.works, stage.models, scenario));
    const quantity = (of: (totals: Totals) => number): Quantity => {
      const all = totals.map(of);
      return { value: all[0], low: Math.min(...all), high: Math.max(...all) };
    };
    const samples = totals[0].completions > 0;
    const steps = stage.works.reduce((sum, work) => sum + work.steps, 0);
    return {
      id: stage.id,
      kind: stage.kind,
      purpose: stage.works[stage.works.length - 1].purpose,
      parts,
      checkpoints: 1 + (stage.trains ? Math.floor((steps - 1) / recipe.checkpoints.every) : 0),
      checkpointBytes: checkpointBytes(stage),
      tokensIn: quantity(({ tokensIn }) => tokensIn),
      tokensOut: quantity(({ tokensOut }) => tokensOut),
      modelFlops: quantity(({ modelFlops }) => modelFlops),
      completionTokens: samples ? quantity((all) => all.tokensOut / all.completions) : null,
      heldBytes: Math.max(...stage.works.map((work) => heldBytes(work, workers))),
      samplingShare: !samples ? 0 : totals[0].updates > 0 ? null : 1,
      fullOverCausal: fullOverCausal(stage),
    };
  });
  const { adapter, numerics } = recipe;
  return {
    architecture: surveyed.architecture,
    stages,
    request: { model: recipe.model, adapter, numerics, pieces: [...pieces.all.values()] },
    weightBytes: 4 * trainedParameters(surveyed.stages[0]),
  };
}

/** At the mean length of what a stage's last phase samples or reads. */
function fullOverCausal({ works, models }: StageWork): number {
  const { rollouts, passes, scores } = works[works.length - 1];
  const [sequences] = [...rollouts, ...passes, ...scores];
  if (sequences === undefined) return 1;
  const { model, promptTokens, completionTokens } = sequences;
  const tokens = Math.round(meanOf(promptTokens) + meanOf(completionTokens.mean));
  const architecture = models.architectures[model] as Architecture;
  return (
    modelFlopsPerToken(architecture, tokens, 'full') /
    modelFlopsPerToken(architecture, tokens, 'causal')
  );
}

interface PartContext {
  recipe: ResolvedRecipe['recipe'];
  stage: StageWork;
  seconds: { problem: number; demonstration: number; grade: number };
  workers: number;
  pieces: Pieces;
  shapes: { config: object; teacher: object | null; first: object };
  /** Sequences that a worker decodes at once at most, where they gave way. */
  sequences: number | null;
}

const architectureFor = ({ stage }: PartContext, role: ModelRole): Architecture =>
  stage.models.architectures[role] as Architecture;

/** Of the model that a piece is of, where it is another than the recipe's. */
function otherModel(
  context: PartContext,
  role: ModelRole,
): { name: string; model?: Record<string, unknown> } {
  const { config, teacher, first } = context.shapes;
  const used = role === 'teacher' ? (teacher ?? config) : config;
  if (used === first) return { name: '' };
  const { stored } = countParameters(architectureFor(context, role));
  return { name: `${stored} weights, `, model: used as Record<string, unknown> };
}

function trainedParameters({ models }: StageWork): number {
  const { stage } = models.architectures;
  return models.adapterParameters ?? countParameters(stage as Architecture).stored;
}

/** Weights, the optimizer's moments, and a reference policy that is no frozen base. */
function checkpointBytes(stage: StageWork): number {
  const parameters = trainedParameters(stage);
  const passes = stage.works.flatMap((work) => work.passes);
  if (passes.length === 0) return 4 * parameters;
  const { matrices } = passes[0].optimizer;
  const { stage: model } = stage.models.architectures;
  const { matmul } = countParameters(model as Architecture);
  const { adapterParameters } = stage.models;
  const hidden =
    adapterParameters ?? matmul - (model as Architecture).vocab * (model as Architecture).hidden;
  const numbersOf = (name: string): number => optimizers[name].state.length;
  const state = numbersOf('adamw') * (parameters - hidden) + numbersOf(matrices) * hidden;
  const scored = stage.works.some(({ scores }) => scores.some(({ by }) => by === 'reference'));
  const reference = scored && adapterParameters === undefined ? parameters : 0;
  return 4 * (parameters + state + reference);
}

/**
 * JavaScript's numbers and objects of a step: a sampled token has its id and log-probability, and a
 * completion its text, its verdict and their objects. As measured, less a tenth.
 */
const HELD = { completion: 700, token: 16, sequence: 100, trainedToken: 8 } as const;

function heldBytes({ rollouts, passes }: Work, workers: number): number {
  const sampled = rollouts.map(
    ({ prompts, samples, completionTokens }) =>
      prompts * samples * (HELD.completion + HELD.token * meanOf(completionTokens.mean)),
  );
  const trained = passes.map(({ sequences, promptTokens, completionTokens }) => {
    const tokens = meanOf(promptTokens) + meanOf(completionTokens.mean);
    return Math.max(...sequences.expected) * (HELD.sequence + HELD.trainedToken * tokens);
  });
  return [...sampled, ...trained].reduce((sum, bytes) => sum + bytes, 0) / workers;
}

function partsOfWork(work: Work, context: PartContext): LocalPart[] {
  return [
    ...work.rollouts.map((rollout, r) => rolloutPart(work, rollout, r, context)),
    ...work.scores.map((score) => scorePart(work, score, context)),
    ...work.passes.map((pass) => passPart(work, pass, context)),
  ];
}

/** The mean over a work's parts of the tokens that the busiest rank reads in a step. */
function tokensRead(
  work: Work,
  { sequences, promptTokens, completionTokens }: Sequences,
  scenario: Scenario,
  workers: number,
): number {
  const parts = partsOf(work);
  let tokens = 0;
  for (let part = 0; part < parts; part++) {
    const share = middleOf(part, parts);
    const own = Math.ceil(at(sequences[scenario], share) / workers);
    const each = meanOf(promptTokens) + meanOf(at(completionTokens.each[scenario], share)) - 1;
    tokens += (own * each) / parts;
  }
  return tokens;
}

/** The shape of a training pass, to be timed. */
function trainingKey(
  work: Work,
  sequences: Sequences,
  as: Pick<Pass, 'loss' | 'predicts' | 'optimizer'>,
  context: PartContext,
  steps = work.steps,
): string {
  const { recipe, workers, pieces } = context;
  const most = Math.max(...sequences.sequences.expected, 1);
  const own = Math.max(1, Math.ceil(most / workers));
  const completion = meanOf(sequences.completionTokens.mean);
  const { positions } = limitsOf(context);
  const tokens = Math.min(positions, Math.round(meanOf(sequences.promptTokens) + completion));
  const predicted = as.predicts === 'all' ? tokens - 1 : Math.round(completion);
  const { name, model } = otherModel(context, sequences.model);
  const policy = as.loss === 'policy';
  const { matrices } = as.optimizer;
  return pieces.need({
    kind: 'training',
    key: `${name}${as.loss} ${own} x ${tokens}, ${matrices}`,
    ...(model ? { model } : {}),
    sequences: own,
    tokens,
    predicted,
    policy,
    microBatchTokens: recipe.microBatchTokens,
    recompute: recipe.recompute,
    optimizer: optimizerSchema.parse({ ...as.optimizer }),
    steps,
  });
}

const limitsOf = ({ shapes }: PartContext): { positions: number } => ({
  positions: (shapes.config as { max_position_embeddings: number }).max_position_embeddings,
});

function passPart(work: Work, pass: Pass, context: PartContext): LocalPart {
  const { workers, seconds } = context;
  const own = Math.ceil(Math.max(...pass.sequences.expected) / workers);
  const { local } = noPart(work.steps);
  const scenarios = scenariosOf((scenario) => ({
    ...NOTHING,
    trainedTokens: tokensRead(work, pass, scenario, workers),
  }));
  const problems = pass.source === 'task' ? own : 0;
  return {
    ...noPart(work.steps),
    local: { ...local, updates: pass.updates, problems, ...scenarios },
    trainingKey: trainingKey(work, pass, pass, context),
    secondsPerProblem: seconds.demonstration,
  };
}

/** A forward pass takes a share of a training pass of the same shape. */
function scorePart(work: Work, score: Score, context: PartContext): LocalPart {
  const { local } = noPart(work.steps);
  const pass = work.passes.find(({ model }) => model === score.model);
  const like = {
    loss: pass?.loss ?? 'policy',
    predicts: 'completion',
    optimizer: pass?.optimizer ?? { matrices: 'adamw' },
  } as const;
  const scenarios = scenariosOf((scenario) => ({
    ...NOTHING,
    scoredTokens: tokensRead(work, score, scenario, context.workers),
  }));
  return {
    ...noPart(work.steps),
    local: { ...local, ...scenarios },
    trainingKey: trainingKey(work, score, like, context, SCORING_SHARE * work.steps),
  };
}

/**
 * Completions of a call that are drawn one by one: capacity many times over. More of them take as
 * much longer as they are more.
 */
const MOST_DRAWN = 4096;

function rolloutPart(work: Work, rollout: Rollout, index: number, context: PartContext): LocalPart {
  const { workers, recipe, stage, seconds, pieces } = context;
  const { prompts, samples, promptTokens, completionTokens } = rollout;
  const own = Math.ceil(prompts / workers);
  const atOnce = Math.min(rollout.capacity, context.sequences ?? rollout.capacity);
  const capacity = Math.max(1, Math.min(atOnce, own * samples));
  const prompt = meanOf(promptTokens);
  const parts = partsOf(work);
  const scenarios = scenariosOf((scenario) => {
    const random = new Random(recipe.seed, 'plan', stage.id, work.phase, index, scenario);
    const rollouts = Array.from({ length: parts }, (_, part): LocalRollout[] => {
      const share = middleOf(part, parts);
      const length = quantileFunction(at(completionTokens.each[scenario], share));
      const draw = (): number => length(1e-9 + (1 - 2e-9) * random.uniform());
      const replaced = at(rollout.replaced[scenario], share);
      const calls: LocalRollout[] = [];
      for (let round = 0, open = own; round < rollout.rounds && open >= 0.5; round++) {
        const each = Math.min(samples, MOST_DRAWN);
        const groups = Math.min(Math.round(open), Math.ceil(MOST_DRAWN / each));
        const lengths = Array.from({ length: groups }, () => Array.from({ length: each }, draw));
        const times = (Math.round(open) * samples) / (groups * each);
        calls.push({ promptTokens: prompt, lengths, capacity, times });
        open *= replaced;
      }
      return calls;
    });
    return { ...NOTHING, rollouts };
  });
  const { name, model } = otherModel(context, rollout.model);
  const most = Math.min(atOnce, own * samples);
  const promptLength = Math.max(1, Math.round(prompt));
  const generationKey = pieces.need({
    kind: 'generation',
    key: `${name}decode ${most} after ${promptLength}, ${samples} a prompt`,
    ...(model ? { model } : {}),
    prompts: own,
    samples,
    capacity,
    promptTokens: promptLength,
    completionTokens: Math.max(1, Math.round(meanOf(completionTokens.mean) / 2)),
    // A stage of one step decodes for as long as its batch is full many times over.
    steps: work.steps * (work.steps === 1 ? 1 + capacity / 16 : 1),
  });
  const { local } = noPart(work.steps);
  return {
    ...noPart(work.steps),
    local: { ...local, problems: own, grades: own * samples, ...scenarios },
    generationKey,
    secondsPerProblem: seconds.problem,
    secondsPerGrade: seconds.grade,
  };
}
