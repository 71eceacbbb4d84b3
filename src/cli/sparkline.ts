/**
 * @file A curve in one line of text: a sparkline of block characters.
 */
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
