/**
 * @file Whether two answers to a question of mathematics are the same, however they are written.
 *
 * Both are parsed (`lexer.ts`, `parser.ts`) and compared by value (`compare.ts`); what cannot be
 * read is compared as text. Nothing is rewritten and nothing is evaluated as code, and the work of
 * a comparison has a limit that is counted and not timed.
 */
import { OutOfSteps, withBudget } from './budget.js';
import { same, sameForm, spread } from './compare.js';
import { signatureOf } from './evaluate.js';
import { markedAnswer } from './find.js';
import { tokensOf } from './lexer.js';
import { parseAnswerTokens } from './parser.js';
import { type Token, Unreadable } from './tokens.js';
import type { Value } from './tree.js';
import { plainWords, wordsOf } from './words.js';

/** Longer answers are compared as text. */
const MAX_LENGTH = 2000;
const MAX_TOKENS = 600;

export interface MatchOptions {
  /** Relative, for numbers; 0 is exact. */
  readonly tolerance?: number;
  /** Forgives spelling and nothing else. */
  readonly strict?: boolean;
}

/** An answer's readings, the likeliest first, and which of them it has as a truth. */
export interface Answer {
  readonly readings: readonly Value[];
  /** How many of them hold where the answer is the truth: `100,200` there is two numbers. */
  readonly certain: number;
}

/** What an answer says. Never throws. */
export const parseAnswer = (raw: string): Answer => withBudget(() => readingsIn(raw));

function readingsIn(raw: string): Answer {
  const marked = raw.length > 20 * MAX_LENGTH ? raw : (markedAnswer(raw) ?? raw);
  if (marked.length > MAX_LENGTH)
    return { readings: [{ k: 'text', text: plainWords(marked) }], certain: 1 };
  let tokens: Token[] | null = null;
  try {
    tokens = tokensOf(marked);
    if (tokens.length > MAX_TOKENS) throw new Unreadable();
    // A single letter or a word is a name, and its case says nothing.
    const letter = /^[\s("'*[]*([a-zA-Z])[\s)"'*.\]]*$/.exec(
      marked.replace(/\\text\w*\{|[{}$]/g, ''),
    )?.[1];
    if (letter !== undefined && !/[ei]/.test(letter))
      return {
        readings: [
          {
            k: 'formula',
            node: { k: 'sym', name: letter.toLowerCase() },
            unit: null,
            percent: false,
          },
        ],
        certain: 1,
      };
    const value = parseAnswerTokens(tokens);
    return readingsOf(tokens, value);
  } catch (error) {
    const refused =
      error instanceof Unreadable || error instanceof OutOfSteps || error instanceof RangeError;
    if (!refused) throw error;
    const text = tokens === null ? plainWords(marked) : wordsOf(tokens);
    return { readings: [{ k: 'text', text }], certain: 1 };
  }
}

/** `100,200` is one number or two. */
function readingsOf(tokens: readonly Token[], value: Value): Answer {
  const numbers = tokens.filter((token) => token.t === 'num');
  const [only] = numbers;
  const twofold = numbers.length === 1 && only.t === 'num' && only.groups !== null;
  if (!twofold || value.k !== 'formula' || value.unit !== null || tokens.length > 3)
    return { readings: [value], certain: 1 };
  const groups = only.groups as readonly string[];
  const items = groups.map((group) => parseAnswer(group).readings[0]);
  const list: Value = { k: 'list', form: 'bare', items };
  // Round numbers that rise, and groups that are no thousands, are a list.
  const round = groups.every((group) => /0$/.test(group));
  const listed = groups.some((group) => group.length === 2) || round;
  return listed ? { readings: [list, value], certain: 1 } : { readings: [value, list], certain: 2 };
}

/** Whether `given` says the same as `truth`. */
export function sameParsed(truth: Answer, given: Answer, options: MatchOptions = {}): boolean {
  const { tolerance = 0, strict = false } = options;
  const readings = truth.readings.slice(0, truth.certain);
  const some = (equal: (a: Value, b: Value) => boolean): boolean =>
    readings.some((a) => given.readings.some((b) => equal(a, b)));
  if (strict) return some(sameForm);
  try {
    return withBudget(() => some((a, b) => same(a, b, { tolerance })));
  } catch (error) {
    if (!(error instanceof OutOfSteps)) throw error;
    return some(sameForm);
  }
}

/** Whether two texts are the same answer. */
export const sameAnswer = (truth: string, given: string, options: MatchOptions = {}): boolean =>
  withBudget(() => sameParsed(parseAnswer(truth), parseAnswer(given), options));

/**
 * One text for answers that say the same (`1/2`, `0.5`, `\frac{1}{2} m`); units aside, since not
 * every answer has one.
 */
export function canonicalAnswer(raw: string): string {
  const write = (one: Value): string => {
    const value = spread(one);
    switch (value.k) {
      case 'text':
        return value.text;
      case 'formula': {
        const text = signatureOf(value.node) ?? JSON.stringify(value.node, plainNumbers);
        return value.percent ? `${text}%` : text;
      }
      case 'named':
        return write(value.value);
      case 'list': {
        const items = value.items.map(write);
        const open = value.form === 'bare' || value.form === 'set';
        return open ? `{${items.sort().join(';')}}` : `${value.form}${items.join(';')})`;
      }
      default:
        return JSON.stringify(value, plainNumbers);
    }
  };
  try {
    return withBudget(() => write(parseAnswer(raw).readings[0]));
  } catch (error) {
    if (!(error instanceof OutOfSteps)) throw error;
    return plainWords(raw);
  }
}

const plainNumbers = (key: string, value: unknown): unknown =>
  typeof value === 'bigint' ? `${value}` : key === 'places' || key === 'loose' ? undefined : value;

export { answerIn, lastBox, lastLine, lastNumber, markedAnswer, tagged } from './find.js';
