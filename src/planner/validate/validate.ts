/**
 * @file The planner against a table of published measurements.
 *
 * A table is one of training (`measured_metric`, `measured_value`) or of serving (`metric`,
 * `value`). Each kind has a predictor, which sees a row without its measured value: it cannot read
 * what it predicts.
 */
import { UserError } from '../../base/errors.js';
import { predictServingRow } from '../serving/rows.js';
import { parseCsv, type Row } from './csv.js';
import { type Group, groupsOf, type Labels, type Prediction } from './report.js';
import { predictTrainingRow } from './training.js';

export interface ValidationReport {
  rows: number;
  predicted: number;
  skipped: { row: number; reason: string }[];
  groups: Group[];
  predictions: Prediction[];
}

export interface RowPrediction {
  /** In the row's own unit, with its 90% interval. */
  predicted: number;
  low: number;
  high: number;
  family: string;
  gpu: string;
}

interface Kind {
  name: 'training' | 'serving';
  metric: string;
  value: string;
  predict: (row: Row) => RowPrediction | { skipped: string };
}

const KINDS: readonly Kind[] = [
  {
    name: 'training',
    metric: 'measured_metric',
    value: 'measured_value',
    predict: (row) => predictTrainingRow(row),
  },
  { name: 'serving', metric: 'metric', value: 'value', predict: (row) => predictServingRow(row) },
];

/**
 * @param text a CSV with the columns of one kind
 * @param name how messages call it
 * @throws UserError when the table is of neither kind or is no CSV
 */
export function validate(text: string, name = 'rows'): ValidationReport {
  const { columns, rows } = parseCsv(text, name);
  const kind = KINDS.find(
    ({ metric, value }) =>
      columns.includes(metric) && columns.includes(value) && columns.includes('gpu'),
  );
  if (kind === undefined) {
    throw new UserError(
      'data',
      `${name}: the header names neither a training table (gpu, measured_metric, measured_value, unit, …) nor a serving one (gpu, metric, value, unit, …)`,
      name,
    );
  }
  const skipped: ValidationReport['skipped'] = [];
  const found: (Prediction & Labels)[] = [];
  for (const [index, whole] of rows.entries()) {
    const { [kind.value]: text, ...row } = whole;
    const measured = Number(text);
    const prediction = kind.predict(row);
    if ('skipped' in prediction) skipped.push({ row: index + 1, reason: prediction.skipped });
    else if (text === '' || !Number.isFinite(measured) || measured <= 0) {
      skipped.push({
        row: index + 1,
        reason: `${kind.value} is ${JSON.stringify(text)}, not a positive number`,
      });
    } else {
      const { predicted, low, high, family, gpu } = prediction;
      found.push({
        row: index + 1,
        metric: row[kind.metric],
        measured,
        predicted,
        low,
        high,
        family,
        gpu,
        source: row.source ?? '',
      });
    }
  }
  return {
    rows: rows.length,
    predicted: found.length,
    skipped,
    groups: groupsOf(found),
    predictions: found.map(({ row, metric, measured, predicted, low, high }) => ({
      row,
      metric,
      measured,
      predicted,
      low,
      high,
    })),
  };
}
