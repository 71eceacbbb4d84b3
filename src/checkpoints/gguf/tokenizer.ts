/**
 * @file A tokenizer in the words of GGUF, so that llama.cpp cuts text into the same tokens.
 *
 * llama.cpp's `gpt2` is byte-level BPE: every byte has a printable stand-in (Radford et al. 2019),
 * a text is cut by one of the expressions that llama.cpp knows by name, and merges do the rest. A
 * file whose expression has no name there cannot be said, and the error says which. A character
 * tokenizer of ours is the same with merges that join the bytes of one character: UTF-8 says from
 * the first byte on which bytes follow, so they join nothing else.
 */
import { UserError } from '../../base/errors.js';
import { tokenizerFromJSON } from '../../tokenizers/character.js';
import { BYTE_LETTERS, DIGITS, GPT2_WORDS, ggmlName } from '../../tokenizers/patterns.js';
import type { Tokenizer } from '../../tokenizers/tokenizer.js';
import type { GgufValue } from './write.js';

type Json = Record<string, unknown>;

/** `llama_token_type` of llama.cpp. */
const TYPE = { normal: 1, control: 3, userDefined: 4, unused: 5 };

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
  // llama.cpp does not normalise; NFC leaves text alone that is composed already, as nearly all is.
  const normalizer = stepsIn(json.normalizer, 'normalizers').find(({ type }) => type !== 'NFC');
  if (normalizer !== undefined)
    refuse(`its normalizer has a step ${JSON.stringify(normalizer.type)}`);
  const merges = (model.merges as (string | [string, string])[]).map((merge) =>
    typeof merge === 'string' ? merge : merge.join(' '),
  );
  const added = (json.added_tokens ?? []) as Added[];
  const texts: string[] = [];
  for (const [text, id] of Object.entries(model.vocab as Record<string, number>)) texts[id] = text;
  for (const { id, content } of added) texts[id] = content;
  return { pre: preTokenizerOf(json), texts, types: typesOf(texts, added), merges };
}

/** The steps of a part of the file: none, one, or those of a `Sequence`, also within another. */
function stepsIn(part: unknown, list: 'normalizers' | 'pretokenizers'): Json[] {
  const step = part as Json | null | undefined;
  if (!step) return [];
  if (step.type !== 'Sequence') return [step];
  return ((step[list] ?? []) as unknown[]).flatMap((inner) => stepsIn(inner, list));
}

/** The name that llama.cpp has for how the file cuts text before merging. */
function preTokenizerOf(json: Json): string {
  const cuts: string[] = [];
  let byteLevel = false;
  for (const step of stepsIn(json.pre_tokenizer, 'pretokenizers')) {
    const { type, pattern, add_prefix_space: prefix, use_regex: useRegex } = step;
    if (type === 'ByteLevel') {
      byteLevel = true;
      if (prefix === true) refuse('its pre_tokenizer ByteLevel adds a space before the text');
      if (useRegex !== false) cuts.push(GPT2_WORDS);
      if (cuts.length === 0) refuse('its pre_tokenizer does not cut at all');
    } else if (type === 'Digits' && step.individual_digits === true) cuts.push(DIGITS);
    else if (type === 'Split') cuts.push(String((pattern as Json | undefined)?.Regex ?? ''));
    else refuse(`its pre_tokenizer has a step ${JSON.stringify(type)}`);
  }
  if (!byteLevel) refuse('its pre_tokenizer has no ByteLevel step');
  return (
    ggmlName(cuts) ??
    refuse(
      `the pattern ${JSON.stringify(cuts[0]).slice(0, 60)} of its pre_tokenizer has no name there`,
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
  const characters = characterVocabulary(json);
  const { pre, texts, types, merges } = characters ?? byteLevelVocabulary(json);
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
    // Bytes cannot be told from characters again, so the file of ours goes along, for reading it back.
    ...(characters === null ? {} : { 'tokenizer.huggingface.json': JSON.stringify(json) }),
    ...(chatTemplate === null ? {} : { 'tokenizer.chat_template': chatTemplate }),
  };
}
