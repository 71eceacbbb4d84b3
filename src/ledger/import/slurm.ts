/**
 * @file Slurm: `sacct --parsable2` (or `--parsable`) and `sacct --json` of Slurm 21.08 to 25.05.
 *
 * One row a job and start, in the resource that it held: its GPUs when it had any (a GPU's hour
 * pays for the processors and the memory beside it), else its processors. Steps (`123.batch`) are
 * part of their job and not counted again. Fields as in sacct(1): AllocTRES is
 * `billing=8,cpu=64,gres/gpu=8,gres/gpu:h100=8,mem=512G,node=1`. A job with several types of GPUs,
 * with MIG slices or with shards becomes a row for each.
 *
 * Times are local to the cluster and carry no zone unless SLURM_TIME_FORMAT adds one, so the zone
 * is stated in the rules (UTC where it is not). Hours are those of ElapsedRaw, which clocks that go
 * back or forward do not change.
 */
import { z } from 'zod';
import { text } from './duckdb.js';
import {
  type Columns,
  columnOf,
  type Entry,
  type Fields,
  type Importer,
  type SourceSql,
  type SqlContext,
} from './importer.js';
import { flatten, isObject } from './json.js';

const options = z.strictObject({
  timezone: z
    .string()
    .min(1)
    .refine(isTimeZone, 'no such time zone; give one such as Europe/Berlin')
    .default('UTC')
    .describe('Of times without an offset; an IANA name.'),
  shardsPerGpu: z
    .number()
    .int()
    .min(1)
    .max(1024)
    .optional()
    .describe('Shards that share one GPU (gres/shard); from gres.conf.'),
});
type Options = z.output<typeof options>;

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}

const KNOWN = [
  ...['jobid', 'jobidraw', 'jobname', 'account', 'user', 'cluster', 'partition', 'state'],
  ...['start', 'end', 'elapsed', 'elapsedraw', 'alloctres', 'allocgres', 'alloccpus', 'ncpus'],
  ...['qos', 'nodelist', 'restarts', '__record'],
];

const isSlurmHeader = (names: readonly string[]): boolean => {
  const lower = names.map((one) => one.toLowerCase());
  return (
    (lower.includes('jobid') || lower.includes('jobidraw')) &&
    (lower.includes('start') || lower.includes('elapsed') || lower.includes('elapsedraw'))
  );
};

/** The first group of columns of which the file has none, as a phrase. */
function missing(columns: Columns): string | null {
  const groups = [
    ['JobIDRaw', 'JobID'],
    ['Start'],
    ['ElapsedRaw', 'Elapsed', 'End'],
    ['AllocTRES', 'AllocGRES', 'AllocCPUS', 'NCPUS'],
  ];
  const absent = groups.find((group) => !group.some((one) => columns.has(one.toLowerCase())));
  return absent === undefined ? null : `no column ${absent.join(' or ')}; add it to sacct --format`;
}

// ── JSON ─────────────────────────────────────────────────────────────────────────────────────────

/** A number of any version: plain, or `{set, infinite, number}` since 22.05. */
function numberOf(value: unknown): string | null {
  if (isObject(value))
    return value.set === false || value.infinite === true ? null : numberOf(value.number);
  return typeof value === 'string' && /^\d+$/.test(value) ? value : null;
}

const stringOf = (value: unknown): string | null => (typeof value === 'string' ? value : null);

/** A job under the names of `sacct --parsable2`; what has no such name keeps its own. */
function fieldsOf(job: Record<string, unknown>): Fields {
  const time = isObject(job.time) ? job.time : {};
  const tres =
    isObject(job.tres) && Array.isArray(job.tres.allocated)
      ? job.tres.allocated.filter(isObject)
      : [];
  // A word, a list of flags, or an object around either.
  const state = isObject(job.state) ? job.state.current : job.state;
  const [start, end] = [numberOf(time.start), numberOf(time.end)];
  return {
    ...flatten(job, [
      ...['job_id', 'account', 'name', 'user', 'cluster', 'partition', 'state', 'time', 'tres'],
      ...['steps'],
    ]),
    JobIDRaw: numberOf(job.job_id),
    JobName: stringOf(job.name),
    Account: stringOf(job.account),
    User: stringOf(job.user) ?? (isObject(job.user) ? stringOf(job.user.name) : null),
    Cluster: stringOf(job.cluster),
    Partition: stringOf(job.partition),
    State: Array.isArray(state)
      ? state.filter((one) => typeof one === 'string').join('+')
      : stringOf(state),
    Start: start === '0' ? null : start,
    End: end === '0' ? null : end,
    ElapsedRaw: numberOf(time.elapsed),
    Restarts: numberOf(job.restart_cnt),
    AllocTRES: tres
      .map(
        ({ type, name, count }) =>
          `${String(type)}${name ? `/${String(name)}` : ''}=${numberOf(count) ?? ''}`,
      )
      .join(','),
  };
}

