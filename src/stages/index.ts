/**
 * @file The table of stage kinds, and the schema of a recipe's stage, which is derived from it.
 */
import { z } from 'zod';
import { distill } from './distill/index.js';
import { evaluation } from './eval/index.js';
import { COUNTS_ONLY } from './facts.js';
import { grpo } from './grpo/index.js';
import { type Spec, type StageFields, type StageKind, stageFields } from './kind.js';
import { pretrain } from './pretrain/index.js';
import { rejectionSample } from './rejection-sample/index.js';
import { sft } from './sft/index.js';
import type { Stage, StageContext } from './stage.js';

export type { StageFields, StageKind } from './kind.js';

const kinds = {
  pretrain,
  sft,
  grpo,
  'rejection-sample': rejectionSample,
  distill,
  eval: evaluation,
};

type Kinds = typeof kinds;
/**
 * The kinds by name, for types. A program that adds a kind to `stageKinds` declares it here, too:
 * `declare module '…/stages/index.js' { interface StageKinds { mine: StageKind<MyOptions> } }`.
 */
export interface StageKinds extends Kinds {}

type OptionsOf<Kind> = Kind extends StageKind<infer Options> ? Options : never;
/** A stage of a recipe: the options of its kind, and the fields that every stage has. */
export type StageSpec = {
  [Name in keyof StageKinds]: Omit<Spec<OptionsOf<StageKinds[Name]>>, 'kind'> & { kind: Name };
}[keyof StageKinds];

/** Every kind by its name. */
export const stageKinds: Record<string, StageKind> = kinds;

let union: { names: string; schema: z.ZodType<StageSpec> } | null = null;

/** The schema of a stage: one of the table's kinds, told apart by `kind`. */
export function stageSchema(): z.ZodType<StageSpec> {
  const names = Object.keys(stageKinds).join();
  if (union?.names === names) return union.schema;
  const schemas = Object.values(stageKinds).map(({ kind, schema, resolve }) => {
    const whole = schema.extend({ ...stageFields, kind: z.literal(kind) });
    return resolve ? whole.transform((options) => resolve(options as never)) : whole;
  });
  const schema = z.discriminatedUnion('kind', schemas as never) as unknown as z.ZodType<StageSpec>;
  union = { names, schema };
  return schema;
}

/** The object of a stage's kind. */
export function kindOf({ kind }: Pick<StageFields, 'kind'>): StageKind {
  const found = stageKinds[kind];
  if (found === undefined) throw new Error(`no stage kind ${kind}`);
  return found;
}

/** True for a stage that changes weights; its model is kept in the run. */
export const trains = (spec: Pick<StageFields, 'kind'>): boolean => kindOf(spec).trains;

/** Steps of a stage, all phases together. */
export const stepsOf = (spec: StageFields): number => kindOf(spec).steps(spec);

/** The same of a stage as a file gives it; null where it is no stage of a kind that is known. */
export function stepsIn(stage: unknown): number | null {
  const { data } = stageSchema().safeParse(stage);
  return data === undefined ? null : stepsOf(data);
}

/** The id of the last stage before number `i` that trained; null where there is none. */
export const lastTrained = (stages: readonly StageFields[], i: number): string | null =>
  stages.slice(0, i).findLast(trains)?.id ?? null;

/** Whose samples stage `i` imitates; null for kinds that imitate no other model. */
export const teacherOf = (stages: readonly StageFields[], i: number): string | null =>
  kindOf(stages[i]).teacher?.(stages[i], lastTrained(stages, i)) ?? null;

/** What a display of progress counts beside steps. */
export function countsOf(spec: StageFields): { completions: number; preparingSteps: number } {
  const works = kindOf(spec).work(spec, COUNTS_ONLY);
  const rollouts = works.flatMap((work) => work.rollouts);
  return {
    completions: rollouts.reduce((sum, { prompts, samples }) => sum + prompts * samples, 0),
    preparingSteps: works.slice(0, -1).reduce((sum, { steps }) => sum + steps, 0),
  };
}

/** Makes stage number `i` of a recipe's. All ranks call it together. */
export const createStage = (
  context: Omit<StageContext, 'teacher'>,
  stages: readonly StageFields[],
  i: number,
): Promise<Stage> =>
  kindOf(stages[i]).create({ ...context, teacher: teacherOf(stages, i) }, stages[i]);
