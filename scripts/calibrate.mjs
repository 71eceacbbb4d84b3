// Fits the planner's achieved fractions to published training measurements, cross-validates them,
// and prints what to put into src/planner/calibration.ts and docs/benchmarks.md (build first).
//
//   node scripts/calibrate.mjs ROWS.csv            the fit and the cross-validated errors, as Markdown
//   node scripts/calibrate.mjs ROWS.csv --write    and writes the fit into src/planner/calibration.ts
//
// The method: every speed, utilisation and step time of a row is a step time. A configuration
// counts once however often it was measured. Sources weigh as the square root of their
// configurations, so that one long table does not drown the others. Robust (Huber) Gauss-Newton on
// the logarithm of each parameter, with a prior that holds those that the data do not tell.
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { CALIBRATION, intervalFactor, PRIOR } from '../dist/planner/calibration.js';
import { acceleratorOf } from '../dist/planner/hardware.js';
import { stepTime } from '../dist/planner/step-time.js';
import { parseCsv } from '../dist/planner/validate/csv.js';
import { settingOf } from '../dist/planner/validate/setting.js';
import { fastest, predictTrainingRow } from '../dist/planner/validate/training.js';

const NAMES = Object.keys(PRIOR);
/**
 * Reported by people who did not measure them, or of runs of months: they check the fit, but do not
 * make it.
 */
const CONTEXT = /recalled|unverified|from memory|Epoch AI|\+\/-40% noise|run-to-run spread/i;
const RUN = /gpu_hours|^days$|energy|wall_hours|time_to_train/;
const HUBER = 0.25;

/** Rows that say how long a step took, each with that time and its configuration. */
export function observations(rows) {
  const found = [];
  for (const [index, row] of rows.entries()) {
    if (RUN.test(row.measured_metric) || /memory|fits/.test(row.measured_metric)) continue;
    const measured = Number(row.measured_value);
    const prediction = predictTrainingRow(row);
    if ('skipped' in prediction || !(measured > 0)) continue;
    const setting = settingOf(row);
    const { time, layout } = fastest(setting, CALIBRATION);
    const slower = /step_time|days_for/.test(row.measured_metric);
    const target =
      time.step * (slower ? measured / prediction.predicted : prediction.predicted / measured);
    const { source, measured_metric, measured_value, unit, note, ...configuration } = row;
    const label = /lora|sft|fsdp|compile|asynctp|interleaved|1f1b/gi;
    found.push({
      index,
      row,
      setting,
      layout,
      target: Math.log(target),
      family: prediction.family === 'dense' ? 'dense' : 'moe',
      assumed: prediction.assumed.length,
      factor: intervalFactor('speed', prediction.family, prediction.assumed.length),
      source,
      gpu: acceleratorOf(row.gpu).id,
      model: setting.architecture.name,
      configuration: `${JSON.stringify(configuration)} ${(note.match(label) ?? []).join(' ')}`,
      context: CONTEXT.test(source) || CONTEXT.test(note),
    });
  }
  // One configuration, one weight; a source weighs as the square root of its configurations.
  const times = countBy(found, ({ source, configuration }) => `${source} ${configuration}`);
  const perSource = new Map();
  for (const { source, configuration } of new Map(
    found.map((one) => [`${one.source} ${one.configuration}`, one]),
  ).values()) {
    void configuration;
    perSource.set(source, (perSource.get(source) ?? 0) + 1);
  }
  for (const one of found) {
    one.once = 1 / times.get(`${one.source} ${one.configuration}`);
    one.weight = one.once / Math.sqrt(perSource.get(one.source));
    one.sourceWeight = one.once / perSource.get(one.source);
  }
  return found;
}

function countBy(list, key) {
  const counts = new Map();
  for (const one of list) counts.set(key(one), (counts.get(key(one)) ?? 0) + 1);
  return counts;
}

const residual = (one, calibration) =>
  Math.log(stepTime(one.setting.work, one.setting.accelerator, one.layout, calibration).step) -
  one.target;

