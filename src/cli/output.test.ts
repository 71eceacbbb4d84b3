import { InvalidArgumentError } from 'commander';
import { describe, expect, it } from 'vitest';
import { type ErrorCode, UserError } from '../base/errors.js';
import {
  failureOf,
  forTerminal,
  integerOption,
  numberOption,
  stripStyle,
  styleFor,
} from './output.js';

describe('failureOf', () => {
  it.each<[ErrorCode, number]>([
    ['usage', 2],
    ['interrupted', 130],
    ['data', 1],
    ['state', 1],
    ['disk', 1],
    ['diverged', 1],
  ])('%s ends with %i', (code, exitCode) => {
    expect(failureOf(new UserError(code, 'a\n  b', 'x'), '1')).toEqual({
      code,
      field: 'x',
      message: 'a b',
      exitCode,
    });
  });

  it('knows what the system says about disks and files', () => {
    const full = Object.assign(new Error('ENOSPC: no space left on device, write'), {
      code: 'ENOSPC',
    });
    expect(failureOf(full, '1')).toMatchObject({
      code: 'disk',
      message: 'the disk is full; free some space and try again',
      exitCode: 1,
    });
    const denied = Object.assign(new Error('EACCES'), { code: 'EACCES', path: '/runs/x' });
    expect(failureOf(denied, '1')).toMatchObject({
      field: '/runs/x',
      message: '/runs/x: permission denied; check who owns it',
    });
  });

  it('calls everything else a bug, in one line', () => {
    const failure = failureOf(new TypeError('x is\nundefined'), '0.1.0');
    expect(failure.code).toBe('internal');
    expect(failure.exitCode).toBe(1);
    expect(failure.message).toMatch(
      /^TypeError: x is undefined \(a bug in reckoner 0\.1\.0: please report/,
    );
    expect(failure.message).not.toContain('\n');
    expect(failureOf('text', '1').message).toMatch(/^text \(a bug/);
  });
});

describe('options', () => {
  it('takes numbers within bounds and nothing else', () => {
    expect(integerOption(1, 8)('8')).toBe(8);
    expect(numberOption(0)('1e-3')).toBe(0.001);
    for (const text of ['', '0', '9', '1.5', '1e1', 'x', '0x3'])
      expect(() => integerOption(1, 8)(text)).toThrow(InvalidArgumentError);
    for (const text of ['', ' ', '-1', 'NaN', 'x'])
      expect(() => numberOption(0)(text)).toThrow(InvalidArgumentError);
    expect(() => integerOption(1)('0')).toThrow('It must be a whole number of at least 1.');
    expect(() => numberOption(0, 1)('2')).toThrow('It must be a number from 0 to 1.');
  });
});

describe('styles', () => {
  it('are on for a terminal, and off when asked', () => {
    expect(styleFor({ isTTY: true }, {}).bold('x')).toBe('\x1b[1mx\x1b[22m');
    expect(styleFor({ isTTY: false }, {}).bold('x')).toBe('x');
    expect(styleFor({ isTTY: true }, { NO_COLOR: '1' }).bold('x')).toBe('x');
    expect(styleFor({ isTTY: true }, { NO_COLOR: '' }).bold('x')).not.toBe('x');
    expect(styleFor({ isTTY: true }, { TERM: 'dumb' }).bold('x')).toBe('x');
    expect(styleFor({}, { FORCE_COLOR: '1' }).red('x')).toBe('\x1b[31mx\x1b[39m');
    expect(stripStyle(styleFor({}, { FORCE_COLOR: '1' }).red('x'))).toBe('x');
  });
});

describe('text from others', () => {
  const name = '\x1b[31mred\x1b]0;title\x07';
  it('keeps no escape sequence where there are no styles', () => {
    expect(forTerminal(`\x1b[1m${name}\x1b[22m`, { isTTY: false })).not.toContain('\x1b');
  });
  it('leaves our own styles alone where there are', () => {
    const shown = forTerminal(`${styleFor({ isTTY: true }, {}).bold('x')}\x1b[8m\x1b[2J`, {
      isTTY: true,
    });
    if (shown.includes('\x1b')) expect(shown).toBe('\x1b[1mx\x1b[22m␛[8m␛[2J');
    else expect(shown).toBe('␛[1mx␛[22m␛[8m␛[2J');
  });
});
