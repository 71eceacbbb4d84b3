/**
 * @file Reads the cluster of `--on`: an accelerator and a count, or a YAML file.
 *
 * `h800x2048` is a catalogued accelerator and a count. A YAML file may add another price, PUE and
 * load factor, parts of a layout, and for any number a distribution. Missing fields come from the
 * catalog.
 */
import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { z } from 'zod';
import { UserError } from '../../base/errors.js';
import { didYouMean } from '../../base/text/index.js';
import { readYaml } from '../../base/yaml.js';
import { CALIBRATION, type Calibration } from '../../planner/calibration.js';
import type { Accelerator } from '../../planner/cluster.js';
import { distributionSchema, parseDistribution } from '../../planner/distribution.js';
import { acceleratorIds, acceleratorOf } from '../../planner/hardware.js';
import { type ClusterSpec, HARDWARE, type Target, targetOf } from './cluster-target.js';
import { parseLayout } from './layout-text.js';

const hardwareSchema = z.strictObject({
  memoryGb: z.number().positive({ error: 'must be above 0' }).optional(),
  scaleUpSize: z.int().positive({ error: 'must be above 0' }).optional(),
  ...Object.fromEntries(Object.keys(HARDWARE).map((name) => [name, distributionSchema.optional()])),
});

const fileSchema = z.strictObject({
  accelerator: z.string({ error: 'name an accelerator, such as h800' }),
  count: z
    .int({ error: 'must be a whole number' })
    .positive({ error: 'must be above 0' })
    .max(1_000_000),
  layout: z.string().optional(),
  usdPerHour: distributionSchema.optional(),
  priceSource: z.string().optional(),
  pue: distributionSchema.optional(),
  loadFactor: distributionSchema.optional(),
  goodput: distributionSchema.optional(),
  hardware: hardwareSchema.optional(),
  calibration: z
    .partialRecord(z.enum(Object.keys(CALIBRATION) as (keyof Calibration)[]), distributionSchema)
    .optional(),
  correlations: z
    .array(
      z.strictObject({
        between: z.tuple([z.string(), z.string()]),
        rank: z.number().min(-1).max(1),
      }),
    )
    .optional(),
});

/** Known keys within a field. */
const KEYS: Record<string, object> = {
  hardware: hardwareSchema.shape,
  calibration: CALIBRATION,
};

export type { Target } from './cluster-target.js';

/**
 * @param on `<gpu>x<count>` or the path of a YAML file
 * @throws UserError (usage) that says what was wrong, where, and what is known
 */
export function readTarget(on: string): Target {
  const path = /\.ya?ml$/i.test(on) || on.includes('/') || on.includes('\\');
  if (path) return fromFile(on);
  const [, name, count] = /^(.+?)\s*[x×*]\s*(\d+)$/i.exec(on.trim()) ?? [];
  if (name === undefined) {
    const message = `--on ${on}: give local, <gpu>x<count> such as h800x2048, or the path of a .yaml file`;
    throw new UserError('usage', message, '--on');
  }
  const accelerator = known(name, `--on ${on}`);
  if (Number(count) < 1 || Number(count) > 1_000_000) {
    throw new UserError('usage', `--on ${on}: the count must be from 1 to 1,000,000`, '--on');
  }
  return targetOf(`${accelerator.id}x${count}`, accelerator, { count: Number(count) });
}

function known(name: string, where: string): Accelerator {
  const accelerator = acceleratorOf(name);
  if (accelerator === undefined) {
    const ids = acceleratorIds().join(', ');
    throw new UserError(
      'usage',
      `${where}: the accelerator "${name}" is not catalogued; these are: ${ids}`,
      '--on',
    );
  }
  return accelerator;
}

function fromFile(file: string): Target {
  if (!existsSync(file)) throw new UserError('usage', `--on ${file}: no such file`, '--on');
  const data = readYaml(file, 'cluster', 'usage', '--on');
  const result = fileSchema.safeParse(data);
  if (!result.success) {
    const [issue] = result.error.issues;
    const unknown =
      issue.code === 'unrecognized_keys'
        ? issue.keys.slice(0, 1)
        : issue.code === 'invalid_key'
          ? [String(issue.path.at(-1))]
          : [];
    const path = issue.code === 'invalid_key' ? issue.path.slice(0, -1) : issue.path;
    const field = [...path, ...unknown].join('.');
    // Of a number that is none, say which forms there are.
    if (issue.code === 'invalid_union') explain(at(data, issue.path), `${file}: ${field}`, field);
    const known = Object.keys(KEYS[String(issue.path[0])] ?? fileSchema.shape);
    const message =
      unknown.length > 0
        ? `is not a field of a cluster${didYouMean(unknown[0], known)}; these are: ${known.join(', ')}`
        : data === null
          ? 'is empty; give at least accelerator and count'
          : issue.message;
    throw new UserError(
      'usage',
      `${file}: ${field === '' ? message : `${field}: ${message}`}`,
      field || '--on',
    );
  }
  const { accelerator, layout, ...said } = result.data;
  try {
    const given = layout === undefined ? {} : parseLayout(layout, 'layout');
    const spec = { ...(said as ClusterSpec), layout: given };
    return targetOf(basename(file), known(accelerator, `${file}: accelerator`), spec);
  } catch (error) {
    if (!(error instanceof UserError) || error.field === '--on') throw error;
    throw new UserError('usage', `${file}: ${error.message}`, error.field);
  }
}

/** @throws UserError (usage) with what is wrong with a distribution */
function explain(data: unknown, where: string, field: string): void {
  try {
    parseDistribution(data, where);
  } catch (error) {
    throw error instanceof UserError ? new UserError('usage', error.message, field) : error;
  }
}

const at = (data: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>(
    (value, key) => (value as Record<PropertyKey, unknown> | undefined)?.[key],
    data,
  );
