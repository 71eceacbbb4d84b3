/**
 * @file Numbers as the pages write them: those of `base/text` with a typographic minus sign, times
 * in the reader's zone, and the names and units of metrics.
 */
import {
  formatBytes,
  formatChange,
  formatCompact,
  formatCount,
  formatDuration,
  formatRatio,
  formatScientific,
  formatShare,
  formatShareRange,
  formatSignificant,
  formatUsdCompact,
} from '../../base/text/numbers.js';

const minus = (text: string): string => text.replaceAll('-', '−');

/** Three significant digits with a suffix: 2.66M. */
export const compact = (value: number): string => minus(formatCompact(value));
export const significant = (value: number, digits = 3): string =>
  minus(
    value !== 0 && Math.abs(value) < 1e-4
      ? formatScientific(value)
      : formatSignificant(value, digits),
  );
/** Dollars: $5.58M, $12.40, $0.0068, $0.000054. */
export const usd = (value: number): string => minus(formatUsdCompact(value));
export const percent = formatShare;
/** A change of a share of one, with its sign: `+20%`, `−3%`. */
export const change = (value: number, digits = 0): string => minus(formatChange(value, digits));
/** How many times one thing is another: `1.33`. */
export const ratio = formatRatio;
export const percentRange = formatShareRange;
export const count = (value: number): string => minus(formatCount(value));
export const duration = formatDuration;
export const bytes = formatBytes;

/** A label of an axis, without zeros that say nothing: 0.8, 20, 60K, 1e−4. */
export function tick(value: number): string {
  if (value !== 0 && Math.abs(value) < 1e-3) return significant(value, 2);
  return compact(value)
    .replace(/(\.\d*?)0+(?=[A-Z]?$)/, '$1')
    .replace(/\.(?=[A-Z]?$)/, '');
}

/** Dates that a line does not break: 2026‑11‑30. */
export const unbroken = (text: string): string =>
  text.replace(/\b(\d{4})-(\d{2})(?:-(\d{2}))?\b/g, (date) => date.replaceAll('-', '\u2011'));

/** What was typed into a field. @throws Error that names the field */
export function typed(label: string, text: string): number {
  const said = text.trim();
  if (said === '') throw new Error(`${label} is empty.`);
  const value = Number(said.replace(',', '.'));
  if (!Number.isFinite(value)) throw new Error(`${label}: “${said}” is not a number.`);
  return value;
}

const TIME = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
const DAY = new Intl.DateTimeFormat([], { day: 'numeric', month: 'short', year: 'numeric' });

/** In the reader's own time. */
export function when(iso: string | null): string {
  if (iso === null) return '';
  const date = new Date(iso);
  const today = date.toDateString() === new Date().toDateString();
  const time = TIME.format(date);
  return today ? `today, ${time}` : `${DAY.format(date)}, ${time}`;
}

export interface Metric {
  title: string;
  /** What is measured. */
  note: string;
  show: (value: number) => string;
  /** Labels of its axis; default `tick`. */
  axis?: (value: number) => string;
}

const percentTick = (value: number): string => `${tick(100 * value)}%`;

const METRICS: Record<string, Metric> = {
  reward: { title: 'Reward', note: 'mean of the rollouts of a step', show: (v) => v.toFixed(3) },
  accuracy: {
    title: 'Accuracy',
    note: 'share of rollouts that are right',
    show: (v) => percent(v),
    axis: percentTick,
  },
  'completions/mean_length': {
    title: 'Length',
    note: 'mean tokens of a completion',
    show: (v) => `${significant(v)} tokens`,
  },
  loss: { title: 'Loss', note: 'nats a token', show: (v) => significant(v) },
  kl_loss: {
    title: 'KL',
    note: 'to the reference policy, nats a token',
    show: (v) => significant(v),
  },
  entropy: { title: 'Entropy', note: 'of the policy, nats a token', show: (v) => significant(v) },
  max_vio: {
    title: 'Expert load',
    note: 'MaxVio: how far the busiest expert exceeds its share',
    show: (v) => significant(v),
  },
  tokens_per_second: {
    title: 'Throughput',
    note: 'tokens per second',
    show: (v) => `${compact(v)} tok/s`,
  },
  usd: {
    title: 'Compute cost, full',
    note: 'dollars since the run began, storage left out',
    show: usd,
    axis: usd,
  },
  grad_norm: { title: 'Gradient norm', note: 'before clipping', show: (v) => significant(v) },
  learning_rate: { title: 'Learning rate', note: 'of the step', show: (v) => significant(v) },
  clip_ratio: {
    title: 'Clipped',
    note: 'share of tokens at the clip bounds',
    show: (v) => percent(v),
    axis: percentTick,
  },
  abs_log_ratio: {
    title: 'Log ratio',
    note: 'mean |log ratio| to the policy that sampled, nats a token',
    show: (v) => significant(v),
  },
  'sampling/sampling_logp_difference/mean': {
    title: 'Sampling difference',
    note: 'mean |difference of log-probabilities|, sampling and training',
    show: (v) => significant(v),
  },
  consistent: {
    title: 'Consistent',
    note: 'share whose thinking ends in their answer',
    show: (v) => percent(v),
    axis: percentTick,
  },
  well_formed: {
    title: 'Well formed',
    note: 'share of completions in the form asked for',
    show: (v) => percent(v),
    axis: percentTick,
  },
  'completions/clipped_ratio': {
    title: 'Truncated',
    note: 'share cut off at the longest length',
    show: (v) => percent(v),
    axis: percentTick,
  },
  frac_reward_zero_std: {
    title: 'Zero-advantage groups',
    note: 'share whose rewards are all equal',
    show: (v) => percent(v),
    axis: percentTick,
  },
  mtp_loss: {
    title: 'MTP loss',
    note: 'of the tokens after the next, nats',
    show: (v) => significant(v),
  },
  balance_loss: {
    title: 'Balance loss',
    note: 'sequence-wise, weighted',
    show: (v) => significant(v),
  },
  draft_acceptance_rate: {
    title: 'Draft acceptance',
    note: 'share of guessed tokens that stood',
    show: (v) => percent(v),
    axis: percentTick,
  },
};

/** Charts in this order; what is not named here follows, by name. */
const ORDER = Object.keys(METRICS);

export function metric(name: string): Metric {
  const words = name.replaceAll(/[_/]+/g, ' ');
  const [whole, layer] = name.split('.');
  if (layer !== undefined && METRICS[whole])
    return { ...METRICS[whole], title: `${METRICS[whole].title}, layer ${layer}` };
  const known = METRICS[name];
  return (
    known ?? {
      title: words.charAt(0).toUpperCase() + words.slice(1),
      note: '',
      show: (v) => significant(v),
    }
  );
}

export function inOrder(names: Iterable<string>): string[] {
  const rank = (name: string): number =>
    ORDER.indexOf(name) < 0 ? ORDER.length : ORDER.indexOf(name);
  return [...names].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}
