/**
 * @file The table of verbs, in the order of the help.
 */
import type { Command } from 'commander';
import { billCommand } from './bill.js';
import { chatCommand } from './chat.js';
import { claimCommand } from './claim.js';
import { doctorCommand } from './doctor.js';
import { evalCommand } from './eval.js';
import { exportCommand } from './export.js';
import { planCommand } from './plan.js';
import { serveCommand } from './serve.js';
import { studioCommand } from './studio.js';
import { trainCommand } from './train.js';
import { validateCommand } from './validate.js';

export const verbs: readonly (() => Command)[] = [
  trainCommand,
  chatCommand,
  evalCommand,
  serveCommand,
  planCommand,
  billCommand,
  claimCommand,
  validateCommand,
  exportCommand,
  studioCommand,
  doctorCommand,
];