const EMPTY: Fields = { JobIDRaw: null, Start: null, ElapsedRaw: null, AllocTRES: null };

function detect(head: Parameters<Importer['detect']>[0]): string | null {
  if (head.form !== 'json') {
    if (!isSlurmHeader(head.names)) return null;
    return head.form === 'text' ? 'slurm-parsable' : 'slurm-parquet';
  }
  const { content } = head;
  return isObject(content) && Array.isArray(content.jobs) ? 'slurm-json' : null;
}

function entries(content: unknown): Entry[] {
  const { jobs } = content as { jobs: unknown[] };
  return jobs.map((job): Entry => {
    if (!isObject(job)) return { refused: 'not a job' };
    if (!('time' in job) && ('job_state' in job || 'start_time' in job))
      return {
        refused: 'this is squeue or scontrol, which know no hours used; use sacct --json',
      };
    return { ...EMPTY, ...fieldsOf(job) };
  });
}

// ── SQL ──────────────────────────────────────────────────────────────────────────────────────────

/**
 * A time of sacct: seconds since 1970, ISO with an offset (SLURM_TIME_FORMAT), or local to the
 * zone of the rules.
 */
function timeSql(value: string, timezone: string): string {
  const local = `TRY_CAST(${value} AS TIMESTAMP)`;
  const zoned =
    timezone === 'UTC' ? local : `((${local} AT TIME ZONE ${text(timezone)}) AT TIME ZONE 'UTC')`;
  const epoch = `TRY(make_timestamp(TRY_CAST(${value} AS BIGINT) * 1000000))`;
  const offset = `(TRY_CAST(${value} AS TIMESTAMPTZ) AT TIME ZONE 'UTC')`;
  return `CASE WHEN strlen(${value}) = 19 THEN ${zoned} WHEN strlen(${value}) > 19 OR ends_with(${value}, 'Z') THEN ${offset} WHEN contains(${value}, '-') THEN ${zoned} ELSE ${epoch} END`;
}

/** No job runs for 285 years; a time that far ahead has no date. */
const LONGEST_SECONDS = 9_000_000_000;

/** `[days-]hours:minutes:seconds`, or `minutes:seconds`, in seconds. */
function elapsedSql(elapsed: string): string {
  const clock = `CASE WHEN contains(${elapsed}, '-') THEN split_part(${elapsed}, '-', 2) ELSE ${elapsed} END`;
  const days = `CASE WHEN contains(${elapsed}, '-') THEN TRY_CAST(split_part(${elapsed}, '-', 1) AS INTEGER)::BIGINT ELSE 0 END`;
  const part = (n: number) => `TRY_CAST(split_part(${clock}, ':', ${n}) AS INTEGER)::BIGINT`;
  return `CASE WHEN ${part(3)} IS NULL THEN ${part(1)} * 60 + ${part(2)} ELSE (${days}) * 86400 + ${part(1)} * 3600 + ${part(2)} * 60 + ${part(3)} END`;
}

/**
 * What a job held of several kinds of GPUs, as a list of parts. A MIG slice is as many sevenths of
 * a GPU as it has compute slices (quarters of an A30, whose slices have 6 GB each); a shard is what
 * the rules state.
 */
function partsSql(tres: string, shardsPerGpu: number | undefined): string {
  const all = (group: number) =>
    `regexp_extract_all(${tres}, 'gres/gpu:([^=,]+)=(\\d+)', ${group})`;
  const slices = `TRY_CAST(regexp_extract(t.a, '(\\d+)g\\.\\d+gb', 1) AS BIGINT)`;
  const of = `CASE WHEN regexp_matches(t.a, '(1g\\.6gb|2g\\.12gb|4g\\.24gb)') THEN 4 ELSE 7 END`;
  const typed = `list_transform(list_zip(${all(1)}, ${all(2)}), lambda z: struct_pack(a := z[1], n := TRY_CAST(z[2] AS BIGINT)))`;
  const quanta = (count: string, share = '1', parts = '1') =>
    `(${count}::HUGEINT * seconds * 1000000 * ${share} // ${parts})::BIGINT`;
  const part = (name: string, amount: string) =>
    `{part: ${name}, kind: 'gpu', detail: ${name}, quanta: ${amount}, amount: 0::DECIMAL(38, 18)}`;
  const untyped = `greatest(0, gpus - coalesce(list_sum([t.n for t in typed]), 0))::BIGINT`;
  const shards =
    shardsPerGpu === undefined
      ? '[]'
      : `[${part("'shard'", quanta('shards', '1', String(shardsPerGpu)))}]`;
  return `list_concat(list_transform(${typed}, lambda t: ${part('t.a', quanta('t.n', `coalesce(${slices}, 1)`, `CASE WHEN ${slices} IS NULL THEN 1 ELSE ${of} END`))}), [${part("''", quanta(untyped.replace('typed', typed)))}], ${shards})`;
}

