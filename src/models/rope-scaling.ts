/**
 * @file How a configuration stretches rotary positions over a longer context than a model was first
 * trained on.
 *
 * `linear` (Chen et al. 2023, arXiv:2306.15595) divides every angle by a factor; `llama3` (Llama
 * 3.1, as transformers' `llama3`) leaves fast angles alone, divides slow ones, and goes from one to
 * the other smoothly; `yarn` (Peng et al. 2023, arXiv:2309.00071) also sharpens the attention;
 * `longrope` (Ding et al. 2024, arXiv:2402.13753) has a divisor for each pair. A configuration says
 * it in `rope_scaling`, or in `rope_parameters` (transformers 5), which may hold one for the layers
 * that see everything (`full_attention`) and one for those with a window (`sliding_attention`).
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
  longrope: z.looseObject({
    short_factor: z.array(positive).min(1),
    long_factor: z.array(positive).min(1),
    attention_factor: positive.nullish(),
    original_max_position_embeddings: positions,
  }),
};

/** The fields of a configuration that are read here. */
export interface Rotary {
  max_position_embeddings: number;
  original_max_position_embeddings?: unknown;
  rope_theta: number;
  rope_local_base_freq?: unknown;
  rope_scaling?: unknown;
  rope_parameters?: unknown;
}

/** Layers that see everything, or those with a window where a family tells the two apart. */
export type RopeKind = 'global' | 'local';

const KIND_FIELDS = { global: 'full_attention', local: 'sliding_attention' } as const;

/** The fields that hold for the layers of one kind. */
function fieldsOf(config: Rotary, kind: RopeKind): Rotary {
  const parameters = config.rope_parameters as Record<string, unknown> | null | undefined;
  const own = parameters?.[KIND_FIELDS[kind]];
  const { rope_theta, max_position_embeddings } = config;
  if (typeof own === 'object' && own !== null)
    return { rope_theta, max_position_embeddings, rope_parameters: own };
  if (kind === 'global') return config;
  const local = config.rope_local_base_freq;
  return { max_position_embeddings, rope_theta: typeof local === 'number' ? local : rope_theta };
}

/** The base of the rotary frequencies, wherever the configuration says it. */
export function ropeThetaOf(config: Rotary, kind: RopeKind = 'global'): number {
  const fields = fieldsOf(config, kind);
  const parameters = fields.rope_parameters as { rope_theta?: number } | null | undefined;
  return parameters?.rope_theta ?? fields.rope_theta;
}

export type RopeScalingType = keyof typeof schemas;

/** What the configuration says, and where; null when positions are not scaled. */
function find(
  config: Rotary,
): { path: string; type: unknown; fields: Record<string, unknown> } | null {
  for (const path of ['rope_scaling', 'rope_parameters'] as const) {
    const fields = config[path] as Record<string, unknown> | null | undefined;
    if (!fields) continue;
    const written = fields.rope_type ?? fields.type ?? 'default';
    // The first name of it, in Phi-3's first configurations.
    const type = written === 'su' ? 'longrope' : written;
    if (type !== 'default') return { path, type, fields };
  }
  return null;
}

/** What is wrong with a configuration's scaling, or null. */
export function ropeScalingProblem(config: Rotary): { path: string[]; message: string } | null {
  const found = find(fieldsOf(config, 'global'));
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

export interface RopeScaling {
  type: RopeScalingType;
  fields: Record<string, number>;
  /** `longrope`: of sequences up to `original` tokens, and of longer ones. */
  divisors?: { short: number[]; long: number[] };
}

/**
 * The type of scaling and its fields, defaults filled in; null without. The configuration has no
 * problem.
 */
export function ropeScalingOf(config: Rotary, kind: RopeKind = 'global'): RopeScaling | null {
  const found = find(fieldsOf(config, kind));
  if (!found) return null;
  const type = found.type as RopeScalingType;
  const number = (name: string, fallback: number): number =>
    (found.fields[name] as number | null | undefined) ?? fallback;
  const factor = number('factor', 1);
  if (type === 'linear') return { type, fields: { factor } };
  const original = number(
    'original_max_position_embeddings',
    (config.original_max_position_embeddings as number | undefined) ??
      config.max_position_embeddings,
  );
  if (type === 'longrope') {
    const stretch = config.max_position_embeddings / original;
    const usual = stretch <= 1 ? 1 : Math.sqrt(1 + Math.log(stretch) / Math.log(original));
    const lists = found.fields as { short_factor: number[]; long_factor: number[] };
    return {
      type,
      fields: { original, attention: number('attention_factor', usual) },
      divisors: { short: lists.short_factor, long: lists.long_factor },
    };
  }
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
  kind: RopeKind = 'global',
): Pick<RopeTableOptions, 'yarn' | 'frequencies' | 'scale'> {
  const scaling = ropeScalingOf(config, kind);
  if (!scaling) return {};
  const { type, fields: f, divisors } = scaling;
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
  if (type === 'longrope')
    return {
      frequencies: plain.map((w, i) => w / (divisors?.short[i] ?? 1)),
      scale: f.attention,
    };
  return { frequencies: plain.map((w) => w / divisorOf(type, f, w)) };
}

/**
 * The configuration, for the sequences that its `longrope` was first trained on: those are told
 * apart by length alone, with other angles for a sequence as a whole, and the longer ones are not
 * computed here. The sharpening stays that of the full length.
 */
export function withinLongrope<C extends object>(config: C): C {
  const rotary = config as Record<string, unknown>;
  const path = (['rope_scaling', 'rope_parameters'] as const).find(
    (name) => find({ [name]: rotary[name] } as unknown as Rotary)?.type === 'longrope',
  );
  if (path === undefined || ropeScalingProblem(config as unknown as Rotary) !== null) return config;
  const scaling = ropeScalingOf(config as unknown as Rotary);
  if (!scaling) return config;
  const { original, attention } = scaling.fields;
  if (!(original < (rotary.max_position_embeddings as number))) return config;
  const fields = rotary[path] as object;
  return {
    ...config,
    max_position_embeddings: original,
    [path]: { ...fields, attention_factor: attention },
  };
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
