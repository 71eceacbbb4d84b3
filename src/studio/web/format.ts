/**
 * @file Numbers as people read them: units, few digits, no jumps in width (figures are tabular).
 */
const formats = new Map<string, Intl.NumberFormat>();

/** Making a format takes longer than using it, and a page has hundreds of numbers. */
function plain(value: number, least: number, most: number): string {
  const key = `${least} ${most}`;
  let format = formats.get(key);
  if (format === undefined) {
    format = new Intl.NumberFormat('en-US', {
      minimumFractionDigits: least,
      maximumFractionDigits: most,
    });
    formats.set(key, format);
  }
  return format.format(value);
}

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
  if (size < 1e-4) return scientific(value);
  const places = Math.min(6, Math.max(0, digits - 1 - Math.floor(Math.log10(size))));
  return plain(value, places, places).replace('-', '−');
}

/** What was typed into a field. @throws Error that names the field */
export function typed(label: string, text: string): number {
  const said = text.trim();
  if (said === '') throw new Error(`${label} is empty.`);
  const value = Number(said.replace(',', '.'));
  if (!Number.isFinite(value)) throw new Error(`${label}: “${said}” is not a number.`);
  return value;
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

/** What is more than nothing is never shown as nothing. */
export function percent(share: number, digits = 1): string {
  const text = (share * 100).toFixed(digits);
  return share > 0 && Number(text) === 0 ? `<${(10 ** -digits).toFixed(digits)}%` : `${text}%`;
}

export const count = (value: number): string => plain(value, 0, 0);

/** 3.1 s, 42 s, 5 min 7 s, 1 h 2 min, 65.8 days. */
export function duration(seconds: number): string {
  if (seconds >= 86_400 * 2) return `${significant(seconds / 86_400)} days`;
  if (seconds > 0 && seconds < 9.95) return `${significant(seconds, 2)} s`;
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  return h > 0 ? `${h} h ${m} min` : m > 0 ? `${m} min ${s} s` : `${s} s`;
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

const scientific = (value: number): string => value.toExponential(1).replaceAll('-', '−');

export interface Metric {
  title: string;
  /** What is measured. */
  note: string;
  show: (value: number) => string;
}

const METRICS: Record<string, Metric> = {
  reward: { title: 'Reward', note: 'mean of the rollouts of a step', show: (v) => v.toFixed(3) },
  accuracy: {
    title: 'Accuracy',
    note: 'share of rollouts that are right',
    show: (v) => percent(v),
  },
  length: {
    title: 'Length',
    note: 'mean tokens of a completion',
    show: (v) => `${v.toFixed(1)} tokens`,
  },
  loss: { title: 'Loss', note: 'nats a token', show: (v) => significant(v) },
  kl: { title: 'KL', note: 'to the reference policy, nats a token', show: (v) => significant(v) },
  entropy: { title: 'Entropy', note: 'of the policy, nats a token', show: (v) => significant(v) },
  maxVio: {
    title: 'Expert load',
    note: 'MaxVio: how far the busiest expert exceeds its share',
    show: (v) => significant(v),
  },
  tokensPerSecond: {
    title: 'Throughput',
    note: 'tokens a second',
    show: (v) => `${compact(v)} tok/s`,
  },
  usd: { title: 'Cost', note: 'dollars since the run began', show: usd },
  gradientNorm: { title: 'Gradient norm', note: 'before clipping', show: (v) => significant(v) },
  learningRate: { title: 'Learning rate', note: 'of the step', show: scientific },
  clipFraction: {
    title: 'Clipped',
    note: 'share of tokens at the clip bounds',
    show: (v) => percent(v),
  },
  policyShift: {
    title: 'Policy shift',
    note: 'from the policy that sampled, nats a token',
    show: scientific,
  },
  sampleMismatch: {
    title: 'Sample mismatch',
    note: 'of sampling and training, nats a token',
    show: scientific,
  },
  consistent: {
    title: 'Consistent',
    note: 'share whose thinking ends in their answer',
    show: (v) => percent(v),
  },
  wellFormed: {
    title: 'Well formed',
    note: 'share of completions in the form asked for',
    show: (v) => percent(v),
  },
  truncated: {
    title: 'Truncated',
    note: 'share cut off at the longest length',
    show: (v) => percent(v),
  },
  silentGroups: {
    title: 'Silent groups',
    note: 'share whose rewards are all equal',
    show: (v) => percent(v),
  },
  mtpLoss: {
    title: 'MTP loss',
    note: 'of the tokens after the next, nats',
    show: (v) => significant(v),
  },
  balanceLoss: {
    title: 'Balance loss',
    note: 'sequence-wise, weighted',
    show: (v) => significant(v),
  },
  draftAcceptance: {
    title: 'Draft acceptance',
    note: 'share of guessed tokens that stood',
    show: (v) => percent(v),
  },
};

/** Charts in this order; what is not named here follows, by name. */
const ORDER = Object.keys(METRICS);

export function metric(name: string): Metric {
  const words = name.replace(/([a-z])([A-Z0-9])/g, '$1 $2').toLowerCase();
  const [whole, layer] = name.split('.');
  if (layer !== undefined && METRICS[whole])
    return { ...METRICS[whole], title: `${METRICS[whole].title}, layer ${layer}` };
  const known = METRICS[name] ?? (/^kl/i.test(name) ? { ...METRICS.kl, title: 'KL' } : undefined);
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