/** @returns the calibration that fits these observations best, starting from another */
export function fitted(list, start = CALIBRATION, rounds = 12) {
  let calibration = { ...start };
  const used = list.filter(({ context }) => !context);
  const cost = (candidate) => {
    let sum = 0;
    for (const one of used) {
      const r = Math.abs(residual(one, candidate));
      sum += one.weight * (r < HUBER ? r * r : 2 * HUBER * r - HUBER * HUBER);
    }
    for (const name of NAMES)
      sum += SCALE * (Math.log(candidate[name] / PRIOR[name].value) / PRIOR[name].deviation) ** 2;
    return sum;
  };
  let damping = 1e-3;
  let best = cost(calibration);
  for (let round = 0; round < rounds; round++) {
    const n = NAMES.length;
    const hessian = Array.from({ length: n }, () => new Float64Array(n));
    const gradient = new Float64Array(n);
    const steps = NAMES.map((name) => ({ ...calibration, [name]: calibration[name] * 1.01 }));
    for (const one of used) {
      const r = residual(one, calibration);
      const weight = one.weight * Math.min(1, HUBER / Math.max(1e-9, Math.abs(r)));
      const slope = steps.map((step) => (residual(one, step) - r) / Math.log(1.01));
      for (let i = 0; i < n; i++) {
        gradient[i] += weight * slope[i] * r;
        for (let j = 0; j < n; j++) hessian[i][j] += weight * slope[i] * slope[j];
      }
    }
    NAMES.forEach((name, i) => {
      const precision = SCALE / PRIOR[name].deviation ** 2;
      gradient[i] += precision * Math.log(calibration[name] / PRIOR[name].value);
      hessian[i][i] += precision;
    });
    let improved = false;
    for (let attempt = 0; attempt < 6 && !improved; attempt++) {
      const step = solve(
        hessian.map((line, i) => line.map((value, j) => (i === j ? value * (1 + damping) : value))),
        gradient,
      );
      const candidate = { ...calibration };
      NAMES.forEach((name, i) => {
        const value = calibration[name] * Math.exp(-Math.max(-0.5, Math.min(0.5, step[i])));
        candidate[name] = Math.min(PRIOR[name].most ?? Infinity, value);
      });
      const candidateCost = cost(candidate);
      if (candidateCost < best) {
        improved = true;
        damping /= 4;
        const done = best - candidateCost < 1e-5 * best;
        best = candidateCost;
        calibration = candidate;
        if (done) round = rounds;
      } else damping *= 8;
    }
    if (!improved) break;
  }
  return calibration;
}

/** What one configuration of spread 1 weighs against the prior. */
const SCALE = 0.02;

function solve(matrix, vector) {
  const n = vector.length;
  const a = matrix.map((line, i) => [...line, vector[i]]);
  for (let i = 0; i < n; i++) {
    let pivot = i;
    for (let k = i + 1; k < n; k++) if (Math.abs(a[k][i]) > Math.abs(a[pivot][i])) pivot = k;
    [a[i], a[pivot]] = [a[pivot], a[i]];
    for (let k = i + 1; k < n; k++) {
      const factor = a[k][i] / a[i][i];
      for (let j = i; j <= n; j++) a[k][j] -= factor * a[i][j];
    }
  }
  const x = new Float64Array(n);
  for (let i = n - 1; i >= 0; i--) {
    let sum = a[i][n];
    for (let j = i + 1; j < n; j++) sum -= a[i][j] * x[j];
    x[i] = sum / a[i][i];
  }
  return x;
}

/**
 * Each configuration's residual under a fit that has not seen its source (dense) or its model and
 * accelerator (experts).
 */
export function crossValidate(list, whole) {
  const fold = (one) =>
    one.family === 'dense' ? `dense: ${one.source}` : `moe: ${one.model} on ${one.gpu}`;
  const folds = [...new Set(list.map(fold))];
  for (const name of folds) {
    const calibration = fitted(
      list.filter((one) => fold(one) !== name),
      whole,
      4,
    );
    for (const one of list) if (fold(one) === name) one.held = residual(one, calibration);
  }
  return folds.length;
}

