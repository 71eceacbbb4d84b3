/**
 * @file A grammar over characters, and which tokens may come next by it.
 *
 * A rule is a list of alternatives, an alternative a list of character sets and rules. The state of
 * a match is the set of stacks of what is still to come; a character advances those stacks whose
 * top takes it (Thompson's simulation, on stacks as in llama.cpp's grammars, so that nesting has no
 * limit). Stacks and states are interned, so the tokens that a state allows are found once: by
 * walking the vocabulary as a tree of characters, which leaves a whole branch where its first
 * character fails.
 *
 * A state must never be a dead end. So alternatives that need a character which the vocabulary
 * cannot write by itself are dropped before the start; whatever is left can be finished one
 * character a token.
 */
import type { Tokenizer } from '../tokenizers/tokenizer.js';
import type { Constraint } from './engine.js';

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
  allowed: Uint8Array | null;
}

/** The vocabulary as a tree of characters. */
export interface VocabularyTree {
  children: Map<number, VocabularyTree>;
  tokens: number[];
}

export interface Vocabulary {
  size: number;
  eos: number;
  tree: VocabularyTree;
  /** Code points that a token writes alone. */
  alphabet: ReadonlySet<number>;
  /** Characters of each token; empty for those that write nothing by themselves. */
  characters: readonly (readonly number[])[];
}

/** Tokens of the completion form are no part of JSON. */
const TAGS = new Set(['<think>', '</think>', '<answer>', '</answer>']);

/** Tokens with a role, and those that are a part of a character, are never allowed. */
export function vocabularyOf(tokenizer: Tokenizer): Vocabulary {
  const tree: VocabularyTree = { children: new Map(), tokens: [] };
  const alphabet = new Set<number>();
  const special = new Set<number | null>([...Object.values(tokenizer.special), ...tokenizer.stops]);
  const characters: number[][] = [];
  for (let id = 0; id < tokenizer.vocabularySize; id++) {
    characters.push([]);
    if (special.has(id)) continue;
    const text = tokenizer.decode([id]);
    if (text === '' || text.includes('\uFFFD') || TAGS.has(text)) continue;
    const points = Array.from(text, (character) => character.codePointAt(0) as number);
    characters[id] = points;
    if (points.length === 1) alphabet.add(points[0]);
    let node = tree;
    for (const point of points) {
      let child = node.children.get(point);
      if (child === undefined) {
        child = { children: new Map(), tokens: [] };
        node.children.set(point, child);
      }
      node = child;
    }
    node.tokens.push(id);
  }
  return { size: tokenizer.vocabularySize, eos: tokenizer.special.eos, tree, alphabet, characters };
}

/**
 * Stacks of a state: an ambiguous schema could double them with every character. Those left out are
 * alternatives of those kept.
 */
const MOST_STACKS = 1000;
/** States that are remembered; a mask takes a byte a token. */
const MOST_MASKS = 512;

export class Grammar {
  private readonly alternatives: Alternative[][];
  private readonly stacks = new Map<string, Stack>();
  private readonly expanded = new Map<Stack | null, { tops: Stack[]; accepting: boolean }>();
  private readonly states = new Map<string, State>();
  private masks = 0;
  private readonly start: State | null;

  /** @param rules the first one is the whole */
  constructor(
    rules: readonly Rule[],
    private readonly vocabulary: Vocabulary,
  ) {
    const productive = productiveRules(rules, vocabulary.alphabet);
    let count = 0;
    this.alternatives = rules.map((rule) =>
      rule
        .filter((alternative) => isProductive(alternative, productive, vocabulary.alphabet))
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

  /** A match from the beginning. */
  constraint(): Constraint {
    let state = this.start;
    return {
      allowed: () => {
        if (state === null) throw new Error('grammar: a token came that was not allowed');
        return this.allowed(state);
      },
      advance: (token) => {
        for (const point of this.vocabulary.characters[token])
          state = state === null ? null : this.advance(state, point);
      },
    };
  }

  /** Whether `text` is whole by the grammar. */
  accepts(text: string): boolean {
    let state = this.start;
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
      stack = { id: this.stacks.size, alternative, at, below };
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
    const sorted = [...tops].sort((a, b) => a.id - b.id).slice(0, MOST_STACKS);
    const key = `${accepting}:${sorted.map(({ id }) => id).join()}`;
    let state = this.states.get(key);
    if (state === undefined) {
      state = { tops: sorted, accepting, next: new Map(), allowed: null };
      this.states.set(key, state);
    }
    return state;
  }

  private advance(state: State, point: number): State | null {
    const known = state.next.get(point);
    if (known !== undefined) return known;
    const stacks: (Stack | null)[] = [];
    for (const top of state.tops) {
      const element = top.alternative.elements[top.at];
      if ('ranges' in element && takes(element.ranges, point))
        stacks.push(this.push(top.alternative, top.at + 1, top.below));
    }
    const next = stacks.length === 0 ? null : this.stateOf(stacks);
    state.next.set(point, next);
    return next;
  }

  private allowed(state: State): Uint8Array {
    if (state.allowed !== null) return state.allowed;
    const { size, eos, tree } = this.vocabulary;
    const allowed = new Uint8Array(size);
    const walk = (node: VocabularyTree, at: State): void => {
      for (const token of node.tokens) allowed[token] = 1;
      for (const [point, child] of node.children) {
        const next = this.advance(at, point);
        if (next !== null) walk(child, next);
      }
    };
    walk(tree, state);
    if (state.accepting) allowed[eos] = 1;
    if (++this.masks > MOST_MASKS) {
      for (const other of this.states.values()) other.allowed = null;
      this.masks = 1;
    }
    state.allowed = allowed;
    return allowed;
  }
}

const takes = (ranges: readonly (readonly [number, number])[], point: number): boolean =>
  ranges.some(([low, high]) => point >= low && point <= high);

function isProductive(
  alternative: readonly Element[],
  productive: ReadonlySet<number>,
  alphabet: ReadonlySet<number>,
): boolean {
  return alternative.every((element) => {
    if ('rule' in element) return productive.has(element.rule);
    // Small ranges are looked up, large ones searched.
    return element.ranges.some(([low, high]) => {
      if (high - low < alphabet.size) {
        for (let point = low; point <= high; point++) if (alphabet.has(point)) return true;
        return false;
      }
      for (const point of alphabet) if (point >= low && point <= high) return true;
      return false;
    });
  });
}

/** The rules that can be written with an alphabet, by repeating until no more are found. */
function productiveRules(rules: readonly Rule[], alphabet: ReadonlySet<number>): Set<number> {
  const productive = new Set<number>();
  for (let before = -1; before !== productive.size; ) {
    before = productive.size;
    rules.forEach((rule, i) => {
      if (
        !productive.has(i) &&
        rule.some((alternative) => isProductive(alternative, productive, alphabet))
      )
        productive.add(i);
    });
  }
  return productive;
}
