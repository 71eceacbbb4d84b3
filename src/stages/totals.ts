/**
 * @file Tokens and model FLOPs of a stage's work, by the formulas that training reports by: so a
 * plan and a measurement of the same work are the same numbers.
 */
import {
  type Architecture,
  forwardFlops,
  type SequencePart,
  trainingFlops,
} from '../architecture/index.js';
import {
  at,
  type ModelRole,
  meanOf,
  middleOf,
  type Pass,
  promptsOf,
  type Rollout,
  type Scenario,
  type Score,
  type Sequences,
  type Work,
} from './work.js';

/** The models that the work is of. */
export interface WorkModels {
  architectures: Partial<Record<ModelRole, Architecture>>;
  /** Parameters of the adapter, where one is trained. */
  adapterParameters?: number;
}

/** Of all steps and ranks. */
export interface Totals {
  /** Read: prompts of rollouts, and inputs of training passes. */
  tokensIn: number;
  tokensOut: number;
  modelFlops: number;
  /** Prompts and completions of rollouts. */
  prompts: number;
  completions: number;
  /** Sequences that were trained on. */
  sequences: number;
  updates: number;
}

export const noTotals = (): Totals => ({
  tokensIn: 0,
  tokensOut: 0,
  modelFlops: 0,
  prompts: 0,
  completions: 0,
  sequences: 0,
  updates: 0,
});

/** Adds `more`, `times` over, to `totals`. */
export function addTotals(totals: Totals, more: Totals, times = 1): Totals {
  for (const key of Object.keys(totals) as (keyof Totals)[]) totals[key] += times * more[key];
  return totals;
}

/** A course has as many different steps as the longest of its lists. */
export function partsOf(work: Work): number {
  const courses = [
    ...work.rollouts.flatMap((rollout) => [rollout.completionTokens.each, rollout.replaced]),
    ...[...work.scores, ...work.passes].flatMap((one) => [
      one.completionTokens.each,
      one.sequences,
    ]),
  ];
  return Math.max(1, ...courses.map(({ expected }) => expected.length));
}

/** Totals of all steps of a stage's works. */
export function totalsOf(
  works: readonly Work[],
  models: WorkModels,
  scenario: Scenario = 'expected',
): Totals {
  const totals = noTotals();
  for (const work of works) {
    const parts = partsOf(work);
    for (let part = 0; part < parts; part++)
      addTotals(
        totals,
        stepTotals(work, models, scenario, middleOf(part, parts)),
        work.steps / parts,
      );
  }
  return totals;
}

/** Totals of the step at `share` of the work's steps. */
export function stepTotals(
  { rollouts, scores, passes }: Work,
  models: WorkModels,
  scenario: Scenario,
  share: number,
): Totals {
  const totals = noTotals();
  for (const rollout of rollouts)
    addTotals(totals, rolloutTotals(rollout, models, scenario, share));
  for (const score of scores) totals.modelFlops += scoreFlops(score, models, scenario, share);
  for (const pass of passes) addTotals(totals, passTotals(pass, models, scenario, share));
  return totals;
}

function architectureFor({ architectures }: WorkModels, role: ModelRole): Architecture {
  const found = architectures[role];
  if (found === undefined) throw new Error(`the work is of a ${role} model that is not given`);
  return found;
}

function rolloutTotals(
  rollout: Rollout,
  models: WorkModels,
  scenario: Scenario,
  share: number,
): Totals {
  const { samples, promptTokens, completionTokens, replaced } = rollout;
  const architecture = architectureFor(models, rollout.model);
  const prompts = promptsOf(rollout, at(replaced[scenario], share));
  const lengths = at(completionTokens.each[scenario], share);
  const prompt = meanOf(promptTokens);
  // Of a group: the prompt once, and each completion after it.
  const group = meanOf(promptTokens, (p) =>
    forwardFlops(architecture, { tokens: p, headTokens: samples }),
  );
  const each = meanOf(lengths, (n) => forwardFlops(architecture, { tokens: n - 1, past: prompt }));
  return {
    ...noTotals(),
    tokensIn: prompts * prompt,
    tokensOut: prompts * samples * meanOf(lengths),
    modelFlops: prompts * (group + samples * each),
    prompts,
    completions: prompts * samples,
  };
}

/** Mean over the sequences of a pass of a function of prompt and completion. */
function perSequence(
  { promptTokens, completionTokens }: Sequences,
  scenario: Scenario,
  share: number,
  of: (prompt: number, completion: number) => number,
): number {
  const prompt = meanOf(promptTokens);
  return meanOf(at(completionTokens.each[scenario], share), (n) => of(prompt, n));
}

/** A sequence of a pass as the formulas take it: its last token is only predicted. */
export function partOf(
  { predicts, further }: Pick<Pass, 'predicts' | 'further'>,
  prompt: number,
  completion: number,
): SequencePart {
  const tokens = prompt + completion - 1;
  const headTokens = predicts === 'all' ? tokens : completion;
  const first = prompt + completion - headTokens;
  return {
    tokens,
    headTokens,
    ...(further ? { furtherTokens: prompt + completion - Math.max(2, first) } : {}),
  };
}

function passTotals(pass: Pass, models: WorkModels, scenario: Scenario, share: number): Totals {
  const architecture = architectureFor(models, pass.model);
  const sequences = at(pass.sequences[scenario], share);
  const adapter = pass.trains === 'adapter' ? models.adapterParameters : undefined;
  const mean = (of: (prompt: number, completion: number) => number): number =>
    perSequence(pass, scenario, share, of);
  return {
    ...noTotals(),
    tokensIn: sequences * mean((prompt, n) => prompt + n - 1),
    modelFlops:
      sequences * mean((p, n) => trainingFlops(architecture, partOf(pass, p, n), adapter)),
    sequences,
    updates: pass.updates,
  };
}

function scoreFlops(score: Score, models: WorkModels, scenario: Scenario, share: number): number {
  const architecture = architectureFor(models, score.model);
  const part = { predicts: 'completion', further: false } as const;
  const each = perSequence(score, scenario, share, (p, n) =>
    forwardFlops(architecture, partOf(part, p, n)),
  );
  return at(score.sequences[scenario], share) * each;
}
