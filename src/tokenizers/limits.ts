/**
 * @file Limits on a stranger's `tokenizer.json`: what it may hold, how much longer it may make a
 * text, and how long it may take.
 *
 * The file is a program of a kind: a chain of normalizers, pre-tokenizers and decoders, with
 * regular expressions of its maker. Three things keep it within bounds. Its steps are checked when
 * it is opened. Steps that can make a text longer are metered as they run. And unless every
 * regular expression is one that is known to be harmless (patterns.ts), each call has a time limit.
 */
import { isKnownLinear } from './patterns.js';
import { withTimeLimit } from './time-limit.js';

type Json = Record<string, unknown>;

const MOST_STEPS = 64;
const DEEPEST = 8;
const MOST_PATTERN_CHARACTERS = 20_000;
/** Of a replacement, or of what is put before a text. */
const MOST_CONTENT_CHARACTERS = 1000;
/** Longest word that WordPiece looks for pieces in: its time grows with the square. */
const MOST_WORD_CHARACTERS = 1000;
/** Characters that the steps of one call may make in all: so many, and for each of the text's. */
const MADE = { least: 1_000_000, each: 64 };
/** Places × longest token of a Unigram model: nodes of its lattice. */
const MOST_LATTICE_NODES = 8_000_000;

/** A time limit: so much at least, and more for each character, at a tenth of the usual speed. */
const LEAST_MS = 1000;
const CHARACTERS_A_MS = 200;
/** Entries of the vocabulary that are read in a millisecond. */
const ENTRIES_A_MS = 50;

const STAGES = ['normalizer', 'pre_tokenizer', 'post_processor', 'decoder'] as const;

/** All steps of a file, those inside of others too. @throws Error when there are too many */
function stepsOf(json: Json): Json[] {
  const steps: Json[] = [];
  const visit = (value: unknown, depth: number): void => {
    if (typeof value !== 'object' || value === null) return;
    if (depth > DEEPEST) throw new Error(`its steps are nested more than ${DEEPEST} deep`);
    const step = value as Json;
    steps.push(step);
    if (steps.length > MOST_STEPS) throw new Error(`it has more than ${MOST_STEPS} steps`);
    for (const list of ['normalizers', 'pretokenizers', 'processors', 'decoders'])
      if (Array.isArray(step[list])) for (const inner of step[list]) visit(inner, depth + 1);
  };
  for (const stage of STAGES) visit(json[stage], 0);
  return steps;
}

const sizeOf = (text: string | readonly string[]): number =>
  typeof text === 'string' ? text.length : text.reduce((sum, part) => sum + part.length, 0);
const lengthOf = (value: unknown): number => (typeof value === 'string' ? value.length : 0);

/** @throws Error that says which step is out of bounds */
function checkSteps(steps: readonly Json[]): void {
  for (const step of steps) {
    const { type, pattern, content, length, replacement, str_rep, prepend, single } = step;
    const refuse = (what: string): never => {
      throw new Error(`its step ${JSON.stringify(type)?.slice(0, 40)} ${what}`);
    };
    const regex = (pattern as Json | null | undefined)?.Regex;
    if (lengthOf(regex) > MOST_PATTERN_CHARACTERS)
      refuse(`has a pattern of more than ${MOST_PATTERN_CHARACTERS} characters`);
    for (const text of [content, replacement, str_rep, prepend])
      if (lengthOf(text) > MOST_CONTENT_CHARACTERS)
        refuse(`puts in more than ${MOST_CONTENT_CHARACTERS} characters`);
    if (type === 'FixedLength' && !(Number.isInteger(length) && (length as number) >= 1))
      refuse('needs a length of at least 1');
    if (!Array.isArray(single)) continue;
    const sequences = single.filter((item) => Object.hasOwn(Object(item), 'Sequence'));
    if (single.length > MOST_STEPS || sequences.length > 1) refuse('writes a text more than once');
  }
}

/** Most characters that a step makes of a text of `length`. */
function madeBy({ type, pattern, content, replacement, str_rep, prepend }: Json, length: number) {
  const literal = lengthOf((pattern as Json | null | undefined)?.String);
  const places = literal > 0 ? length / literal : length + 1;
  const factor: Record<string, number> = {
    Replace: 1 + (places * lengthOf(content)) / Math.max(1, length),
    Prepend: 1 + lengthOf(prepend) / Math.max(1, length),
    Metaspace: 1 + Math.max(lengthOf(replacement), lengthOf(str_rep)),
    // Three bytes for a character of one unit; and decompositions of Unicode at their longest.
    ByteLevel: 3,
    NFC: 3,
    NFD: 4,
    NFKC: 18,
    NFKD: 18,
    Precompiled: 18,
    BertNormalizer: 12,
    Lowercase: 3,
  };
  return length * (factor[String(type)] ?? 1);
}

