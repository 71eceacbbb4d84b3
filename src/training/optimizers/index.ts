/** @file The table of optimizers. A new one is a file here and a row. */
import { adamw } from './adamw.js';
import { muon } from './muon.js';
import type { UpdateRule } from './rule.js';

/**
 * The first trains what is no hidden matrix; a recipe chooses one for the matrices. A row that a
 * program adds takes the options of the others.
 */
export const optimizers: Record<string, UpdateRule> = { adamw, muon };
