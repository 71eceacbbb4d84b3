import { describe, expect, it } from 'vitest';
import {
  ascii,
  columns,
  csvCell,
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
  html,
  markdown,
  markdownTable,
  printable,
  printableLine,
  tableLines,
  tableText,
  wrap,
} from './index.js';

describe('numbers', () => {
  it.each([
    [0, '0 s'],
    [0.0831, '0.083 s'],
    [7.4, '7.4 s'],
    [9.96, '10 s'],
    [59.7, '1 min'],
    [343, '5 min 43 s'],
    [999, '16 min 39 s'],
    [3723, '1 h 2 min'],
    [61_634, '17 h 7 min'],
    [65.8 * 86_400, '65.8 days'],
    [-1, '0 s'],
    [Number.NaN, '–'],
  ])('%d s are %s', (seconds, text) => expect(formatDuration(seconds)).toBe(text));

  it.each([
    [0.2, '0.20 s'],
    [19.3, '19 s'],
    [45, '45 s'],
    [250, '4 min 10 s'],
    [1207, '20 min'],
    [12_240, '3 h 20 min'],
    [400_000, '4.63 days'],
  ])('about %d s are %s', (seconds, text) => expect(formatAbout(seconds)).toBe(text));

  it.each([
    [0, '$0', '$0'],
    [5.4e-7, '$0.00000054', '$0.00000054'],
    [0.000341, '$0.00034', '$0.00034'],
    [0.12, '$0.12', '$0.12'],
    [0.999, '$1.00', '$1.00'],
    [1234.5, '$1,234.50', '$1.23K'],
    [-5_576_000, '-$5,576,000.00', '-$5.58M'],
    [Number.NaN, '–', '–'],
  ])('%d dollars are %s, or %s', (usd, full, compact) =>
    expect([formatUsd(usd), formatUsdCompact(usd)]).toEqual([full, compact]),
  );

  it.each([
    [14.8e12, '14.8T'],
    [999_600, '1.00M'],
    [2_664_000, '2.66M'],
    [57.72, '57.7'],
    [0.9996, '1.00'],
    [0.03161, '0.0316'],
    [0, '0'],
    [3.1e18, '3.10e18'],
  ])('%d is %s', (value, text) => expect(formatCompact(value)).toBe(text));

  it('counts, shares, sizes, numbers', () => {
    expect(formatCount(1234567.8)).toBe('1,234,568');
    expect([0, 0.0004, 0.0006, 0.9345, 1].map((one) => formatShare(one))).toEqual([
      '0.0%',
      '<0.1%',
      '0.1%',
      '93.5%',
      '100.0%',
    ]);
    expect([0.2, -0.03, 21.449, 0.0004, Number.NaN].map((one) => formatChange(one))).toEqual([
      '+20.0%',
      '-3.0%',
      '+2,144.9%',
      '0.0%',
      '–',
    ]);
    expect([0.471, -0.01, 0].map(formatPoints)).toEqual(['+47.1', '-1.0', '+0.0']);
    expect([12, 0.0408, 1234.5, 1e-7].map((one) => formatQuantity(one, 4))).toEqual([
      '12',
      '0.0408',
      '1,235',
      '0.0000001',
    ]);
    expect([1.333, 1234.5].map(formatRatio)).toEqual(['1.33', '1,234.50']);
    expect(formatShareRange(0, 0.1611)).toBe('0.0–16.1%');
    expect([999, 1536, 999_600, 137e9].map(formatBytes)).toEqual([
      '999 B',
      '1.5 kB',
      '1.0 MB',
      '137 GB',
    ]);
    expect([0.00042, 0, 18.876, 12345, Number.NaN].map(formatNumber)).toEqual([
      '4.2e-4',
      '0.000',
      '18.88',
      '12,345',
      'NaN',
    ]);
    expect([0, 3e-4].map(formatScientific)).toEqual(['0', '3.0e-4']);
    expect(formatSignificant(12345.6, 4)).toBe('12,346');
    expect([0, 1234, 999_999, 2.5e9].map((one) => formatScaled(one, 'B'))).toEqual([
      '0 B',
      '1.23 kB',
      '1.00 MB',
      '2.50 GB',
    ]);
  });
});