/** A step of the library: its configuration, its method, the steps in it. */
type Step = Record<string, unknown> & ((...args: unknown[]) => unknown);

export interface Limited {
  /** Runs a call on a text of so many characters within the limits. @throws Error */
  run<T>(characters: number, call: () => T): T;
  /** Opens the library within the limits and puts meters on its steps. @throws Error */
  open<T extends object>(make: () => T): T;
}

/** @throws Error when a file is out of bounds before anything of it has run */
export function limitsOf(json: Json): Limited {
  const steps = stepsOf(json);
  checkSteps(steps);
  const model = (json.model ?? {}) as Json;
  const mostWord = Number(model.max_input_chars_per_word ?? 100);
  if (model.type === 'WordPiece' && !(mostWord <= MOST_WORD_CHARACTERS))
    throw new Error(`its words may have more than ${MOST_WORD_CHARACTERS} characters`);
  const watched = steps.some(({ pattern }) => {
    const regex = (pattern as Json | null | undefined)?.Regex;
    return typeof regex === 'string' && !isKnownLinear(regex);
  });
  const longest = model.type === 'Unigram' ? longestToken(model.vocab) : 0;
  let made = 0;
  let mostMade = MADE.least;
  const tooLong = (): never => {
    throw new Error('its steps make a text too long');
  };

  /** Meters a step that is one of the library's objects, by the configuration that it came from. */
  const meter = (step: unknown, config: unknown): void => {
    if (typeof step !== 'function' || typeof config !== 'object' || config === null) return;
    const own = step as Step;
    const inner = (own.normalizers ?? own.tokenizers ?? own.decoders) as unknown[] | undefined;
    const parts = ((config as Json).normalizers ??
      (config as Json).pretokenizers ??
      (config as Json).decoders) as unknown[] | undefined;
    if (Array.isArray(inner)) {
      for (const [i, part] of inner.entries()) meter(part, parts?.[i]);
      return;
    }
    for (const name of ['normalize', 'pre_tokenize_text', 'decode_chain']) {
      const method = own[name];
      if (typeof method !== 'function') continue;
      own[name] = (text: string | string[], options: unknown) => {
        // What it could make at most must be possible, and what it has made is counted.
        if (madeBy(config as Json, sizeOf(text)) > 4 * mostMade) tooLong();
        const result = method.call(own, text, options) as string | string[];
        made += sizeOf(result);
        if (made > mostMade) tooLong();
        return result;
      };
    }
  };

  const entries = Object.keys((model.vocab ?? {}) as object).length;
  const opening = entries + [model.merges, json.added_tokens].flat().length;
  return {
    run(characters, call) {
      made = 0;
      mostMade = MADE.least + MADE.each * characters;
      if (characters * longest > MOST_LATTICE_NODES)
        throw new Error(`${characters} characters are too many for its Unigram model`);
      if (!watched) return call();
      const limit = Math.ceil(LEAST_MS + characters / CHARACTERS_A_MS);
      return withTimeLimit(limit, `it takes longer than ${limit / 1000} s`, call);
    },
    open(make) {
      const limit = Math.ceil(LEAST_MS + opening / ENTRIES_A_MS);
      const library = watched
        ? withTimeLimit(limit, `it takes longer than ${limit / 1000} s to read`, make)
        : make();
      const parts = library as Record<(typeof STAGES)[number], unknown>;
      // Decoders see tokens, not texts: those without a replacement cannot make them longer.
      const grows = steps.some(({ content }) => lengthOf(content) > 1);
      for (const stage of STAGES)
        if (stage !== 'post_processor' && (stage !== 'decoder' || grows))
          meter(parts[stage], json[stage]);
      return library;
    },
  };
}

function longestToken(vocabulary: unknown): number {
  let longest = 1;
  if (Array.isArray(vocabulary))
    for (const entry of vocabulary)
      longest = Math.max(longest, lengthOf((entry as unknown[])?.[0]));
  return longest;
}
