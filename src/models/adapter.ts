/**
 * @file LoRA (Hu et al. 2021, arXiv:2106.09685): what is trained is not a weight W but a low-rank
 * matrix beside it.
 *
 * y = W·x + (alpha / rank) · B·(A·x), A [rank, K] drawn at random, B [M, rank] zero, so that
 * training begins at the model as it is. Which weights get one is said by the last part of their
 * Hugging Face names (`q_proj`), as in PEFT; names and shapes of A and B are PEFT's, too. Weights
 * that the model multiplies by in one product (queries, keys and values) have an A and a B each.
 */
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import type { ParameterSpec } from './parameter-spec.js';

/** Every weight matrix that is multiplied by, but for embedding and head: PEFT's word for it. */
export const ALL_LINEAR = 'all-linear';

export const adapterSchema = z.strictObject({
  kind: z.literal('lora'),
  /** Columns of B. */
  rank: z.number().int().positive().max(4096),
  /** What the adapter adds is scaled by alpha / rank. */
  alpha: z.number().positive(),
  /**
   * Last parts of the names of the weights that get one, as `q_proj` or
   * `layers.3.self_attn.q_proj`; or `all-linear`.
   */
  targets: z.union([
    z.literal(ALL_LINEAR),
    z.array(z.string().regex(/^[\w.]+$/, 'must be a name like q_proj')).min(1),
  ]),
});

export type AdapterSpec = z.infer<typeof adapterSchema>;

/** An adapter of one variable: a parameter, or a fused group with its adapted parts. */
export interface AdapterPlan {
  /** Name of the variable of the A matrices. */
  down: string;
  /**
   * Names of the B matrices, and the first row of the part of the variable that each belongs to.
   */
  ups: { name: string; column: number }[];
}

/** `model.layers.0.self_attn.q_proj.weight` → `model.layers.0.self_attn.q_proj`. */
const moduleOf = (name: string): string => name.replace(/\.weight$/, '');

/** What PEFT calls the two matrices of a weight. */
export const adapterNames = (weight: string): { a: string; b: string } => ({
  a: `base_model.model.${moduleOf(weight)}.lora_A.weight`,
  b: `base_model.model.${moduleOf(weight)}.lora_B.weight`,
});

/** The last part of a weight's name, which targets are said by. */
export const targetOf = (weight: string): string => moduleOf(weight).split('.').at(-1) as string;

/** True for what `project` multiplies by and an adapter may stand beside. */
const isProjection = (spec: ParameterSpec): boolean =>
  spec.role === 'matrix' &&
  spec.shape.length === 2 &&
  spec.name.endsWith('.weight') &&
  spec.adaptable !== false;

/** The names that targets may have in a model. */
export function targetsOf(specs: readonly ParameterSpec[]): string[] {
  return [...new Set(specs.filter(isProjection).map(({ name }) => targetOf(name)))];
}

/**
 * The parameters of an adapter, and which variables they belong to.
 * @throws UserError (usage) for a target that the model does not have
 */
export function planAdapter(
  specs: readonly ParameterSpec[],
  { rank, targets }: AdapterSpec,
): { specs: ParameterSpec[]; plans: Map<string, AdapterPlan> } {
  const projections = specs.filter(isProjection).map(({ name }) => moduleOf(name));
  const known = targetsOf(specs);
  const wanted = targets === ALL_LINEAR ? known : targets;
  const fits = (module: string, target: string): boolean =>
    module === target || module.endsWith(`.${target}`);
  const unknown = wanted.find((target) => !projections.some((module) => fits(module, target)));
  if (unknown !== undefined) {
    const message = `adapter.targets: the model has no ${unknown}; choose from ${known.join(', ')}, or "${ALL_LINEAR}"`;
    throw new UserError('usage', message, 'adapter.targets');
  }
  const groups = new Map<string, ParameterSpec[]>();
  for (const spec of specs) {
    const name = spec.fuse ?? spec.name;
    groups.set(name, [...(groups.get(name) ?? []), spec]);
  }
  const out: ParameterSpec[] = [];
  const plans = new Map<string, AdapterPlan>();
  for (const [name, members] of groups) {
    let column = 0;
    const parts: { spec: ParameterSpec; column: number }[] = [];
    for (const spec of members) {
      const chosen =
        isProjection(spec) && wanted.some((target) => fits(moduleOf(spec.name), target));
      if (chosen) parts.push({ spec, column });
      column += spec.shape[0];
    }
    if (parts.length === 0) continue;
    const down = `${name}.lora_A`;
    for (const { spec } of parts) {
      const inputs = spec.shape[1];
      // The variance of PEFT's uniform distribution on ±1/√inputs.
      const init = 1 / Math.sqrt(3 * inputs);
      out.push({
        name: adapterNames(spec.name).a,
        shape: [rank, inputs],
        role: 'adapter',
        init,
        fuse: down,
      });
    }
    for (const { spec } of parts) {
      out.push({
        name: adapterNames(spec.name).b,
        shape: [spec.shape[0], rank],
        role: 'adapter',
        init: 0,
      });
    }
    plans.set(name, {
      down,
      ups: parts.map(({ spec, column: at }) => ({ name: adapterNames(spec.name).b, column: at })),
    });
  }
  return { specs: out, plans };
}
