import { describe, expect, it } from 'vitest';
import {
  formatBytes,
  formatCount,
  formatDuration,
  formatNumber,
  formatRough,
  formatShare,
  formatUsd,
  sparkline,
} from './format.js';

describe('format', () => {
  it('durations', () => {
    expect(formatDuration(7.4)).toBe('0:07');
    expect(formatDuration(59.6)).toBe('1:00');
    expect(formatDuration(3723)).toBe('1:02:03');
    expect(formatDuration(-1)).toBe('0:00');
  });
  it('rough durations', () => {
    expect([0.2, 45, 99.4, 100, 250, 1200, 7200, 400_000].map(formatRough)).toEqual([
      '1 s',
      '45 s',
      '99 s',
      '1.7 min',
      '4.2 min',
      '20 min',
      '2 h',
      '4.6 days',
    ]);
  });
  it('dollars', () => {
    expect(formatUsd(0)).toBe('$0');
    expect(formatUsd(0.000341)).toBe('$0.00034');
    expect(formatUsd(0.12)).toBe('$0.12');
    expect(formatUsd(0.999)).toBe('$1.00');
    expect(formatUsd(1234.5)).toBe('$1,234.50');
    expect(formatUsd(-5_576_000)).toBe('-$5,576,000.00');
    expect(formatUsd(Number.NaN)).toBe('–');
  });
  it('counts, shares, sizes, numbers', () => {
    expect(formatCount(1234567.8)).toBe('1,234,568');
    expect(formatShare(0.9345)).toBe('93.5%');
    expect(formatBytes(999)).toBe('999 B');
    expect(formatBytes(1536)).toBe('1.5 kB');
    expect(formatBytes(137e9)).toBe('137 GB');
    expect(formatBytes(999_600)).toBe('1.0 MB');
    expect(formatNumber(0.00042)).toBe('4.2e-4');
    expect(formatNumber(0)).toBe('0.000');
    expect(formatNumber(18.876)).toBe('18.88');
    expect(formatNumber(12345)).toBe('12,345');
    expect(formatNumber(Number.NaN)).toBe('NaN');
  });
  it('sparklines', () => {
    expect(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8)).toBe('▁▂▃▄▅▆▇█');
    expect(sparkline([5, 5, 5], 8)).toBe('▄▄▄');
    // averaged in pairs: 0.5, 2.5
    expect(sparkline([0, 1, 2, 3], 2)).toBe('▁█');
    expect(sparkline([], 8)).toBe('');
    expect(sparkline([1, Number.NaN, 2], 8)).toBe('▁█');
  });
});
