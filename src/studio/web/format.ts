/**
 * @file Numbers as people read them: units, few digits, no jumps in width (figures are tabular).
 */
const plain = (value: number, digits: number): string => value.toLocaleString('en-US', { maximumFractionDigits: digits });

/** Three significant digits with a suffix: 2.66M. */
export function compact(value: number): string {
  const size = Math.abs(value);
  if (size === 0) return '0';
  for (const [unit, suffix] of [
    [1e15, 'e15'],
    [1e12, 'T'],
    [1e9, 'B'],
    [1e6, 'M'],
    [1e3, 'K'],
  ] as const) {
    if (size >= unit * 0.9995) return `${significant(value / unit)}${suffix}`;
  }
  return significant(value);
}

export function significant(value: number, digits = 3): string {
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size < 1e-4) return value.toExponential(1).replaceAll('-', '−');
  const places = Math.max(0, digits - 1 - Math.floor(Math.log10(size)));
  return value
    .toLocaleString('en-US', { minimumFractionDigits: Math.min(places, 6), maximumFractionDigits: Math.min(places, 6) })
    .replace('-', '−');
}

/** Dollars: $5.58M, $12.40, $0.0068, $0.000054. */
export function usd(value: number): string {
  const sign = value < 0 ? '−' : '';
  const size = Math.abs(value);
  if (size === 0) return '$0';
  if (size >= 1000) return `${sign}$${compact(size)}`;
  if (size >= 1) return `${sign}$${size.toFixed(2)}`;
  if (size < 1e-7) return `${sign}$${size.toExponential(1)}`;
  const places = 1 - Math.floor(Math.log10(size));
  return `${sign}$${size.toFixed(Math.min(places, 9))}`;
}

export const percent = (share: number, digits = 1): string => `${(share * 100).toFixed(digits)}%`;

export const count = (value: number): string => plain(value, 0);

/** 0:42, 5:07, 1:02:09, 65.8 days. */
export function duration(seconds: number): string {
  if (seconds >= 86_400 * 2) return `${significant(seconds / 86_400)} days`;
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  const two = (n: number): string => String(n).padStart(2, '0');
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

export function bytes(value: number): string {
  for (const [unit, name] of [
    [1e12, 'TB'],
    [1e9, 'GB'],
    [1e6, 'MB'],
    [1e3, 'kB'],
  ] as const) {
    if (value >= unit) return `${significant(value / unit)} ${name}`;
  }
  return `${value} B`;
}

/** In the reader's own time. */
export function when(iso: string | null): string {
  if (iso === null) return '';
  const date = new Date(iso);
  const today = date.toDateString() === new Date().toDateString();
  const time = date.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit', hourCycle: 'h23' });
  return today
    ? `today, ${time}`
    : `${date.toLocaleDateString([], { day: 'numeric', month: 'short', year: 'numeric' })}, ${time}`;
}

export interface Metric {
  title: string;
  /** What is measured. */
  note: string;
  show: (value: number) => string;
}

const METRICS: Record<string, Metric> = {
  reward: { title: 'Reward', note: 'mean of the rollouts of a step', show: (v) => v.toFixed(3) },
  accuracy: { title: 'Accuracy', note: 'share of rollouts that are right', show: (v) => percent(v) },
  length: { title: 'Length', note: 'mean tokens of a completion', show: (v) => `${v.toFixed(1)} tokens` },
  loss: { title: 'Loss', note: 'nats a token', show: (v) => significant(v) },
  kl: { title: 'KL', note: 'to the reference policy, nats a token', show: (v) => significant(v) },
  entropy: { title: 'Entropy', note: 'of the policy, nats a token', show: (v) => significant(v) },
  tokensPerSecond: { title: 'Throughput', note: 'tokens a second', show: (v) => `${compact(v)} tok/s` },
  usd: { title: 'Cost', note: 'dollars since the run began', show: usd },
  gradientNorm: { title: 'Gradient norm', note: 'before clipping', show: (v) => significant(v) },
  learningRate: { title: 'Learning rate', note: '', show: (v) => v.toExponential(2) },
  clipFraction: { title: 'Clipped', note: 'share of tokens at the clip bounds', show: (v) => percent(v) },
  policyShift: { title: 'Policy shift', note: 'from the policy that sampled, nats a token', show: (v) => v.toExponential(1) },
  wellFormed: { title: 'Well formed', note: 'share of completions in the form asked for', show: (v) => percent(v) },
  truncated: { title: 'Truncated', note: 'share cut off at the longest length', show: (v) => percent(v) },
  silentGroups: { title: 'Silent groups', note: 'share whose rewards are all equal', show: (v) => percent(v) },
  mtpLoss: { title: 'MTP loss', note: 'of the tokens after the next, nats', show: (v) => significant(v) },
  maxVio: { title: 'Expert load', note: 'MaxVio: how far the busiest expert exceeds its share', show: (v) => significant(v) },
  balanceLoss: { title: 'Balance loss', note: 'sequence-wise, weighted', show: (v) => significant(v) },
  draftAcceptance: { title: 'Draft acceptance', note: 'share of guessed tokens that stood', show: (v) => percent(v) },
};

/** Charts in this order; what is not named here follows, by name. */
const ORDER = Object.keys(METRICS);

export function metric(name: string): Metric {
  const words = name.replace(/([a-z])([A-Z0-9])/g, '$1 $2').toLowerCase();
  const [whole, layer] = name.split('.');
  if (layer !== undefined && METRICS[whole]) return { ...METRICS[whole], title: `${METRICS[whole].title}, layer ${layer}` };
  const known = METRICS[name] ?? (/^kl/i.test(name) ? { ...METRICS.kl, title: 'KL' } : undefined);
  return known ?? { title: words.charAt(0).toUpperCase() + words.slice(1), note: '', show: (v) => significant(v) };
}

export function inOrder(names: Iterable<string>): string[] {
  const rank = (name: string): number => (ORDER.indexOf(name) < 0 ? ORDER.length : ORDER.indexOf(name));
  return [...names].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
}
