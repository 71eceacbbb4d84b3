/**
 * @file Names of published serving figures in words. It imports nothing, so that a page can have it.
 */

/** A published figure's name in words: `output tokens/s per GPU`, `mean TPOT`. */
export const metricWords = (metric: string): string =>
  metric
    .replaceAll('_', ' ')
    .replace(/ per s\b/, '/s')
    .replace(/\b(gpu|mw|tpot|ttft|itl)\b/g, (word) => (word === 'mw' ? 'MW' : word.toUpperCase()));
