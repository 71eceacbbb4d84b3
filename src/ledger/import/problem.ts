/**
 * @file What a file holds that is not a usage file: an error answer of an API, a page, a pointer.
 * Its message is quoted, so that a failed export is not taken for a bill of zero.
 */
import { isObject } from './json.js';

/** Longer messages are cut. */
const SHOWN = 200;

const short = (text: string): string => {
  const line = text.replace(/\s+/g, ' ').trim();
  return line.length > SHOWN ? `${line.slice(0, SHOWN)}…` : line;
};

/** A message in an object or a list of errors; null where there is none. */
function messageOf(value: unknown, depth = 0): string | null {
  if (typeof value === 'string') return value.trim() === '' ? null : value;
  if (depth > 3) return null;
  if (Array.isArray(value)) {
    const all = value.slice(0, 5).flatMap((one) => messageOf(one, depth + 1) ?? []);
    return all.length === 0 ? null : all.join('; ');
  }
  if (!isObject(value)) return null;
  const parts = [
    'description',
    'message',
    'detail',
    'title',
    'error',
    'error_description',
    'reason',
  ]
    .flatMap((key) => messageOf(value[key], depth + 1) ?? [])
    .filter((one, i, all) => all.indexOf(one) === i);
  return parts.length === 0 ? null : parts.slice(0, 2).join(': ');
}

/** The error that a JSON answer reports instead of, or beside, its data; null where it is none. */
export function errorInJson(content: unknown): string | null {
  if (!isObject(content)) return null;
  const { errors, error, code, status, message } = content;
  const listed = Array.isArray(errors)
    ? errors.length > 0
    : errors !== undefined && errors !== null;
  if (listed && errors !== false) {
    const said = messageOf(errors);
    if (said !== null) return short(said);
  }
  if (error !== undefined && error !== null && error !== false) {
    const said = messageOf(error) ?? messageOf(message);
    if (said !== null) return short(said);
  }
  const number = Number(code ?? status);
  const failed =
    number >= 400 ||
    /^(error|fail|failed|failure|unauthori[sz]ed|forbidden)$/i.test(String(status));
  if (failed) return short(messageOf(message) ?? messageOf(content) ?? `status ${code ?? status}`);
  const holdsData = ['data', 'jobs', 'sets', 'allocations', 'assets'].some((key) => key in content);
  if (!holdsData && messageOf(message) !== null) return short(messageOf(message) as string);
  return null;
}

/** What `squeue` and `scontrol` answer: jobs of now, without what they used. */
function isQueue(content: unknown): boolean {
  if (!isObject(content)) return false;
  const { meta, jobs } = content;
  const command = isObject(meta) && Array.isArray(meta.command) ? meta.command.join(' ') : '';
  if (/squeue|scontrol/.test(command)) return true;
  return (
    Array.isArray(jobs) &&
    jobs.length > 0 &&
    jobs.every((job) => isObject(job) && 'job_state' in job && !('time' in job))
  );
}

/** True when an object within a few levels has the key. */
function hasKey(value: unknown, key: string, depth = 4): boolean {
  if (depth === 0 || typeof value !== 'object' || value === null) return false;
  if (!Array.isArray(value) && Object.hasOwn(value, key)) return true;
  return Object.values(value)
    .slice(0, 5)
    .some((inner) => hasKey(inner, key, depth - 1));
}

/** JSON of tools of this field that holds no usage, with what to export instead; null for others. */
export function otherJson(content: unknown): string | null {
  if (isQueue(content))
    return 'this is squeue or scontrol, which know no hours used; use sacct --json';
  if (!isObject(content)) return null;
  if ('sinfo' in content || 'nodes' in content)
    return 'this is sinfo or scontrol, which know nodes and no jobs; use sacct --json';
  if (hasKey(content, 'cloudCosts'))
    return "these are cloud costs, which are no allocations; export the cloud's bill as FOCUS";
  return null;
}

/** Exports of this field in columns of their own: a name in the header, and what to do. */
const OTHER_HEADERS: readonly [header: RegExp, what: string][] = [
  [
    /lineitem\/|line_item_/i,
    'a Cost and Usage Report of AWS in columns of its own; export it as FOCUS',
  ],
  [
    /costinbillingcurrency|pretaxcost/i,
    'a cost export of Azure in columns of its own; export it as FOCUS',
  ],
  [
    /usage_start_time|usage\.start_time/i,
    'a billing export of Google Cloud in columns of its own; export it as FOCUS',
  ],
  [/\btres name\b/i, 'this is sreport, which has sums and no jobs; use sacct --parsable2'],
];

/** First bytes of files that are no text. */
const MAGIC: readonly [bytes: string, what: string][] = [
  ['PK\x03\x04', 'a ZIP archive or a spreadsheet; unpack it, or save it as CSV'],
  ['(\xb5/\xfd', 'compressed by zstd; decompress it'],
  ['BZh', 'compressed by bzip2; decompress it'],
  ['\xfd7zXZ', 'compressed by xz; decompress it'],
  ['7z\xbc\xaf', 'a 7z archive; unpack it'],
  ['ARROW1', 'an Arrow file; write it as Parquet'],
  ['Obj\x01', 'an Avro file; write it as Parquet'],
  ['ORC', 'an ORC file; write it as Parquet'],
];

/** What a file that is no text is, in words; null where its first bytes are of no known kind. */
export function describeBinary(bytes: Buffer): string | null {
  const first = bytes.subarray(0, 8).toString('latin1');
  return MAGIC.find(([magic]) => first.startsWith(magic))?.[1] ?? null;
}

/** What a text file is that has no known header, in words. */
export function describeText(head: string): string {
  const text = head.replace(/^\ufeff/, '').trimStart();
  if (text === '') return 'the file is empty';
  if (text.startsWith('version https://git-lfs.github.com/spec/'))
    return 'a Git LFS pointer in place of the file; run git lfs pull';
  if (/^(<!doctype html|<html)/i.test(text)) {
    const title = /<title>([^<]*)<\/title>/i.exec(text)?.[1];
    return `a web page${title ? `, "${short(title)}"` : ''}, and not an export`;
  }
  if (text.startsWith('<')) {
    const message = /<Message>([^<]*)<\/Message>/i.exec(text)?.[1];
    return `XML${message ? ` with the message "${short(message)}"` : ''}, and not an export`;
  }
  const [line] = text.split(/\r?\n/, 1);
  const other = OTHER_HEADERS.find(([header]) => header.test(line));
  if (other !== undefined) return other[1];
  return `no usage file that is known here; it begins with "${short(line)}"`;
}
