/**
 * @file Slurm: `sacct --parsable2` (or `--parsable`) and `sacct --json`.
 *
 * One row a job, in the resource that it held: its GPUs when it had any (a GPU's hour pays for the
 * processors and the memory beside it), else its processors. Steps (`123.batch`) are part of their
 * job and not counted again. Fields as in sacct(1): AllocTRES is
 * `billing=8,cpu=64,gres/gpu=8,gres/gpu:h100=8,mem=512G,node=1`; times are local to the cluster and
 * carry no zone, so the zone is stated in the rules (UTC where it is not).
 */
import { text } from './duckdb.js';
import { type Fields, flatten, isObject } from './json.js';
import type { Columns, SourceSql } from './source.js';

const KNOWN = [
  'jobid',
  'jobidraw',
  'jobname',
  'account',
  'user',
  'cluster',
  'partition',
  'state',
  'start',
  'end',
  'elapsed',
  'elapsedraw',
  'alloctres',
  'alloccpus',
  'ncpus',
  'qos',
  'nodelist',
  '__record',
];

export function isSlurmHeader(names: readonly string[]): boolean {
  const lower = names.map((one) => one.toLowerCase());
  return (
    (lower.includes('jobid') || lower.includes('jobidraw')) &&
    (lower.includes('start') || lower.includes('elapsed'))
  );
}

/**
 * Columns without which nothing can be billed; the first group that lacks all of its members, as a
 * phrase.
 */
export function missingInSlurm(columns: Columns): string | null {
  const groups = [
    ['JobIDRaw', 'JobID'],
    ['Start'],
    ['ElapsedRaw', 'Elapsed', 'End'],
    ['AllocTRES', 'AllocCPUS', 'NCPUS'],
  ];
  const missing = groups.find((group) => !group.some((one) => columns.has(one.toLowerCase())));
  return missing === undefined ? null : missing.join(' or ');
}

/**
 * A job of `sacct --json` under the names of `sacct --parsable2`; what has no such name keeps its
 * own.
 */
export function slurmFields(job: Record<string, unknown>): Fields {
  const number = (value: unknown): string | null => {
    if (isObject(value)) return value.set === false ? null : number(value.number);
    return typeof value === 'string' && /^\d+$/.test(value) ? value : null;
  };
  const string = (value: unknown): string | null => (typeof value === 'string' ? value : null);
  const time = isObject(job.time) ? job.time : {};
  const tres =
    isObject(job.tres) && Array.isArray(job.tres.allocated)
      ? job.tres.allocated.filter(isObject)
      : [];
  const state = isObject(job.state) ? job.state.current : job.state;
  const end = number(time.end);
  return {
    ...flatten(job, [
      'job_id',
      'account',
      'name',
      'user',
      'cluster',
      'partition',
      'state',
      'time',
      'tres',
      'steps',
    ]),
    JobIDRaw: number(job.job_id),
    JobName: string(job.name),
    Account: string(job.account),
    User: string(job.user),
    Cluster: string(job.cluster),
    Partition: string(job.partition),
    State: Array.isArray(state)
      ? state.filter((one) => typeof one === 'string').join('+')
      : string(state),
    Start: number(time.start) === '0' ? null : number(time.start),
    End: end === '0' ? null : end,
    ElapsedRaw: number(time.elapsed),
    AllocTRES: tres
      .map(
        ({ type, name, count }) =>
          `${String(type)}${name ? `/${String(name)}` : ''}=${number(count) ?? ''}`,
      )
      .join(','),
  };
}

