/**
 * @file A grammar over characters, and which tokens may come next by it.
 *
 * A rule is a list of alternatives, an alternative a list of character sets and rules. The state of
 * a match is the set of stacks of what is still to come; a character advances those stacks whose
 * top takes it (Thompson's simulation, on stacks as in llama.cpp's grammars, so that nesting has no
 * limit). Stacks and states are interned, so the tokens that a state allows are found once, by
 * trying the vocabulary in the order of its bytes.
 *
 * A state must never be a dead end. So alternatives that need a character which the vocabulary
 * cannot write are dropped before the start; whatever is left can be finished one character, or
 * one byte of a character, a token.
 *
 * Grammars come from clients. What is interned is a cache: it is counted over all grammars of a
 * server, and forgotten when it has grown too large (as RE2 does). A mask that takes too much work ends the
 * request and not the server.
 */
import { UserError } from '../base/errors.js';
import type { Constraint } from './engine.js';
import type { Vocabulary } from './vocabulary.js';

/** Code points in inclusive ranges, or a rule by its number. */
export type Element =
  | { readonly ranges: readonly (readonly [number, number])[] }
  | { readonly rule: number };
export type Rule = Element[][];

interface Stack {
  id: number;
  alternative: Alternative;
  /** Next element. */
  at: number;
  below: Stack | null;
}

interface Alternative {
  id: number;
  elements: readonly Element[];
}

interface State {
  /** Stacks whose top is a character set. */
  tops: Stack[];
  /** True when nothing more need come. */
  accepting: boolean;
  next: Map<number, State | null>;
  /** Masks by the part of a character that has come. */
  allowed: Map<number, Uint8Array>;
}

/**
 * A part of a character: 16 × the bits that have come + 4 × its bytes in all + its bytes to come.
 */
type Partial = number;
const NONE: Partial = 0;
const LEAST_OF_BYTES = [0, 0, 0x80, 0x800, 0x10000];
const LAST_POINT = 0x10ffff;

/**
 * Stacks of a state: an ambiguous schema could double them with every character. Those left out are
 * alternatives of those kept, so what is written is valid all the same.
 */
const MOST_STACKS = 2000;
/** Stacks that are looked at for one mask: a tenth of a second or so. */
const MOST_WORK = 500_000;
/** Some 200 bytes each. */
const MOST_UNITS = 250_000;
const MASK_BYTES_A_UNIT = 200;

/** The cache that all grammars of a server share. */
export class GrammarMemory {
  private units = 0;
  private readonly users = new Set<Grammar>();

  constructor(private readonly mostUnits: number = MOST_UNITS) {}

  /** Counts what a grammar is about to keep; all forget what they have when it is too much. */
  take(user: Grammar, units: number): void {
    this.units += units;
    if (this.units > this.mostUnits) {
      for (const one of this.users) one.forget();
      this.users.clear();
      this.units = units;
    }
    this.users.add(user);
  }

  get used(): number {
    return this.units;
  }
}

const tooAmbiguous = (): never => {
  throw new UserError(
    'usage',
    'the schema leaves too many ways open at once; tell its alternatives apart earlier',
    'response_format',
  );
};

export class Grammar {
  private readonly alternatives: Alternative[][];
  private readonly stacks = new Map<string, Stack>();
  private readonly expanded = new Map<Stack | null, { tops: Stack[]; accepting: boolean }>();
  private readonly states = new Map<string, State>();
  private nextStack = 0;
  private work = 0;
  private readonly start: State | null = null;

  /** @param rules the first one is the whole */
  constructor(
    rules: readonly Rule[],
    private readonly vocabulary: Vocabulary,
    private readonly memory: GrammarMemory = new GrammarMemory(),
  ) {
    let count = 0;
    const productive = productiveRules(rules, vocabulary);
    this.alternatives = rules.map((rule) =>
      rule
        .filter((alternative) =>
          alternative.every((element) =>
            'rule' in element ? productive.has(element.rule) : canWrite(element.ranges, vocabulary),
          ),
        )
        .map((elements) => ({ id: count++, elements })),
    );
    this.start = productive.has(0)
      ? this.stateOf(this.alternatives[0].map((alternative) => this.push(alternative, 0, null)))
      : null;
  }

  /** False when the vocabulary cannot write anything that the grammar takes. */
  get possible(): boolean {
    return this.start !== null;
  }

