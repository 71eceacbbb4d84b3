/** @file A run saves its options with the preset filled in, and a resume reads them again. */
import { expect, it } from 'vitest';
import { losses } from '../../training/losses.js';
import { grpoSchema, resolvePreset } from './options.js';

it.each(Object.keys(losses))('%s: options with the preset filled in are options', (loss) => {
  const sizes = { steps: 1, prompts: 1, samples: 2, maxTokens: 4 };
  const options = resolvePreset(grpoSchema.parse({ ...sizes, loss }));
  expect(resolvePreset(grpoSchema.parse(options))).toEqual(options);
});