/** @param timezone an IANA name */
export function slurmSql(columns: Columns, timezone: string): SourceSql {
  const column = (...names: string[]): string => {
    const found = names
      .flatMap((one) => columns.get(one.toLowerCase()) ?? [])
      .map((one) => `nullif(${one}, '')`);
    return found.length === 0
      ? 'NULL::VARCHAR'
      : found.length === 1
        ? found[0]
        : `coalesce(${found.join(', ')})`;
  };
  const zoned = (value: string) =>
    timezone === 'UTC' ? value : `((${value} AT TIME ZONE ${text(timezone)}) AT TIME ZONE 'UTC')`;
  const epoch = (value: string) => `make_timestamp(TRY_CAST(${value} AS BIGINT) * 1000000)`;
  const time = (value: string) =>
    `CASE WHEN contains(${value}, '-') THEN ${zoned(`TRY_CAST(${value} AS TIMESTAMP)`)} ELSE ${epoch(value)} END`;
  const elapsed = column('Elapsed');
  const clock = `CASE WHEN contains(${elapsed}, '-') THEN split_part(${elapsed}, '-', 2) ELSE ${elapsed} END`;
  const days = `CASE WHEN contains(${elapsed}, '-') THEN TRY_CAST(split_part(${elapsed}, '-', 1) AS BIGINT) ELSE 0 END`;
  const part = (n: number) => `TRY_CAST(split_part(${clock}, ':', ${n}) AS BIGINT)`;
  const candidates = [
    ...(columns.has('elapsedraw') ? [`TRY_CAST(${column('ElapsedRaw')} AS BIGINT)`] : []),
    ...(columns.has('elapsed')
      ? [`((${days}) * 86400 + ${part(1)} * 3600 + ${part(2)} * 60 + ${part(3)})`]
      : []),
    "date_diff('second', window_start, ended)",
  ];
  const tres = column('AllocTRES');
  // Splitting is several times as fast as a regular expression, and this runs on every row.
  const from = (place: string, mark: string, end = ',', most = 12) =>
    `split_part(substr(${tres}, ${place} + ${mark.length}, ${most}), '${end}', 1)`;
  const types = `list_sum([TRY_CAST(n AS BIGINT) for n in regexp_extract_all(${tres}, 'gres/gpu:[^=,]+=(\\d+)', 1)])::BIGINT`;
  const gpus = `CASE WHEN total_at > 0 THEN coalesce(TRY_CAST(${from('total_at', 'gres/gpu=')} AS BIGINT), 0) WHEN type_at > 0 THEN coalesce(${types}, 0) ELSE 0 END`;
  const held = `CASE WHEN starts_with(${tres}, 'cpu=') THEN TRY_CAST(${from('1', 'cpu=')} AS BIGINT) WHEN contains(${tres}, ',cpu=') THEN TRY_CAST(${from(`strpos(${tres}, ',cpu=')`, ',cpu=')} AS BIGINT) END`;
  const cpus = `coalesce(TRY_CAST(${column('AllocCPUS', 'NCPUS')} AS BIGINT), ${held})`;
  const id = column('JobIDRaw', 'JobID');
  return {
    knows: (lower) => KNOWN.includes(lower),
    fields: {
      native_id: id,
      account: column('Account'),
      cluster: column('Cluster'),
      name: column('JobName'),
      user: column('User'),
      state: column('State'),
      partition: column('Partition'),
      project: column('Account'),
      service: "'slurm'",
      resource: column('NodeList'),
      window_start: time(column('Start')),
      ended: time(column('End')),
      total_at: `strpos(${tres}, 'gres/gpu=')`,
      type_at: `strpos(${tres}, 'gres/gpu:')`,
      gpus,
      seconds: `coalesce(${candidates.join(', ')})`,
      cpus: `CASE WHEN gpus > 0 THEN NULL ELSE ${cpus} END`,
      kind: `CASE WHEN gpus > 0 THEN 'gpu' ELSE 'cpu' END`,
      detail: `CASE WHEN gpus > 0 AND type_at > 0 THEN ${from('type_at', 'gres/gpu:', '=', 64)} ELSE '' END`,
      held: 'CASE WHEN gpus > 0 THEN gpus ELSE cpus END',
      // The first product always fits into 64 bits.
      quanta:
        'CASE WHEN held < 1000000 AND seconds < 9000000 THEN held * seconds * 1000000 ELSE TRY_CAST(held::HUGEINT * seconds * 1000000 AS BIGINT) END',
      window_end: 'coalesce(ended, window_start + to_seconds(seconds))',
    },
    skip: `CASE WHEN contains(native_id, '.') THEN 'job step, part of its job' WHEN seconds = 0 OR (gpus = 0 AND cpus = 0) OR (seconds IS NULL AND window_start IS NULL AND native_id IS NOT NULL AND ${tres} IS NULL) THEN 'job that never ran' END`,
    bad: `CASE WHEN native_id IS NULL THEN 'no JobID' WHEN seconds IS NULL THEN 'no ElapsedRaw, Elapsed or Start and End that can be read' WHEN seconds < 0 THEN 'negative Elapsed' WHEN gpus = 0 AND cpus IS NULL THEN 'no AllocTRES or AllocCPUS that can be read' WHEN window_start IS NULL THEN 'no Start that can be read' WHEN window_end <= window_start THEN 'End is not after Start' WHEN quanta IS NULL THEN 'quantity out of range' END`,
  };
}