  /** Drops what can be found again; matches that are under way go on. */
  forget(): void {
    // It may come while the start is being made.
    for (const state of [...this.states.values(), this.start]) {
      state?.next.clear();
      state?.allowed.clear();
    }
    this.stacks.clear();
    this.expanded.clear();
    this.states.clear();
  }

  /** A match from the beginning. @throws UserError (usage) when the schema is too ambiguous */
  constraint(): Constraint {
    let state = this.start;
    let partial = NONE;
    return {
      allowed: () => {
        // One request's match is wrong, and no other's.
        if (state === null)
          throw new UserError('state', 'a token came that the schema does not allow');
        return this.allowed(state, partial);
      },
      advance: (token) => {
        this.work = 0;
        for (const byte of this.vocabulary.bytes[token] ?? []) {
          if (state === null) return;
          [state, partial] = this.step(state, partial, byte);
        }
      },
    };
  }

  /** Whether `text` is whole by the grammar. */
  accepts(text: string): boolean {
    let state = this.start;
    this.work = 0;
    for (const character of text) {
      if (state === null) return false;
      state = this.advance(state, character.codePointAt(0) as number);
    }
    return state?.accepting ?? false;
  }

  /** The stack with `alternative` from element `at` on its top; what is used up is not pushed. */
  private push(alternative: Alternative, at: number, below: Stack | null): Stack | null {
    if (at === alternative.elements.length) return below;
    const key = `${alternative.id},${at},${below?.id ?? -1}`;
    let stack = this.stacks.get(key);
    if (stack === undefined) {
      stack = { id: this.nextStack++, alternative, at, below };
      this.memory.take(this, 1);
      this.stacks.set(key, stack);
    }
    return stack;
  }

  /**
   * The stacks that a stack stands for once rules on its top are replaced by their alternatives.
   */
  private expand(stack: Stack | null): { tops: Stack[]; accepting: boolean } {
    const known = this.expanded.get(stack);
    if (known !== undefined) return known;
    const tops = new Set<Stack>();
    let accepting = false;
    const seen = new Set<Stack>();
    const work: (Stack | null)[] = [stack];
    while (work.length > 0) {
      const top = work.pop() as Stack | null;
      if (top === null) {
        accepting = true;
        continue;
      }
      if (seen.has(top)) continue;
      seen.add(top);
      if (++this.work > MOST_WORK) tooAmbiguous();
      const element = top.alternative.elements[top.at];
      if ('ranges' in element) {
        tops.add(top);
        continue;
      }
      const below = this.push(top.alternative, top.at + 1, top.below);
      for (const alternative of this.alternatives[element.rule])
        work.push(this.push(alternative, 0, below));
    }
    const result = { tops: [...tops], accepting };
    this.memory.take(this, 1 + tops.size / 8);
    this.expanded.set(stack, result);
    return result;
  }

  private stateOf(stacks: readonly (Stack | null)[]): State {
    const tops = new Set<Stack>();
    let accepting = false;
    for (const stack of stacks) {
      const part = this.expand(stack);
      for (const top of part.tops) tops.add(top);
      accepting ||= part.accepting;
    }
    // In the order in which they are found, which is the same after all has been forgotten.
    const kept = [...tops].slice(0, MOST_STACKS);
    const sorted = kept.toSorted((a, b) => a.id - b.id);
    const key = `${accepting}:${sorted.map(({ id }) => id).join()}`;
    let state = this.states.get(key);
    if (state === undefined) {
      state = { tops: kept, accepting, next: new Map(), allowed: new Map() };
      this.memory.take(this, 1 + sorted.length / 8);
      this.states.set(key, state);
    }
    return state;
  }

  private advance(state: State, point: number): State | null {
    const known = state.next.get(point);
    if (known !== undefined) return known;
    this.work += state.tops.length;
    if (this.work > MOST_WORK) tooAmbiguous();
    const stacks: (Stack | null)[] = [];
    for (const top of state.tops) {
      const element = top.alternative.elements[top.at];
      if ('ranges' in element && meets(element.ranges, point, point))
        stacks.push(this.push(top.alternative, top.at + 1, top.below));
    }
    const next = stacks.length === 0 ? null : this.stateOf(stacks);
    this.memory.take(this, 1);
    state.next.set(point, next);
    return next;
  }

