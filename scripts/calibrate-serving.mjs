#!/usr/bin/env node
/**
 * Fits the serving planner's parameters to a table of published measurements, and says how well it
 * predicts sources that it was not fitted to:
 *
 *     npm run build && node scripts/calibrate-serving.mjs measurements.csv… [--fit] [--leave-out]
 *
 * Without an option: the errors of the shipped calibration. `--fit` prints new parameters.
 * `--leave-out` refits without each source in turn, and within a source of 50 rows or more without
 * each model × accelerator, and predicts what was left out.
 *
 * The fit: coordinate search on logarithms. The loss of a row is log(1 + (e / 0.3)²), e the
 * logarithm of measured over predicted, so that a row whose definition was misread has little pull;
 * a source of n configurations weighs √n; each parameter is held near what is known of it apart
 * from these rows (`PRIORS`: value, relative spread, bounds). Early software and models outside an
 * engine's tuned path are predicted but not fitted to; a second row of one configuration (1000/1000
 * beside 1024/1024) does not count.
 */
import { readFileSync } from 'node:fs';
import { SERVING_CALIBRATION } from '../dist/planner/serving/calibration.js';
import { predictServingRow } from '../dist/planner/serving/rows.js';
import { parseCsv } from '../dist/planner/validate/csv.js';

/** [value, relative spread, lowest, highest]. Not listed: what these rows cannot tell. */
const PRIORS = {
  bandwidthFraction: [0.8, 0.03, 0.4, 0.95],
  computeFraction: [0.75, 0.2, 0.3, 1],
  fourBitFraction: [0.55, 0.3, 0.2, 1],
  expertHalfWidth: [1000, 0.7, 50, 20_000],
  wideningFraction: [0.6, 0.4, 0.2, 1],
  attentionFraction: [0.6, 0.15, 0.2, 1],
  activationPasses: [1, 0.4, 0.2, 4],
  layerSeconds: [30e-6, 0.5, 5e-6, 200e-6],
  expertLayerSeconds: [40e-6, 0.6, 5e-6, 300e-6],
  stepSeconds: [1e-3, 0.7, 1e-4, 1e-2],
  sequenceSeconds: [4e-6, 0.7, 5e-7, 3e-5],
  collectiveSeconds: [12e-6, 0.5, 3e-6, 50e-6],
  networkSeconds: [60e-6, 0.6, 1e-5, 3e-4],
  copyImbalance: [0.2, 0.5, 0.02, 0.6],
  schedulingEfficiency: [0.85, 0.1, 0.4, 1],
  reservedShare: [0.75, 0.3, 0.5, 1],
};
const KEYS = Object.keys(PRIORS);
const PRIOR_WEIGHT = 3e-4;

const options = process.argv.slice(2).filter((argument) => argument.startsWith('--'));
const files = process.argv.slice(2).filter((argument) => !argument.startsWith('--'));
if (files.length === 0) {
  console.error(
    'usage: node scripts/calibrate-serving.mjs measurements.csv… [--fit] [--leave-out]',
  );
  process.exit(2);
}

const lengths = (row) =>
  [row.isl, row.osl].map((n) => (n === '' ? '' : Math.round(Number(n) / 128))).join('/');
const configuration = (row) =>
  [
    row.source,
    row.model,
    row.gpu,
    row.n_gpus,
    row.precision,
    row.parallelism,
    lengths(row),
    row.concurrency,
    row.phase,
    row.metric,
  ].join();
const seen = new Set();
const all = files.flatMap((file) => parseCsv(readFileSync(file, 'utf8'), file).rows);
const rows = all.filter((row) => {
  if (
    !(Number(row.value) > 0) ||
    'skipped' in predictServingRow(row) ||
    seen.has(configuration(row))
  )
    return false;
  seen.add(configuration(row));
  return true;
});
const early = (row) =>
  /untuned|early release|preview|nightly/i.test(row.note) || /vision|multimodal/i.test(row.model);
const searched = (row) => /@/.test(row.phase);
const fitted = rows.filter((row) => !early(row) && !searched(row));

function errorOf(row, calibration) {
  const prediction = predictServingRow(row, calibration);
  return 'skipped' in prediction ? 2 : Math.log(Number(row.value) / prediction.predicted);
}

function lossOf(set, calibration) {
  const counts = new Map();
  for (const { source } of set) counts.set(source, (counts.get(source) ?? 0) + 1);
  let [sum, weights] = [0, 0];
  for (const row of set) {
    const weight = counts.get(row.source) ** -0.5;
    sum += weight * 0.045 * Math.log(1 + (errorOf(row, calibration) / 0.3) ** 2);
    weights += weight;
  }
  let distance = 0;
  for (const key of KEYS)
    distance += (Math.log(calibration[key] / PRIORS[key][0]) / PRIORS[key][1]) ** 2;
  return sum / weights + PRIOR_WEIGHT * distance;
}

