/**
 * @file A tokenizer in the words of GGUF, so that llama.cpp cuts text into the same tokens.
 *
 * llama.cpp's `gpt2` is byte-level BPE: every byte has a printable stand-in (Radford et al. 2019),
 * a text is cut by one of the expressions that llama.cpp knows by name, and merges do the rest. A
 * file whose expression has no name there cannot be said, and the error says which. A character
 * tokenizer of ours is the same with merges that join the bytes of one character: UTF-8 says from
 * the first byte on which bytes follow, so they join nothing else.
 */
import { UserError } from '../base/errors.js';
import { tokenizerFromJSON } from '../tokenizers/character.js';
import type { Tokenizer } from '../tokenizers/tokenizer.js';
import type { GgufValue } from './gguf.js';

type Json = Record<string, unknown>;

/** `llama_token_type` of llama.cpp. */
const TYPE = { normal: 1, control: 3, userDefined: 4, unused: 5 };

/**
 * Expressions that llama.cpp knows, as `tokenizer.json` writes them: name → patterns of the Split
 * steps, in order.
 */
const PRE_TOKENIZERS: Record<string, readonly string[]> = {
  'gpt-2': [],
  qwen2: [
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  ],
  'llama-bpe': [
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
  ],
  'deepseek-v3': [
    '\\p{N}{1,3}',
    '[一-龥぀-ゟ゠-ヿ]+',
    '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
  ],
};

/** The stand-in of every byte: itself where it prints, else a letter from U+0100 on. */
export const BYTE_LETTERS: readonly string[] = (() => {
  const prints = (b: number): boolean =>
    (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(prints(b) ? b : next++));
})();

interface Vocabulary {
  pre: string;
  /** By id; a hole is an id without a token. */
  texts: string[];
  types: number[];
  merges: string[];
}

function refuse(what: string): never {
  throw new UserError(
    'data',
    `tokenizer.json: ${what}; llama.cpp cannot be told to cut text this way`,
    'tokenizer.json',
  );
}

interface Added {
  id: number;
  content: string;
  special?: boolean;
}

/** One token a character: the seven tags as they are, the alphabet in byte letters. */
function characterVocabulary(json: Json): Vocabulary | null {
  try {
    tokenizerFromJSON(json);
  } catch {
    return null;
  }
  const added = json.added_tokens as Added[];
  const vocabulary = Object.entries((json.model as { vocab: Record<string, number> }).vocab);
  const texts: string[] = [];
  const merges = new Set<string>();
  for (const [text, id] of vocabulary) {
    const letters = [...Buffer.from(text, 'utf8')].map((byte) => BYTE_LETTERS[byte]);
    const isTag = added.some((token) => token.id === id);
    texts[id] = isTag ? text : letters.join('');
    if (!isTag)
      for (let i = 1; i < letters.length; i++)
        merges.add(`${letters.slice(0, i).join('')} ${letters[i]}`);
  }
  return { pre: 'gpt-2', texts, types: typesOf(texts, added), merges: [...merges] };
}

function typesOf(texts: readonly string[], added: readonly Added[]): number[] {
  const types = new Array<number>(texts.length).fill(TYPE.normal);
  for (const { id, special } of added) types[id] = special ? TYPE.control : TYPE.userDefined;
  return types;
}

function byteLevelVocabulary(json: Json): Vocabulary {
  const model = json.model as Json;
  if (model.type !== 'BPE')
    refuse(`its model is ${JSON.stringify(model.type)}, not byte-level BPE`);
  if (model.byte_fallback === true) refuse('its model falls back to bytes, as SentencePiece does');
  const normalizer = (json.normalizer as Json | null | undefined)?.type ?? null;
  // llama.cpp does not normalise; NFC leaves text alone that is composed already, as nearly all is.
  if (normalizer !== null && normalizer !== 'NFC')
    refuse(`its normalizer is ${JSON.stringify(normalizer)}`);
  const merges = (model.merges as (string | [string, string])[]).map((merge) =>
    typeof merge === 'string' ? merge : merge.join(' '),
  );
  const added = (json.added_tokens ?? []) as Added[];
  const texts: string[] = [];
  for (const [text, id] of Object.entries(model.vocab as Record<string, number>)) texts[id] = text;
  for (const { id, content } of added) texts[id] = content;
  return { pre: preTokenizerOf(json), texts, types: typesOf(texts, added), merges };
}

/** The name that llama.cpp has for how the file cuts text before merging. */
function preTokenizerOf(json: Json): string {
  const step = json.pre_tokenizer as Json | null | undefined;
  const steps = (step?.type === 'Sequence' ? step.pretokenizers : step ? [step] : []) as Json[];
  const patterns: string[] = [];
  let byteLevel = false;
  for (const { type, pattern, add_prefix_space: prefix, use_regex: useRegex } of steps) {
    if (type === 'ByteLevel') {
      byteLevel = true;
      if (prefix === true) refuse('its pre_tokenizer ByteLevel adds a space before the text');
      if (useRegex === false && patterns.length === 0)
        refuse('its pre_tokenizer does not cut at all');
    } else if (type === 'Split') patterns.push(String((pattern as Json | undefined)?.Regex ?? ''));
    else refuse(`its pre_tokenizer has a step ${JSON.stringify(type)}`);
  }
  if (!byteLevel) refuse('its pre_tokenizer has no ByteLevel step');
  const found = Object.entries(PRE_TOKENIZERS).find(
    ([, known]) => known.join('\0') === patterns.join('\0'),
  );
  return (
    found?.[0] ??
    refuse(
      `the pattern ${JSON.stringify(patterns[0]).slice(0, 60)} of its pre_tokenizer has no name there`,
    )
  );
}

/**
 * The `tokenizer.ggml.*` keys for a model with `rows` rows in its embedding.
 * @throws UserError (data) that names what llama.cpp has no word for
 */
export function ggufTokenizer(
  tokenizer: Tokenizer,
  chatTemplate: string | null,
  rows: number,
): Record<string, GgufValue> {
  const json = tokenizer.toJSON();
  const { pre, texts, types, merges } = characterVocabulary(json) ?? byteLevelVocabulary(json);
  for (let id = 0; id < rows; id++) {
    if (texts[id] !== undefined) continue;
    texts[id] = `[PAD${id}]`;
    types[id] = TYPE.unused;
  }
  const { bos, eos, pad } = tokenizer.special;
  return {
    'tokenizer.ggml.model': 'gpt2',
    'tokenizer.ggml.pre': pre,
    'tokenizer.ggml.tokens': texts,
    'tokenizer.ggml.token_type': { i32s: types },
    'tokenizer.ggml.merges': merges,
    'tokenizer.ggml.eos_token_id': eos,
    'tokenizer.ggml.add_bos_token': bos !== null,
    ...(bos === null ? {} : { 'tokenizer.ggml.bos_token_id': bos }),
    ...(pad === null ? {} : { 'tokenizer.ggml.padding_token_id': pad }),
    ...(chatTemplate === null ? {} : { 'tokenizer.chat_template': chatTemplate }),
  };
}
