/**
 * @file `strftime_now` of chat templates: the date of today in Python's words, as Llama 3.1 to 3.3
 * and SmolLM3 write it into their system message.
 *
 * A prompt then depends on the day. `SOURCE_DATE_EPOCH` (seconds; reproducible-builds.org) fixes it,
 * in UTC, for runs and evaluations that must be the same on another day.
 */
const MONTHS = [
  'January',
  'February',
  'March',
  'April',
  'May',
  'June',
  'July',
  'August',
  'September',
  'October',
  'November',
  'December',
];
const DAYS = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'];
const DAY_MS = 86_400_000;

const two = (number: number): string => String(number).padStart(2, '0');

/** Directives, of a date whose UTC fields are those to be shown. */
const DIRECTIVES: Record<string, (date: Date) => string> = {
  Y: (date) => String(date.getUTCFullYear()),
  y: (date) => two(date.getUTCFullYear() % 100),
  m: (date) => two(date.getUTCMonth() + 1),
  B: (date) => MONTHS[date.getUTCMonth()],
  b: (date) => MONTHS[date.getUTCMonth()].slice(0, 3),
  d: (date) => two(date.getUTCDate()),
  j: (date) =>
    String(Math.floor((date.getTime() - Date.UTC(date.getUTCFullYear())) / DAY_MS) + 1).padStart(
      3,
      '0',
    ),
  A: (date) => DAYS[date.getUTCDay()],
  a: (date) => DAYS[date.getUTCDay()].slice(0, 3),
  H: (date) => two(date.getUTCHours()),
  I: (date) => two(date.getUTCHours() % 12 || 12),
  M: (date) => two(date.getUTCMinutes()),
  S: (date) => two(date.getUTCSeconds()),
  p: (date) => (date.getUTCHours() < 12 ? 'AM' : 'PM'),
  '%': () => '%',
};

/** Longest format; a directive writes nine characters at most. */
const MOST_FORMAT = 1000;

/** Today by a format of Python's `strftime`; a directive that is not known stays as it is. */
export function strftimeNow(format: unknown): string {
  if (typeof format !== 'string' || format.length > MOST_FORMAT)
    throw new Error('strftime_now needs a short format');
  const fixed = Number(globalThis.process?.env?.SOURCE_DATE_EPOCH || Number.NaN);
  const now = new Date();
  const date = Number.isFinite(fixed)
    ? new Date(fixed * 1000)
    : new Date(now.getTime() - now.getTimezoneOffset() * 60_000);
  return format.replace(/%(.)/g, (whole, letter: string) => DIRECTIVES[letter]?.(date) ?? whole);
}