function calibrationFrom(set, rounds) {
  let calibration = { ...SERVING_CALIBRATION };
  for (const key of KEYS) calibration[key] = PRIORS[key][0];
  let best = lossOf(set, calibration);
  const steps = Object.fromEntries(KEYS.map((key) => [key, 0.2]));
  for (let round = 0; round < rounds; round++) {
    for (const key of KEYS) {
      const [, , lowest, highest] = PRIORS[key];
      let better = false;
      for (const sign of [1, -1]) {
        const trial = {
          ...calibration,
          [key]: Math.min(
            highest,
            Math.max(lowest, calibration[key] * Math.exp(sign * steps[key])),
          ),
        };
        const loss = lossOf(set, trial);
        if (loss >= best) continue;
        [best, calibration, better] = [loss, trial, true];
        break;
      }
      steps[key] = better ? steps[key] * 1.5 : Math.max(0.01, steps[key] * 0.6);
    }
  }
  return calibration;
}

const middle = (values, share = 0.5) =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(share * values.length))];
const percent = (fraction) => `${(100 * fraction).toFixed(0)}%`;

function report(title, results) {
  const line = (name, list) => {
    const relative = list.map(
      ({ row, prediction }) => prediction.predicted / Number(row.value) - 1,
    );
    const covered = list.filter(
      ({ row, prediction }) =>
        prediction.low <= Number(row.value) && Number(row.value) <= prediction.high,
    );
    const cells = [
      list.length,
      percent(middle(relative.map(Math.abs))),
      percent(middle(relative.map(Math.abs), 0.9)),
      percent(middle(relative)),
      percent(covered.length / list.length),
      middle(list.map(({ prediction }) => prediction.high / prediction.low)).toFixed(1),
    ];
    console.log(`| ${name} | ${cells.join(' | ')} |`);
  };
  const bySource = Map.groupBy
    ? Map.groupBy(results, (r) => r.row.source)
    : groupBy(results, (r) => r.row.source);
  console.log(
    `\n${title}\n\n| | n | median error | 90th pct | bias | in interval | high/low |\n|---|---:|---:|---:|---:|---:|---:|`,
  );
  for (const family of ['dense', 'moe']) {
    const list = results.filter(({ prediction }) => prediction.family === family);
    if (list.length > 0) line(family, list);
  }
  for (const [source, list] of bySource) line(source, list);
  const medians = [...bySource.values()].map((list) =>
    middle(
      list.map(({ row, prediction }) => Math.abs(prediction.predicted / Number(row.value) - 1)),
    ),
  );
  line('all rows', results);
  console.log(
    `\nMedian error, sources weighing the same: mean ${percent(medians.reduce((a, b) => a + b, 0) / medians.length)}, median ${percent(middle(medians))}.`,
  );
}

function groupBy(list, keyOf) {
  const groups = new Map();
  for (const item of list) groups.set(keyOf(item), [...(groups.get(keyOf(item)) ?? []), item]);
  return groups;
}

const predicted = (list, calibration) =>
  list
    .map((row) => ({ row, prediction: predictServingRow(row, calibration) }))
    .filter(({ prediction }) => !('skipped' in prediction));

report('Shipped calibration', predicted(rows, SERVING_CALIBRATION));

if (options.includes('--fit')) {
  const calibration = calibrationFrom(fitted, 60);
  console.log('\nFitted:');
  for (const key of KEYS) console.log(`  ${key}: ${Number(calibration[key].toPrecision(2))},`);
  report('Fitted calibration', predicted(rows, calibration));
}

if (options.includes('--leave-out')) {
  const bySource = groupBy(rows, (row) => row.source);
  const results = [...bySource].flatMap(([source, list]) =>
    predicted(
      list,
      calibrationFrom(
        fitted.filter((row) => row.source !== source),
        15,
      ),
    ),
  );
  report('Each source predicted by a fit without it', results);
  for (const [source, list] of bySource) {
    if (list.length < 50) continue;
    const groups = groupBy(list, (row) => `${row.model} × ${row.gpu}`);
    const within = [...groups.values()].flatMap((group) => {
      const rest = fitted.filter((row) => !group.includes(row));
      return predicted(group, calibrationFrom(rest, 6));
    });
    report(`Within "${source}": each model × accelerator predicted by a fit without it`, within);
  }
}