describe('tables', () => {
  const table = {
    title: 'Costs',
    head: ['Who', 'Why', 'USD'],
    right: [false, false, true],
    rows: [
      ['a/very/long/path/to/a/file', 'training', '1.00'],
      ['b', 'x|y', '20.00'],
    ],
    footer: [['Total', '', '21.00']],
    optional: ['Why'],
  };

  it('aligns columns, cuts text and never numbers', () => {
    expect(columns(table.rows, table.right)).toEqual([
      'a/very/long/path/to/a/file  training   1.00',
      'b                           x|y       20.00',
    ]);
    expect(columns(table.rows, table.right, { width: 30 })).toEqual([
      '..h/to/a/file  training   1.00',
      'b              x|y       20.00',
    ]);
  });

  it('leaves out what can be spared before it cuts', () => {
    expect(tableLines(table, 36)[1]).toBe('a/very/long/path/to/a/file   1.00');
    expect(tableText(table, { width: 36 }).split('\n')).toEqual([
      'Costs',
      '-'.repeat(33),
      'Who                           USD',
      '-'.repeat(33),
      'a/very/long/path/to/a/file   1.00',
      'b                           20.00',
      '-'.repeat(33),
      'Total                       21.00',
    ]);
  });

  it('Markdown has no cell, tag or image of its own', () => {
    expect(markdownTable(table)).toContain('| b | x\\|y | 20.00 |');
    expect(markdown('<img src=x> ![a](b)\n# c')).toBe('\\<img src=x\\> \\!\\[a\\](b) \\# c');
  });
});

it('wraps at spaces', () => {
  expect(wrap('one two three four', { width: 9, first: '- ', rest: '  ' })).toEqual([
    '- one two',
    '  three',
    '  four',
  ]);
});

it('makes text from others safe for where it is printed', () => {
  expect(ascii('\x1b[31mé “x” – ×')).toBe('?[31me "x" - x');
  expect(html(`<a b="c">&'`)).toBe('&lt;a b=&quot;c&quot;&gt;&amp;&#39;');
  expect(['=1+1', '-5.2', '-x', 'a,"b"', '<img src=x>'].map(csvCell)).toEqual([
    "'=1+1",
    '-5.2',
    "'-x",
    '"a,""b"""',
    '‹img src=x›',
  ]);
});

it('lets nothing reach a terminal that is more than text', () => {
  const hostile: [string, string][] = [
    ['\x1b[2J\x1b[31mred', '␛[2J␛[31mred'],
    [
      '\x1b]8;;https://evil.example\x07link\x1b]8;;\x1b\\',
      '␛]8;;https://evil.example␇link␛]8;;␛\\',
    ],
    ['\x9b31m \x9d8;;x\x9c \x85', '\ufffd31m \ufffd8;;x\ufffd \ufffd'],
    ['safe\rfake', 'safe␍fake'],
    ['a\b\b\x7f', 'a␈␈␡'],
    ['user\u202egnp.exe \u2066x\u2069 \u200f', 'user\ufffdgnp.exe \ufffdx\ufffd \ufffd'],
    ['\u{e0041}\u{e007f}\ufeff', '\ufffd\ufffd\ufffd'],
    ['\ud800', '\ufffd'],
    ['line\r\nline\tédé 日本 👩‍👩‍👧 ﷺ', 'line\nline\tédé 日本 👩‍👩‍👧 ﷺ'],
  ];
  for (const [text, shown] of hostile) expect(printable(text)).toBe(shown);
  expect(printableLine('a\n\tb\x1b')).toBe('a b␛');
});
