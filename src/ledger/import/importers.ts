/**
 * @file The table of importers of usage files. A new importer is one file and one row here.
 */
import { focus } from './focus.js';
import type { Importer } from './importer.js';
import { opencost } from './opencost.js';
import { slurm } from './slurm.js';

/** Asked in this order: the columns of FOCUS are the most particular. */
export const IMPORTERS: readonly Importer[] = [focus, slurm, opencost];
