/**
 * @file How much training the MLPerf benchmarks take to reach their target quality: medians of the
 * reference convergence points that MLCommons publishes (github.com/mlcommons/logging,
 * mlperf_logging/rcp_checker, training 4.1, 5.0 and 5.1).
 */

export interface ConvergenceRow {
  /** As in the catalogue of models. */
  model: string;
  training: 'full' | 'adapters';
  /** Sequences a step, and the sequences that it took, in rising order of the first. */
  points: readonly (readonly [batch: number, sequences: number])[];
  source: string;
}

const RCP = 'MLCommons logging repository, mlperf_logging/rcp_checker';

export const CONVERGENCE: readonly ConvergenceRow[] = [
  {
    model: 'GPT-3 175B',
    training: 'full',
    // Published in tokens; sequences of 2,048.
    points: [
      [1536, 577536],
      [2048, 577536],
      [3072, 589824],
      [4096, 614400],
      [6144, 688128],
      [8192, 786432],
    ],
    source: `${RCP}/training_4.1.0/rcps_gpt3.json`,
  },
  {
    model: 'Llama 2 70B',
    training: 'adapters',
    points: [
      [8, 3072],
      [16, 3840],
      [32, 5952],
      [128, 11136],
    ],
    source: `${RCP}/training_5.0.0/rcps_llama2_70b_lora.json`,
  },
  {
    model: 'Llama 3.1 405B',
    training: 'full',
    points: [
      [1152, 313344],
      [2304, 368640],
      [4608, 497664],
    ],
    source: `${RCP}/training_5.1.0/rcps_llama31_405b.json`,
  },
  {
    model: 'Llama 3 8B',
    training: 'full',
    points: [
      [32, 178176],
      [64, 233472],
      [96, 272448],
      [128, 344064],
    ],
    source: `${RCP}/training_5.1.0/rcps_llama31_8b.json`,
  },
];

/**
 * Sequences to the target at this batch, between and beyond the published points by their power
 * law; undefined without any.
 */
export function sequencesToConverge(
  model: string,
  training: 'full' | 'adapters',
  batch: number,
): number | undefined {
  const points = CONVERGENCE.find(
    (row) => row.model === model && row.training === training,
  )?.points;
  if (points === undefined) return undefined;
  const above = Math.max(
    1,
    Math.min(
      points.length - 1,
      points.findIndex(([size]) => size >= batch),
    ),
  );
  const next = batch > points[points.length - 1][0] ? points.length - 1 : above;
  const [b0, s0] = points[next - 1];
  const [b1, s1] = points[next];
  return s0 * (s1 / s0) ** (Math.log(batch / b0) / Math.log(b1 / b0));
}
