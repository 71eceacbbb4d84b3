/**
 * @file Parses and prints a layout such as `tp1 pp16 ep64 mb1 dualpipe`. Missing parts are
 * determined by the search.
 */
import { UserError } from '../../base/errors.js';
import { type Layout, layoutName } from '../../planner/layout.js';

const NUMBERS: Record<string, keyof Layout> = {
  tp: 'tensor',
  pp: 'pipeline',
  dp: 'data',
  ep: 'expert',
  cp: 'context',
  etp: 'expertTensor',
  mb: 'microBatch',
  vp: 'chunks',
};

const WORDS: Record<string, Partial<Layout>> = {
  '1f1b': { schedule: '1f1b' },
  interleaved: { schedule: 'interleaved' },
  'zero-bubble': { schedule: 'zero-bubble' },
  dualpipe: { schedule: 'dualpipe' },
  fsdp: { sharding: 'weights' },
  zero1: { sharding: 'optimizer' },
  zero2: { sharding: 'gradients' },
  zero3: { sharding: 'weights' },
  sp: { sequenceParallel: true },
  none: { recompute: 'none' },
  selective: { recompute: 'selective' },
  full: { recompute: 'full' },
};

/**
 * Reads a layout, whole or in part; `recompute` after `none`, `selective` or `full` may be written
 * or not.
 * @throws UserError (usage) that names the word that is not one
 */
export function parseLayout(text: string, where: string): Partial<Layout> {
  const layout: Partial<Layout> = {};
  for (const word of text
    .trim()
    .toLowerCase()
    .split(/[\s,]+/)) {
    if (word === '' || word === 'recompute') continue;
    const [, name, digits] = /^([a-z]+)(\d+)$/.exec(word) ?? [];
    if (Object.hasOwn(WORDS, word)) Object.assign(layout, WORDS[word]);
    else if (name !== undefined && Object.hasOwn(NUMBERS, name) && Number(digits) >= 1) {
      Object.assign(layout, { [NUMBERS[name]]: Number(digits) });
    } else {
      const known = `${Object.keys(NUMBERS)
        .map((known) => `${known}1`)
        .join(' ')} ${Object.keys(WORDS).join(' ')}`;
      throw new UserError(
        'usage',
        `${where}: "${word}" is not a part of a layout; these are: ${known}`,
        where,
      );
    }
  }
  return layout;
}

/** The form that `parseLayout` reads. */
export function layoutText(layout: Layout): string {
  const { schedule, pipeline } = layout;
  const named = schedule === 'dualpipe' || schedule === 'zero-bubble';
  return pipeline > 1 && named ? `${layoutName(layout)} ${schedule}` : layoutName(layout);
}
