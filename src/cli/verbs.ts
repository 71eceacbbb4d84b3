/**
 * @file The table of verbs, in the order of the help.
 */
import type { Command } from 'commander';
import { doctorCommand } from './doctor.js';
import { trainCommand } from './train.js';

export const verbs: readonly (() => Command)[] = [trainCommand, doctorCommand];
