/**
 * @file How a model's parameters are told to people: with one total and its MTP module named, so
 * that two screens never show two numbers for one model.
 */
import { formatCompact } from '../base/text/index.js';
import type { Parameters } from './parameters.js';

/**
 * `671B parameters, 683B with the MTP module, 37.6B active for a token`. The first number is that
 * which papers give: without multi-token prediction.
 */
export function describeParameters({
  total,
  mtp,
  active,
}: Pick<Parameters, 'total' | 'mtp' | 'active'>): string {
  const parts = [`${formatCompact(total)} parameters`];
  if (mtp > 0) parts.push(`${formatCompact(total + mtp)} with the MTP module`);
  if (active < total) parts.push(`${formatCompact(active)} active for a token`);
  return parts.join(', ');
}
