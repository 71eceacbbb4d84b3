/**
 * @file How a configuration stretches rotary positions over a longer context than a model was first
 * trained on.
 *
 * `linear` (Chen et al. 2023, arXiv:2306.15595) divides every angle by a factor; `llama3` (Llama
 * 3.1, as transformers' `llama3`) leaves fast angles alone, divides slow ones, and goes from one to
 * the other smoothly; `yarn` (Peng et al. 2023, arXiv:2309.00071) also sharpens the attention. A
 * configuration says it in `rope_scaling`, or in `rope_parameters` (transformers 5).
 */
import { z } from 'zod';
import type { RopeTableOptions } from '../tensor/operations/rope.js';
import { ropeFrequencies } from '../tensor/operations/rope.js';

const positive = z.number().positive();
const positions = z.number().int().positive().nullish();

const schemas = {
  linear: z.looseObject({ factor: positive }),
  llama3: z.looseObject({
    factor: positive,
    low_freq_factor: positive,
    high_freq_factor: positive,
    original_max_position_embeddings: positions,
  }),
  yarn: z.looseObject({
    factor: positive,
    beta_fast: positive.nullish(),
    beta_slow: positive.nullish(),
    attention_factor: positive.nullish(),
    original_max_position_embeddings: positions,
    // A longer form of the above, and a finer one; nobody has published a Llama or Qwen with
    // either.
    mscale: z.null().optional(),
    mscale_all_dim: z.null().optional(),
    truncate: z.literal(true).optional(),
  }),
};

/** The fields of a configuration that are read here. */
interface Rotary {
  max_position_embeddings: number;
  rope_scaling?: unknown;
  rope_parameters?: unknown;
}

export type RopeScalingType = keyof typeof schemas;

/** What the configuration says, and where; null when positions are not scaled. */
function find(
  config: Rotary,
): { path: string; type: unknown; fields: Record<string, unknown> } | null {
  for (const path of ['rope_scaling', 'rope_parameters'] as const) {
    const fields = config[path] as Record<string, unknown> | null | undefined;
    if (!fields) continue;
    const type = fields.rope_type ?? fields.type ?? 'default';
    if (type !== 'default') return { path, type, fields };
  }
  return null;
}

/** What is wrong with a configuration's scaling, or null. */
export function ropeScalingProblem(config: Rotary): { path: string[]; message: string } | null {
  const found = find(config);
  const partial = (config.rope_parameters as { partial_rotary_factor?: unknown } | null | undefined)
    ?.partial_rotary_factor;
  if ((partial ?? 1) !== 1)
    return {
      path: ['rope_parameters', 'partial_rotary_factor'],
      message: `must be 1, is ${partial}`,
    };
  if (!found) return null;
  const { path, type, fields } = found;
  if (typeof type !== 'string' || !Object.hasOwn(schemas, type)) {
    const known = Object.keys(schemas).join(', ');
    return {
      path: [path],
      message: `scales positions by ${JSON.stringify(type)}; ${known} are supported`,
    };
  }
  const parsed = schemas[type as RopeScalingType].safeParse(fields);
  if (parsed.success) return null;
  const [issue] = parsed.error.issues;
  return { path: [path, ...issue.path.map(String)], message: issue.message };
}

/**
 * The type of scaling and its fields, defaults filled in; null without. The configuration has no
 * problem.
 */
export function ropeScalingOf(
  config: Rotary,
): { type: RopeScalingType; fields: Record<string, number> } | null {
  const found = find(config);
  if (!found) return null;
  const type = found.type as RopeScalingType;
  const number = (name: string, fallback: number): number =>
    (found.fields[name] as number | null | undefined) ?? fallback;
  const factor = number('factor', 1);
  if (type === 'linear') return { type, fields: { factor } };
  const original = number('original_max_position_embeddings', config.max_position_embeddings);
  if (type === 'llama3') {
    const [low, high] = [number('low_freq_factor', 1), number('high_freq_factor', 4)];
    return { type, fields: { factor, original, low, high } };
  }
  // Section 3.4: the scores are sharpened by 0.1 · ln(factor) + 1.
  const attention = number('attention_factor', factor <= 1 ? 1 : 0.1 * Math.log(factor) + 1);
  return {
    type,
    fields: {
      factor,
      original,
      betaFast: number('beta_fast', 32),
      betaSlow: number('beta_slow', 1),
      attention,
    },
  };
}

/** What `ropeTable` needs to know. */
export function ropeTableScaling(
  config: Rotary,
  headDim: number,
  theta: number,
): Pick<RopeTableOptions, 'yarn' | 'frequencies'> {
  const scaling = ropeScalingOf(config);
  if (!scaling) return {};
  const { type, fields: f } = scaling;
  if (type === 'yarn') {
    const { factor, betaFast, betaSlow } = f;
    return {
      yarn: {
        factor,
        betaFast,
        betaSlow,
        originalPositions: f.original,
        attentionFactor: f.attention,
      },
    };
  }
  const plain = ropeFrequencies(headDim, theta);
  return { frequencies: plain.map((w) => w / divisorOf(type, f, w)) };
}

/** What an angle per position is divided by. */
export function divisorOf(
  type: 'linear' | 'llama3',
  f: Record<string, number>,
  frequency: number,
): number {
  if (type === 'linear') return f.factor;
  /** How often the pair turns in the original context. */
  const turns = (f.original * frequency) / (2 * Math.PI);
  if (turns < f.low) return f.factor;
  if (turns > f.high) return 1;
  const smooth = (turns - f.low) / (f.high - f.low);
  return 1 / ((1 - smooth) / f.factor + smooth);
}
