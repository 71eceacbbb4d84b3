/**
 * @file The stage kind `sft`: supervised learning in which the tokens of completions are predicted.
 */
import { defineStage } from '../kind.js';
import { createSupervised, type SupervisedOptions, supervisedKind } from '../supervised.js';

export const sft = defineStage<SupervisedOptions>({
  ...supervisedKind('sft', 'completion'),
  create: (context, spec) => createSupervised(context, spec, true),
});