  /** By one byte of UTF-8; a null state when it may not come. */
  private step(state: State, partial: Partial, byte: number): [State | null, Partial] {
    if (partial === NONE && byte < 0x80) return [this.advance(state, byte), NONE];
    let length: number;
    let left: number;
    let bits: number;
    if (partial === NONE) {
      if (byte < 0xc2 || byte > 0xf4) return [null, NONE];
      length = byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
      left = length - 1;
      bits = byte & (0x7f >> length);
    } else {
      if ((byte & 0xc0) !== 0x80) return [null, NONE];
      length = (partial >> 2) & 3 || 4;
      left = (partial & 3) - 1;
      bits = ((partial >> 4) << 6) | (byte & 0x3f);
    }
    const low = Math.max(bits << (6 * left), LEAST_OF_BYTES[length]);
    const high = Math.min(((bits + 1) << (6 * left)) - 1, LAST_POINT);
    if (low > high) return [null, NONE];
    if (left === 0) return [this.advance(state, bits), NONE];
    this.work += state.tops.length;
    if (this.work > MOST_WORK) tooAmbiguous();
    const goesOn = state.tops.some(({ alternative, at }) => {
      const element = alternative.elements[at];
      return 'ranges' in element && meets(element.ranges, low, high);
    });
    return goesOn ? [state, bits * 16 + (length & 3) * 4 + left] : [null, NONE];
  }

  private allowed(state: State, partial: Partial): Uint8Array {
    const known = state.allowed.get(partial);
    if (known !== undefined) return known;
    const { size, eos, tokens, shared, wholeBytes } = this.vocabulary;
    const allowed = new Uint8Array(size);
    // What the first bytes of the current token lead to, by how many they are.
    const states: State[] = [state];
    const partials: Partial[] = [partial];
    let taken = 0;
    this.work = 0;
    tokens.forEach(({ id, bytes }, i) => {
      // It begins as the one before it, and that failed within this beginning.
      if (shared[i] > taken) return;
      taken = shared[i];
      while (taken < bytes.length) {
        const [next, rest] = this.step(states[taken], partials[taken], bytes[taken]);
        if (next === null) return;
        taken++;
        states[taken] = next;
        partials[taken] = rest;
      }
      if (wholeBytes || partials[taken] === NONE) allowed[id] = 1;
    });
    if (state.accepting && partial === NONE) allowed[eos] = 1;
    this.memory.take(this, 1 + size / MASK_BYTES_A_UNIT);
    state.allowed.set(partial, allowed);
    return allowed;
  }
}

/** Whether a set has a code point from `low` to `high`. */
const meets = (
  ranges: readonly (readonly [number, number])[],
  low: number,
  high: number,
): boolean => ranges.some(([first, last]) => first <= high && last >= low);

/** Whether the vocabulary can write a character of a set. */
function canWrite(
  ranges: readonly (readonly [number, number])[],
  { alphabet, wholeBytes }: Vocabulary,
): boolean {
  return ranges.some(([low, high]) => {
    if (wholeBytes && high >= 0x80) return true;
    // Small ranges are looked up, large ones searched.
    if (high - low < alphabet.size) {
      for (let point = low; point <= high; point++) if (alphabet.has(point)) return true;
      return false;
    }
    for (const point of alphabet) if (point >= low && point <= high) return true;
    return false;
  });
}

/** The rules that a vocabulary can write something of. */
function productiveRules(rules: readonly Rule[], vocabulary: Vocabulary): Set<number> {
  const productive = new Set<number>();
  /** Alternatives that wait for a rule, each with the number of rules that it waits for. */
  const waiting = new Map<number, { own: number; left: number }[]>();
  const found: number[] = [];
  const known = new Map<unknown, boolean>();
  const writable = (element: { ranges: readonly (readonly [number, number])[] }): boolean => {
    let answer = known.get(element.ranges);
    if (answer === undefined) {
      answer = canWrite(element.ranges, vocabulary);
      known.set(element.ranges, answer);
    }
    return answer;
  };
  rules.forEach((rule, own) => {
    for (const alternative of rule) {
      if (!alternative.every((element) => 'rule' in element || writable(element))) continue;
      const needs = new Set(
        alternative.flatMap((element) => ('rule' in element ? element.rule : [])),
      );
      const entry = { own, left: needs.size };
      for (const need of needs) {
        const list = waiting.get(need);
        if (list === undefined) waiting.set(need, [entry]);
        else list.push(entry);
      }
      if (needs.size === 0) found.push(own);
    }
  });
  for (let own = found.pop(); own !== undefined; own = found.pop()) {
    if (productive.has(own)) continue;
    productive.add(own);
    for (const entry of waiting.get(own) ?? []) if (--entry.left === 0) found.push(entry.own);
  }
  return productive;
}
