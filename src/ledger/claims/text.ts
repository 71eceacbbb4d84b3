/**
 * @file Amounts in a claim's texts: `{v3-headline}` becomes `$5.576M`, so that prose cannot
 * disagree with what was computed.
 */
import { formatCompact } from '../../base/text/numbers.js';
import { Decimal } from '../money.js';

/** Four significant digits with a letter for the size: `$5.576M`, `$944M`, `$1.39`, `-$12.4K`. */
export function shortUsd(amount: Decimal | number | string): string {
  const value = new Decimal(amount);
  return `${value.isNegative() && !value.isZero() ? '-' : ''}$${shortNumber(value.abs())}`;
}

/** The same without a dollar sign. */
export function shortNumber(amount: Decimal | number | string, digits = 4): string {
  return formatCompact(new Decimal(amount).toNumber(), digits).replace(
    /(?:(\.\d*?[1-9])|\.)0+(?=\D*$)/,
    '$1',
  );
}

/** A value in its unit: `0.64%`, `$1.39/GPU-h`, `226.9 node`. */
export function withUnit(value: Decimal | number, unit: string): string {
  const number = new Decimal(value);
  if (unit === 'USD') return shortUsd(number);
  if (unit.startsWith('USD/'))
    return `${number.abs().lt(100) ? `$${number.abs().lt(1) ? number.toSignificantDigits(3).toFixed() : number.toFixed(2)}` : shortUsd(number)}/${unit.slice(4)}`;
  if (unit === 'fraction')
    return `${number
      .times(100)
      .toSignificantDigits(number.abs().lt('0.01') ? 2 : 3)
      .toFixed()}%`;
  if (unit === 'x') return `${number.toSignificantDigits(3).toFixed()}x`;
  if (unit === 'ratio' || unit === '' || unit === '1') return shortNumber(number);
  return `${shortNumber(number)} ${unit}`;
}

/** Puts values in the place of `{id}`; an unknown one stays as it is. */
export function fillText(
  text: string,
  values: ReadonlyMap<string, { value: Decimal; unit: string }>,
): string {
  return text.replace(/\{([a-z0-9.-]+)\}/g, (whole, id: string) => {
    const found = values.get(id);
    return found === undefined ? whole : withUnit(found.value, found.unit);
  });
}
