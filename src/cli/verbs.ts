/**
 * @file The table of verbs, in the order of the help. A verb's file, and all that it needs, is
 * loaded when it is wanted: to load all of them takes twice as long as most calls do.
 */
import type { Command } from 'commander';

export const verbs: Readonly<Record<string, () => Promise<Command>>> = {
  train: async () => (await import('./train.js')).trainCommand(),
  chat: async () => (await import('./chat.js')).chatCommand(),
  eval: async () => (await import('./eval.js')).evalCommand(),
  serve: async () => (await import('./serve.js')).serveCommand(),
  plan: async () => (await import('./plan.js')).planCommand(),
  bill: async () => (await import('./bill.js')).billCommand(),
  claim: async () => (await import('./claim.js')).claimCommand(),
  validate: async () => (await import('./validate.js')).validateCommand(),
  export: async () => (await import('./export.js')).exportCommand(),
  studio: async () => (await import('./studio.js')).studioCommand(),
  doctor: async () => (await import('./doctor.js')).doctorCommand(),
};

/** The verb that a call names, if there is such a verb. */
export function verbOf(argv: readonly string[]): string | undefined {
  const first = argv.find((part) => !part.startsWith('-'));
  return first !== undefined && Object.hasOwn(verbs, first) ? first : undefined;
}
