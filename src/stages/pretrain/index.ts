/**
 * @file The stage kind `pretrain`: supervised learning in which every token of prompt and demonstration is predicted.
 */
import { defineStage } from '../kind.js';
import { createSupervised, type SupervisedOptions, supervisedKind } from '../supervised.js';

export const pretrain = defineStage<SupervisedOptions>({
  ...supervisedKind('pretrain', 'all'),
  create: (context, spec) => createSupervised(context, spec, false),
});
