/**
 * @file Tables of the optional sections of a statement: what quality cost (gains), what was done
 * for the money (work), and predicted beside measured.
 */
import {
  formatChange,
  formatDuration,
  formatPoints,
  formatScaled,
  formatShare,
  type Table,
} from '../../base/text/index.js';
import { Decimal, decimalsFor, formatUsd } from '../money.js';
import type { Gain } from '../statement/gain.js';
import type { Sections } from '../statement/statement.js';

export function gainTable({ gains }: Pick<Sections, 'gains'>): Table {
  const amounts = gains.flatMap(({ usdPerCorrectAnswerGained: per }) =>
    per ? [new Decimal(per.headline), new Decimal(per.full)] : [],
  );
  // These may be far below a cent; two digits of the smallest are shown all the same.
  const decimals = decimalsFor(amounts, 12);
  return {
    title: 'Dollars for each further correct answer per 1,000 problems',
    head: ['Task', 'From -> to', 'Accuracy', 'Gain (95%)', 'Headline', 'Full'],
    right: [false, false, true, true, true, true],
    rows: gains.map((gain) => [
      gain.task,
      `${gain.from.label} -> ${gain.to.label}${gain.overall ? ' (overall)' : ''}`,
      `${formatShare(gain.from.accuracy)} -> ${formatShare(gain.to.accuracy)}`,
      gainCell(gain),
      gain.usdPerCorrectAnswerGained
        ? formatUsd(gain.usdPerCorrectAnswerGained.headline, decimals)
        : 'no gain',
      gain.usdPerCorrectAnswerGained
        ? formatUsd(gain.usdPerCorrectAnswerGained.full, decimals)
        : 'no gain',
    ]),
    footer: [],
  };
}

const gainCell = ({ gain, gain95 }: Gain): string =>
  gain95 === null
    ? formatPoints(gain)
    : `${formatPoints(gain)} (${formatPoints(gain95.low)} to ${formatPoints(gain95.high)})`;

export function workTable({ work: done }: Pick<Sections, 'work'>): Table {
  const peak = done.reduce((most, work) => Math.max(most, work.peakMemoryBytes), 0);
  const add = (key: 'wallSeconds' | 'tokensIn' | 'tokensOut' | 'modelFlops' | 'energyJoules') =>
    done.reduce((total, work) => total + work[key], 0);
  const rate = add('wallSeconds') > 0 ? add('modelFlops') / add('wallSeconds') : null;
  const row = (
    name: string,
    purpose: string,
    w: Pick<
      Sections['work'][number],
      'wallSeconds' | 'tokensIn' | 'tokensOut' | 'modelFlops' | 'energyJoules'
    >,
    perSecond: number | null,
    memory: number,
  ) => [
    name,
    purpose,
    formatDuration(w.wallSeconds),
    formatScaled(w.tokensIn),
    formatScaled(w.tokensOut),
    formatScaled(w.modelFlops, 'FLOP'),
    perSecond === null ? '-' : formatScaled(perSecond, 'FLOP/s'),
    formatScaled(w.energyJoules, 'J'),
    formatScaled(memory, 'B'),
  ];
  return {
    title: 'What was done for it (excluding lost work)',
    optional: ['Purpose', 'Tok. in', 'Energy'],
    head: [
      'Stage',
      'Purpose',
      'Time',
      'Tok. in',
      'Tok. out',
      'Model FLOPs',
      'Achieved',
      'Energy',
      'Peak mem.',
    ],
    right: [false, false, true, true, true, true, true, true, true],
    rows: done.map((work) =>
      row(work.stage, work.purpose, work, work.modelFlopsPerSecond, work.peakMemoryBytes),
    ),
    footer:
      done.length < 2
        ? []
        : [
            row(
              'Total',
              '',
              {
                wallSeconds: add('wallSeconds'),
                tokensIn: add('tokensIn'),
                tokensOut: add('tokensOut'),
                modelFlops: add('modelFlops'),
                energyJoules: add('energyJoules'),
              },
              rate,
              peak,
            ),
          ],
  };
}

/** What was planned, what came of it, and how far apart they are. */
export function planTable({ predicted: plan }: Pick<Sections, 'predicted'>): Table {
  const stages = plan?.stages ?? [];
  const total = plan?.total;
  const amounts = stages.flatMap(({ predicted, measured }) => [
    predicted.usd,
    ...(measured ? [measured.usd] : []),
  ]);
  const decimals = decimalsFor(amounts.map((usd) => new Decimal(usd)));
  const row = (
    name: string,
    { predicted, measured, residual }: Omit<(typeof stages)[number], 'stage'>,
  ): string[] => [
    name,
    formatDuration(predicted.seconds),
    `${formatDuration(predicted.secondsLow)} to ${formatDuration(predicted.secondsHigh)}`,
    measured ? formatDuration(measured.seconds) : '-',
    residual === null ? '-' : formatChange(residual),
    formatUsd(predicted.usd, decimals),
    measured ? formatUsd(measured.usd, decimals) : '-',
  ];
  return {
    title: 'Predicted vs. measured (excluding lost work)',
    optional: ['90%', 'USD predicted', 'USD'],
    head: ['Stage', 'Predicted', '90%', 'Measured', 'Residual', 'USD predicted', 'USD'],
    right: [false, true, true, true, true, true, true],
    rows: stages.map((stage) => row(stage.stage, stage)),
    footer: total?.measured ? [row('Total', total)] : [],
  };
}
