/**
 * @file Numbers for people: durations, dollars, counts, shares, sizes. Pure functions; the same
 * text in every locale.
 */

/** `0:07`, `12:34`, `1:02:03`. */
export function formatDuration(seconds: number): string {
  const total = Math.max(0, Math.round(seconds));
  const two = (value: number): string => String(value).padStart(2, '0');
  const hours = Math.floor(total / 3600);
  const minutes = Math.floor(total / 60) % 60;
  return hours > 0
    ? `${hours}:${two(minutes)}:${two(total % 60)}`
    : `${minutes}:${two(total % 60)}`;
}

/** `45 s`, `12 min`, `3.4 h`, `2.5 days`: for what is only known roughly. */
export function formatRough(seconds: number): string {
  const [value, unit] =
    seconds < 99.5
      ? [seconds, 's']
      : seconds < 99.5 * 60
        ? [seconds / 60, 'min']
        : seconds < 48 * 3600
          ? [seconds / 3600, 'h']
          : [seconds / 86_400, 'days'];
  return `${value < 9.95 && unit !== 's' ? Number(value.toFixed(1)) : Math.max(1, Math.round(value))} ${unit}`;
}

/** Whole cents from a dollar up, two significant digits below: `$1,234.50`, `$0.12`, `$0.00034`. */
export function formatUsd(usd: number): string {
  if (!Number.isFinite(usd)) return '–';
  const size = Math.abs(usd);
  if (size === 0) return '$0';
  const sign = usd < 0 ? '-' : '';
  if (size >= 0.995) return `${sign}$${group(size.toFixed(2))}`;
  const digits = Math.min(12, 1 - Math.floor(Math.log10(size)));
  return `${sign}$${size.toFixed(digits)}`;
}

/** `12,345`; rounds to whole numbers. */
export function formatCount(value: number): string {
  return Number.isFinite(value) ? group(String(Math.round(value))) : '–';
}

/** `93.4%`. */
export function formatShare(share: number, digits = 1): string {
  return Number.isFinite(share) ? `${(100 * share).toFixed(digits)}%` : '–';
}

/** Decimal units: `1.2 GB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];
  let value = bytes;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 || value >= 99.5 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/**
 * About four significant digits, without an exponent where it can be helped: for losses, rewards
 * and rates.
 */
export function formatNumber(value: number): string {
  if (!Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size !== 0 && size < 0.001) return value.toExponential(1);
  if (size >= 1000) return formatCount(value);
  return value.toFixed(size >= 100 ? 1 : size >= 10 ? 2 : 3);
}

function group(digits: string): string {
  const [whole, fraction] = digits.split('.');
  const grouped = whole.replace(/\B(?=(\d{3})+$)/g, ',');
  return fraction === undefined ? grouped : `${grouped}.${fraction}`;
}

const BARS = '▁▂▃▄▅▆▇█';

/**
 * A curve in one line of at most `width` characters; longer series are averaged in equal parts. A
 * flat one is drawn at middle height.
 */
export function sparkline(values: readonly number[], width: number): string {
  const finite = values.filter(Number.isFinite);
  const columns = Math.min(width, finite.length);
  if (columns <= 0) return '';
  const points = Array.from({ length: columns }, (_, i) => {
    const from = Math.floor((i * finite.length) / columns);
    const to = Math.max(from + 1, Math.floor(((i + 1) * finite.length) / columns));
    return finite.slice(from, to).reduce((sum, value) => sum + value, 0) / (to - from);
  });
  const low = Math.min(...points);
  const range = Math.max(...points) - low;
  return points
    .map((point) => BARS[range === 0 ? 3 : Math.round(((point - low) / range) * (BARS.length - 1))])
    .join('');
}
