/**
 * @file Numbers with units as text: durations, dollars, counts, shares, sizes, FLOP/s. The one
 * place that formats them, for the command line, the ledger, the studio and the benchmarks, so that
 * 999 s reads the same everywhere. Pure functions; the same text in every locale.
 */

/** What is written where there is no number. */
export const NONE = '–';

/** `12,345.67` from `12345.67`. */
export function groupDigits(digits: string): string {
  const [whole, fraction] = digits.split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

/** `12,345`; rounds to whole numbers. */
export function formatCount(value: number): string {
  return Number.isFinite(value) ? groupDigits(String(Math.round(value))) : NONE;
}

/** So many significant digits, never an exponent: `57.7`, `0.0316`, `12,346`. */
export function formatSignificant(value: number, digits = 3): string {
  if (!Number.isFinite(value)) return NONE;
  if (value === 0) return '0';
  // Rounded first: 0.9996 has a digit fewer after the point than it seems.
  const size = Math.floor(Math.log10(Math.abs(Number(value.toPrecision(digits)))));
  return groupDigits(value.toFixed(Math.min(12, Math.max(0, digits - 1 - size))));
}

/** At most so many significant digits, without zeros at the end: `12`, `0.0408`, `1,234.5`. */
export function formatQuantity(value: number, digits: number): string {
  const text = formatSignificant(value, digits);
  return text.includes('.') ? text.replace(/\.?0+$/, '') : text;
}

/** How many times one thing is another: `1.33`. */
export const formatRatio = (ratio: number): string =>
  Number.isFinite(ratio) ? groupDigits(ratio.toFixed(2)) : NONE;

/** `3.1e-4`, and `0` for nothing: for learning rates and divergences. */
export function formatScientific(value: number): string {
  if (!Number.isFinite(value)) return NONE;
  return value === 0 ? '0' : value.toExponential(1);
}

/**
 * About four significant digits, with an exponent only below 0.001: for losses, rewards and rates.
 */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return formatScientific(value);
  if (size >= 1000) return formatCount(value);
  return value.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : 3);
}

const LETTERS = [
  [1e12, 'T'],
  [1e9, 'B'],
  [1e6, 'M'],
  [1e3, 'K'],
] as const;

/** Three digits and a letter for the size: `14.8T`, `2.84M`, `57.7`, `0.0316`. */
export function formatCompact(value: number, digits = 3): string {
  const size = Math.abs(Number(value.toPrecision(digits)));
  if (size >= 1e15) return value.toExponential(digits - 1).replace('+', '');
  const [unit, letter] = LETTERS.find(([unit]) => size >= unit) ?? [1, ''];
  return `${formatSignificant(value / unit, digits)}${letter}`;
}

const PREFIXES = ['', 'k', 'M', 'G', 'T', 'P', 'E', 'Z', 'Y'];

/** Three significant digits with a decimal prefix: `1.23 GFLOP/s`, `812 MB`, `42`. */
export function formatScaled(value: number, unit = ''): string {
  if (!Number.isFinite(value)) return NONE;
  let [power, scaled] = [0, value];
  while (Math.abs(Number(scaled.toPrecision(3))) >= 1000 && power < PREFIXES.length - 1) {
    scaled /= 1000;
    power++;
  }
  const number =
    power === 0 && Number.isInteger(value) ? String(value) : formatSignificant(scaled, 3);
  return `${number}${unit === '' ? '' : ' '}${PREFIXES[power]}${unit}`;
}

/** Decimal units: `1.2 GB`, `812 MB`, `999 B`. */
export function formatBytes(bytes: number): string {
  if (!Number.isFinite(bytes)) return NONE;
  let [power, value] = [0, bytes];
  while (Math.abs(value) >= 999.5 && power < 5) {
    value /= 1000;
    power++;
  }
  const digits = power === 0 || Math.abs(value) >= 99.5 ? Math.round(value) : value.toFixed(1);
  return `${digits} ${PREFIXES[power]}B`;
}

/** `93.4%`. A share above nothing is never written as nothing: `<0.1%`. */
export function formatShare(share: number, digits = 1): string {
  if (!Number.isFinite(share)) return NONE;
  const text = (100 * share).toFixed(digits);
  return share > 0 && Number(text) === 0 ? `<${(10 ** -digits).toFixed(digits)}%` : `${text}%`;
}

/** A relative change with its sign: `+20.0%`, `-3.0%`, `+2,144.9%`, `0.0%`. */
export function formatChange(change: number, digits = 1): string {
  if (!Number.isFinite(change)) return NONE;
  const size = (100 * Math.abs(change)).toFixed(digits);
  const sign = Number(size) === 0 ? '' : change < 0 ? '-' : '+';
  return `${sign}${groupDigits(size)}%`;
}

/** A difference of two shares in percentage points, with its sign: `+47.1`. */
export const formatPoints = (difference: number): string =>
  `${difference < 0 ? '' : '+'}${(100 * difference).toFixed(1)}`;

/** An interval of shares: `0.0–16.1%`. */
export function formatShareRange(low: number, high: number, digits = 1): string {
  return `${(100 * low).toFixed(digits)}–${(100 * high).toFixed(digits)}%`;
}

/** `0.31 s`, `42 s`, `16 min 39 s`, `1 h 2 min`, `65.8 days`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return NONE;
  if (seconds >= 2 * 86_400) return `${formatSignificant(seconds / 86_400)} days`;
  if (seconds > 0 && seconds < 9.95) return `${formatSignificant(seconds, 2)} s`;
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60];
  if (h > 0) return m > 0 ? `${h} h ${m} min` : `${h} h`;
  return m > 0 ? (s > 0 ? `${m} min ${s} s` : `${m} min`) : `${s} s`;
}

const STEPS = [1, 5, 10, 30, 60, 300, 600, 1800, 3600];

/** A duration that is only known roughly, rounded to about a twentieth: `4 min 10 s`, `3 h 20 min`. */
export function formatAbout(seconds: number): string {
  const step = STEPS.findLast((one) => one <= seconds / 20) ?? (seconds > 1 ? 1 : 0);
  return formatDuration(step === 0 ? seconds : step * Math.round(seconds / step));
}

/** Whole cents from a dollar up, two significant digits below: `$1,234.50`, `$0.12`, `$0.00034`. */
export function formatUsd(usd: number): string {
  if (!Number.isFinite(usd)) return NONE;
  const size = Math.abs(usd);
  if (size === 0) return '$0';
  const sign = usd < 0 ? '-' : '';
  if (size >= 0.995) return `${sign}$${groupDigits(size.toFixed(2))}`;
  if (size < 1e-9) return `${sign}$${size.toExponential(1)}`;
  return `${sign}$${formatSignificant(size, 2)}`;
}

/** Dollars of which only the size matters: `$5.58M`, `$12.40`, `$0.0068`. */
export function formatUsdCompact(usd: number, digits = 3): string {
  const sign = usd < 0 ? '-' : '';
  return Math.abs(usd) >= 999.5
    ? `${sign}$${formatCompact(Math.abs(usd), digits)}`
    : formatUsd(usd);
}
