/**
 * @file Whether a value read from `events.jsonl` is an event. Hand-written rather than a schema
 * library: a log has many lines, and a line that is wrong is skipped and listed, never a reason to
 * stop.
 */
import type { RunEventType } from './events.js';
import type { Usage } from './usage.js';

const USAGE_NUMBERS: readonly (keyof Usage)[] = [
  'wallSeconds',
  'workerSeconds',
  'tokensIn',
  'tokensOut',
  'modelFlops',
  'energyJoules',
  'peakMemoryBytes',
  'storedBytes',
];
const BASES = new Set(['measured', 'estimated', 'predicted', 'published', 'assumed']);
const PURPOSES = new Set(['training', 'evaluation', 'inference', 'data', 'overhead']);

type Field = readonly [name: string, type: 'string' | 'number' | 'object'];

/** The fields without which a reader could not use an event. */
const REQUIRED: Record<RunEventType, readonly Field[]> = {
  started: [['recipe', 'string']],
  resumed: [['fromStep', 'number']],
  'stage-started': [
    ['stage', 'string'],
    ['kind', 'string'],
  ],
  'stage-ended': [['stage', 'string']],
  metrics: [
    ['stage', 'string'],
    ['values', 'object'],
  ],
  usage: [['usage', 'object']],
  evaluation: [
    ['stage', 'string'],
    ['task', 'string'],
    ['label', 'string'],
    ['results', 'object'],
  ],
  checkpoint: [['path', 'string']],
  warning: [['message', 'string']],
  ended: [['reason', 'string']],
};

/** What is wrong with a parsed line, or null. Event types of a later version pass. */
export function problemOf(value: unknown): string | null {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return 'not an object';
  const event = value as Record<string, unknown>;
  if (typeof event.type !== 'string') return 'type is missing';
  if (!Number.isInteger(event.attempt) || (event.attempt as number) < 0)
    return 'attempt is not a count';
  if (!Number.isInteger(event.step) || (event.step as number) < 0) return 'step is not a count';
  if (typeof event.time !== 'string') return 'time is missing';
  for (const [name, type] of Object.hasOwn(REQUIRED, event.type)
    ? REQUIRED[event.type as RunEventType]
    : []) {
    const field = event[name];
    if (typeof field !== type || field === null) return `${name} is missing or not of type ${type}`;
  }
  return event.type === 'usage' ? usageProblem(event.usage as Record<string, unknown>) : null;
}

/**
 * What is wrong with a usage record, or null: every quantity must be a finite number, none
 * negative.
 */
export function usageProblem(usage: Record<string, unknown>): string | null {
  if (typeof usage.stage !== 'string') return 'usage.stage is missing';
  if (!PURPOSES.has(usage.purpose as string))
    return `usage.purpose is not one of ${[...PURPOSES].join(', ')}`;
  if (!BASES.has(usage.basis as string) || !BASES.has(usage.energyBasis as string)) {
    return `usage.basis or usage.energyBasis is not one of ${[...BASES].join(', ')}`;
  }
  for (const name of USAGE_NUMBERS) {
    const number = usage[name];
    if (typeof number !== 'number' || !Number.isFinite(number) || number < 0)
      return `usage.${name} is not a number from 0 up`;
  }
  const { acceleratorSeconds: seconds } = usage;
  if (seconds !== undefined && !(typeof seconds === 'number' && seconds >= 0 && seconds < Infinity))
    return 'usage.acceleratorSeconds is not a number from 0 up';
  return null;
}
