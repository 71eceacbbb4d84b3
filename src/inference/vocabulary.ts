/**
 * @file A vocabulary by the bytes that its tokens write, sorted, so that a grammar can try all
 * tokens at a place and leave a whole family of them where their common beginning fails.
 *
 * Bytes and not characters, because a token of byte-level BPE may be a part of a character: one
 * that has no token of its own is written byte by byte.
 */
import type { Tokenizer } from '../tokenizers/tokenizer.js';

export interface Vocabulary {
  /** Ids, those without a token too. */
  size: number;
  eos: number;
  /** Tokens that a grammar may use, in the order of their bytes. */
  tokens: readonly { id: number; bytes: Uint8Array }[];
  /** How many first bytes each token shares with the one before it. */
  shared: Uint16Array;
  /** Bytes of each id; null for those that a grammar may not use. */
  bytes: readonly (Uint8Array | null)[];
  /** Code points that a token writes alone. */
  alphabet: ReadonlySet<number>;
  /** Whether every byte of UTF-8 has a token of its own, so that every character can be written. */
  wholeBytes: boolean;
}

/** Tokens of the completion form are no part of JSON. */
const TAGS = new Set(['<think>', '</think>', '<answer>', '</answer>']);

/** The bytes that begin and continue characters beyond ASCII. */
const BYTES_BEYOND_ASCII = [
  ...Array.from({ length: 64 }, (_, i) => 0x80 + i),
  ...Array.from({ length: 0xf5 - 0xc2 }, (_, i) => 0xc2 + i),
];

/** Tokens with a role are never allowed. */
export function vocabularyOf(tokenizer: Tokenizer): Vocabulary {
  const special = new Set<number | null>([...Object.values(tokenizer.special), ...tokenizer.stops]);
  const encoder = new TextEncoder();
  const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
  const bytes: (Uint8Array | null)[] = [];
  const alphabet = new Set<number>();
  const single = new Set<number>();
  for (let id = 0; id < tokenizer.vocabularySize; id++) {
    const own = special.has(id) ? null : bytesOf(id);
    bytes.push(own);
    if (own === null) continue;
    if (own.length === 1) single.add(own[0]);
    if (own.length > 4) continue;
    const character = read(own);
    if (character.length === 1) alphabet.add(character[0].codePointAt(0) as number);
  }
  const tokens = bytes
    .flatMap((own, id) => (own === null ? [] : [{ id, bytes: own }]))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes) || a.id - b.id);
  const shared = Uint16Array.from(tokens, ({ bytes: own }, i) => {
    const before = i === 0 ? own.subarray(0, 0) : tokens[i - 1].bytes;
    const most = Math.min(own.length, before.length, 0xffff);
    let n = 0;
    while (n < most && own[n] === before[n]) n++;
    return n;
  });
  return {
    size: tokenizer.vocabularySize,
    eos: tokenizer.special.eos,
    tokens,
    shared,
    bytes,
    alphabet,
    wholeBytes: BYTES_BEYOND_ASCII.every((byte) => single.has(byte)),
  };

  function bytesOf(id: number): Uint8Array | null {
    if (tokenizer.spell !== undefined) {
      const own = tokenizer.spell(id);
      return own === null || own.length === 0 || TAGS.has(read(own).join('')) ? null : own;
    }
    const text = tokenizer.decode([id]);
    if (text === '' || text.includes('\uFFFD') || TAGS.has(text)) return null;
    return encoder.encode(text);
  }

  /** The characters of whole UTF-8; none of a part of a character. */
  function read(own: Uint8Array): string[] {
    try {
      return Array.from(decoder.decode(own));
    } catch {
      return [];
    }
  }
}