export function quantile(values, weights, share) {
  const order = values.map((value, i) => [value, weights[i]]).sort((a, b) => a[0] - b[0]);
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  let sum = 0;
  for (const [value, weight] of order) {
    sum += weight;
    if (sum >= share * total) return value;
  }
  return order.at(-1)?.[0] ?? Number.NaN;
}

const percent = (value) => `${(100 * value).toFixed(1)}%`;
const error = (logarithm) => Math.abs(Math.expm1(-logarithm));

const covered = (chosen) =>
  chosen.reduce(
    (sum, { held, factor, once }) => sum + (Math.abs(held) <= Math.log(factor) ? once : 0),
    0,
  ) / chosen.reduce((sum, { once }) => sum + once, 0);

function table(groups) {
  const lines = [
    '| | configurations | median error | by source | 90th percentile | bias | in the 90% interval | high / low |',
    '|---|---:|---:|---:|---:|---:|---:|---:|',
  ];
  for (const [name, chosen] of groups) {
    if (chosen.length === 0) continue;
    const errors = chosen.map((one) => error(one.held));
    const once = chosen.map((one) => one.once);
    const bySource = chosen.map((one) => one.sourceWeight);
    const bias = quantile(
      chosen.map((one) => -one.held),
      once,
      0.5,
    );
    lines.push(
      `| ${name} | ${Math.round(once.reduce((a, b) => a + b, 0))} | ${percent(quantile(errors, once, 0.5))} | ${percent(quantile(errors, bySource, 0.5))} | ${percent(quantile(errors, once, 0.9))} | ${bias > 0 ? '+' : ''}${percent(Math.expm1(bias))} | ${percent(covered(chosen))} | ${quantile(
        chosen.map(({ factor }) => factor ** 2),
        once,
        0.5,
      ).toFixed(2)} |`,
    );
  }
  return lines.join('\n');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [file, flag] = process.argv.slice(2);
  const { rows } = parseCsv(readFileSync(file, 'utf8'), file);
  const list = observations(rows);
  const whole = fitted(list);
  const folds = crossValidate(list, whole);
  console.log(
    JSON.stringify(
      Object.fromEntries(NAMES.map((name) => [name, Number(whole[name].toPrecision(3))])),
    ),
  );
  const measured = list.filter(({ context }) => !context);
  const dense = measured.filter(({ family }) => family === 'dense');
  const moe = measured.filter(({ family }) => family === 'moe');
  const sources = [...new Set(measured.map(({ source }) => source))];
  console.log(`${folds} folds\n`);
  console.log(
    table([
      ['dense, layout given', dense.filter(({ row }) => row.dp !== '')],
      ['dense, layout searched', dense.filter(({ row }) => row.dp === '')],
      ['dense', dense],
      ['mixture of experts', moe],
      ...sources.map((source) => [source, measured.filter((one) => one.source === source)]),
    ]),
  );
  if (flag === '--models') {
    const names = [...new Set(moe.map(({ model, gpu }) => `${model} on ${gpu}`))].sort();
    console.log(
      table(
        names.map((name) => [name, moe.filter((one) => `${one.model} on ${one.gpu}` === name)]),
      ),
    );
    const gpus = [...new Set(dense.map(({ gpu, row }) => `${gpu} ${row.precision}`))].sort();
    console.log(
      table(
        gpus.map((name) => [
          name,
          dense.filter((one) => `${one.gpu} ${one.row.precision}` === name),
        ]),
      ),
    );
  }
  if (flag === '--write') {
    const path = fileURLToPath(new URL('../src/planner/calibration.ts', import.meta.url));
    let text = readFileSync(path, 'utf8');
    for (const name of NAMES) {
      text = text.replace(
        new RegExp(`(CALIBRATION: Calibration = \\{[^}]*?\\b${name}: )[-0-9.e]+`),
        `$1${Number(whole[name].toPrecision(3))}`,
      );
    }
    writeFileSync(path, text);
  }
}