function toSql({ columns, options, several }: SqlContext<Options>): SourceSql {
  const column = (...names: string[]): string => columnOf(columns, ...names);
  const { timezone, shardsPerGpu } = options;
  const candidates = [
    ...(columns.has('elapsedraw') ? [`TRY_CAST(${column('ElapsedRaw')} AS BIGINT)`] : []),
    ...(columns.has('elapsed') ? [`(${elapsedSql(column('Elapsed'))})`] : []),
    "date_diff('second', began, ended)",
  ];
  // Old versions have AllocGRES (`gpu:tesla:2,craynetwork:1`), beside AllocTRES without GPUs or
  // without it.
  const gres = column('AllocGRES');
  const converted = `regexp_replace(regexp_replace(${gres}, '\\([^)]*\\)', '', 'g'), '(^|,)((?:gpu|shard)(?::[^:,=]+)?)[:=](\\d+)', '\\1gres/\\2=\\3', 'g')`;
  const stated = column('AllocTRES');
  const tres = !columns.has('allocgres')
    ? stated
    : `CASE WHEN contains(${stated}, 'gres/') OR ${gres} IS NULL THEN ${stated} ELSE concat_ws(',', ${stated}, ${converted}) END`;
  // Splitting is several times as fast as a regular expression, and this runs on every row.
  const from = (place: string, mark: string, end = ',', most = 12) =>
    `split_part(substr(tres, ${place} + ${mark.length}, ${most}), '${end}', 1)`;
  const types = `list_sum([TRY_CAST(n AS BIGINT) for n in regexp_extract_all(tres, 'gres/gpu:[^=,]+=(\\d+)', 1)])::BIGINT`;
  const gpus = `CASE WHEN total_at > 0 THEN coalesce(TRY_CAST(${from('total_at', 'gres/gpu=')} AS BIGINT), 0) WHEN type_at > 0 THEN coalesce(${types}, 0) ELSE 0 END`;
  const cpusHeld = `CASE WHEN starts_with(tres, 'cpu=') THEN TRY_CAST(${from('1', 'cpu=')} AS BIGINT) WHEN contains(tres, ',cpu=') THEN TRY_CAST(${from(`strpos(tres, ',cpu=')`, ',cpu=')} AS BIGINT) END`;
  const cpus = `coalesce(TRY_CAST(${column('AllocCPUS', 'NCPUS')} AS BIGINT), ${cpusHeld})`;
  const id = column('JobIDRaw', 'JobID');
  // Ids of two clusters are told apart by the cluster; where that is not exported, by the job.
  const identity =
    several && !columns.has('cluster')
      ? `concat_ws(' ', ${id}, ${column('JobName')}, ${column('User')}, ${column('Account')})`
      : id;
  // On the night when clocks go back an hour occurs twice, and a start in it may be the earlier.
  const earlier = 'began - INTERVAL 1 HOUR';
  const start =
    timezone === 'UTC'
      ? 'began'
      : `CASE WHEN date_diff('second', began, ended) = seconds - 3600 AND ((${earlier}) AT TIME ZONE 'UTC') AT TIME ZONE ${text(timezone)} = (began AT TIME ZONE 'UTC') AT TIME ZONE ${text(timezone)} THEN ${earlier} ELSE began END`;
  return {
    knows: (lower) => KNOWN.includes(lower),
    fields: {
      job: id,
      native_id: identity,
      account: column('Account'),
      cluster: column('Cluster'),
      name: column('JobName'),
      user: column('User'),
      state: column('State'),
      partition: column('Partition'),
      project: column('Account'),
      service: "'slurm'",
      resource: column('NodeList'),
      tres,
      began: timeSql(column('Start'), timezone),
      ended: timeSql(column('End'), timezone),
      total_at: `strpos(tres, 'gres/gpu=')`,
      type_at: `strpos(tres, 'gres/gpu:')`,
      shards: `CASE WHEN contains(tres, 'gres/shard') THEN TRY_CAST(regexp_extract(tres, 'gres/shard(?::[^=,]+)?=(\\d+)', 1) AS BIGINT) END`,
      gpus,
      seconds: `coalesce(${candidates.join(', ')})`,
      cpus: `CASE WHEN gpus > 0 THEN NULL ELSE ${cpus} END`,
      kind: `CASE WHEN gpus > 0 OR shards > 0 THEN 'gpu' ELSE 'cpu' END`,
      detail: `CASE WHEN gpus > 0 AND type_at > 0 THEN ${from('type_at', 'gres/gpu:', '=', 64)} ELSE '' END`,
      several_types: `(shards > 0 OR contains(detail, 'g.') OR (type_at > 0 AND contains(substr(tres, type_at + 9), 'gres/gpu:'))) IS TRUE`,
      held: 'CASE WHEN gpus > 0 THEN gpus ELSE cpus END',
      // The first product always fits into 64 bits.
      quanta:
        'CASE WHEN held < 1000000 AND seconds < 9000000 THEN held * seconds * 1000000 ELSE TRY_CAST(held::HUGEINT * seconds * 1000000 AS BIGINT) END',
      window_start: start,
      // A job that was suspended ends later than its elapsed time says, and never earlier.
      window_end: `CASE WHEN seconds < ${LONGEST_SECONDS} THEN greatest(window_start + to_seconds(seconds), coalesce(ended, window_start + to_seconds(seconds))) END`,
    },
    parts: partsSql('tres', shardsPerGpu),
    partsWhere: 'several_types',
    skip: `CASE WHEN contains(job, '.') THEN 'job step, part of its job' WHEN seconds = 0 OR (gpus = 0 AND cpus = 0 AND shards IS NULL) OR (seconds IS NULL AND began IS NULL AND job IS NOT NULL AND tres IS NULL) THEN 'job that never ran' END`,
    bad: `CASE WHEN job IS NULL THEN 'no JobID' WHEN seconds IS NULL THEN 'no ElapsedRaw, Elapsed or Start and End that can be read' WHEN seconds < 0 THEN 'negative Elapsed' WHEN seconds >= ${LONGEST_SECONDS} THEN 'an elapsed time of centuries' WHEN shards > 0 AND ${shardsPerGpu === undefined} THEN 'gres/shard is a part of a GPU: state "slurm": {"shardsPerGpu": …} in the rules' WHEN gpus = 0 AND cpus IS NULL AND shards IS NULL THEN 'no AllocTRES or AllocCPUS that can be read' WHEN began IS NULL THEN 'no Start that can be read' WHEN quanta IS NULL AND NOT several_types THEN 'quantity out of range' END`,
  };
}

