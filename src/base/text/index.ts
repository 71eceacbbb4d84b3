/**
 * @file Text for people: tables, word wrap, numbers with units, and text from others made safe.
 */
export { ascii, csvCell, html, markdown, printable, printableLine } from './escape.js';
export {
  formatAbout,
  formatBytes,
  formatChange,
  formatCompact,
  formatCount,
  formatDuration,
  formatNumber,
  formatPoints,
  formatQuantity,
  formatRatio,
  formatScaled,
  formatScientific,
  formatShare,
  formatShareRange,
  formatSignificant,
  formatUsd,
  formatUsdCompact,
  groupDigits,
  NONE,
} from './numbers.js';
export { didYouMean, editDistance, nearestName } from './suggest.js';
export {
  columns,
  markdownTable,
  PLAIN_STYLE,
  type Table,
  type TextStyle,
  tableLines,
  tableText,
} from './table.js';
export { TEXT_WIDTH, textWidth, type WrapOptions, wrap } from './wrap.js';
