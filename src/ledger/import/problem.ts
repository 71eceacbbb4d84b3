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
export function isQueue(content: unknown): boolean {
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
  return `no usage file that is known here; it begins with "${short(line)}"`;
}
