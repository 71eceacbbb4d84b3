/** @file The table of optimizers. A new one is a file here and a row. */
import { adamw } from './adamw.js';
import { muon } from './muon.js';

/** The first trains what is no hidden matrix; a recipe chooses one for the matrices. */
export const optimizers = { adamw, muon };

export type OptimizerName = keyof typeof optimizers;