/** Patterns of states: as a word, cut off at ten characters, as a flag among several, or short. */
const states = (...words: string[]): string[] =>
  words.flatMap((word) => (word.length <= 3 ? [word] : [`${word}*`, `*+${word}*`]));

export const FAILED_STATES = states(
  ...['FAILED', 'CANCELLED', 'TIMEOUT', 'NODE_FAIL', 'OUT_OF_ME', 'BOOT_FAIL', 'DEADLINE'],
  ...['REVOKED', 'LAUNCH_FAILED', 'RECONFIG_FAIL', 'F', 'CA', 'TO', 'NF', 'OOM', 'BF', 'DL', 'RV'],
);
/** Starts that ended so that the job could start again: what they did was lost. */
export const LOST_STATES = states(
  ...['REQUEUED', 'REQUEUE_', 'PREEMPTED', 'SPECIAL_EXIT', 'RQ', 'PR', 'SE'],
);

export const slurm: Importer<Options> = {
  name: 'slurm',
  formats: ['slurm-parsable', 'slurm-json', 'slurm-parquet'],
  expects: 'sacct --parsable2, sacct --json',
  columns: KNOWN,
  detect,
  entries,
  missing,
  toSql,
  defaultRules: [
    { when: { state: LOST_STATES }, is: 'lost' },
    { when: { state: FAILED_STATES }, is: 'failed' },
  ],
  notes: ({ timezone }, files) => [
    ...(timezone === 'UTC' && files.some(({ format }) => format !== 'slurm-json')
      ? [
          'Slurm writes local times without a zone: UTC is assumed; "slurm": {"timezone": …} in the rules states it.',
        ]
      : []),
    ...(files.some(({ repeatedIds, rows }) => !repeatedIds && rows > 0)
      ? [
          'No job in the Slurm files has more than one start. Without --duplicates sacct shows only the last start of a requeued job; with it, earlier starts are billed as lost work.',
        ]
      : []),
  ],
  money: 'none',
  options,
};
