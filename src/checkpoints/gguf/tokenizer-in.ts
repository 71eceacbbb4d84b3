/**
 * @file The tokenizer of a GGUF file as the `tokenizer.json` that cuts text in the same way.
 *
 * llama.cpp's `gpt2` is byte-level BPE, whose way of cutting text before merging has a name
 * (`tokenizer.ggml.pre`); its `llama` is SentencePiece's BPE, which has a score for each token
 * instead of merges: two tokens merge in the order of the score of what they make. A file may also
 * carry its `tokenizer.json` whole (`tokenizer.huggingface.json`), as ours do.
 */
import { DIGITS, GPT2_WORDS, stepsOfGgml } from '../../tokenizers/patterns.js';
import { type Json, parseObject } from '../model-folder.js';
import { show } from '../safetensors.js';

/** `llama_token_type` of llama.cpp. */
const CONTROL = 3;
const USER_DEFINED = 4;
const BYTE = 6;

type Fail = (why: string) => never;

interface Vocabulary {
  texts: readonly string[];
  types: readonly number[];
}

/** A list of the file, as long as the vocabulary. */
function listOf<T extends string | number>(
  keys: ReadonlyMap<string, unknown>,
  name: string,
  kind: 'string' | 'number',
  fail: Fail,
): T[] | null {
  const value = keys.get(`tokenizer.ggml.${name}`);
  if (value === undefined) return null;
  if (!Array.isArray(value) || value.some((item) => typeof item !== kind))
    return fail(`its tokenizer.ggml.${name} is not a list of ${kind}s`);
  return value as T[];
}

function addedTokens({ texts, types }: Vocabulary): Json[] {
  return texts.flatMap((content, id) =>
    types[id] === CONTROL || types[id] === USER_DEFINED
      ? [
          {
            id,
            content,
            single_word: false,
            lstrip: false,
            rstrip: false,
            normalized: false,
            special: types[id] === CONTROL,
          },
        ]
      : [],
  );
}

const vocabOf = ({ texts }: Vocabulary): Json => {
  const vocab: Json = Object.create(null);
  for (const [id, text] of texts.entries()) vocab[text] ??= id;
  return vocab;
};

const bpe = {
  type: 'BPE',
  dropout: null,
  continuing_subword_prefix: null,
  end_of_word_suffix: null,
};

/** The step of a `tokenizer.json` that cuts by an expression. */
const split = (regex: string): Json => ({
  type: 'Split',
  pattern: { Regex: regex },
  behavior: 'Isolated',
  invert: false,
});

function byteLevel(keys: ReadonlyMap<string, unknown>, vocabulary: Vocabulary, fail: Fail): Json {
  const merges = listOf<string>(keys, 'merges', 'string', fail);
  if (merges === null) return fail('its tokenizer has no merges');
  const pre = keys.get('tokenizer.ggml.pre') ?? 'default';
  const steps = typeof pre === 'string' ? stepsOfGgml(pre) : null;
  if (steps === null)
    return fail(`its tokenizer cuts text by the rule ${show(pre)}, which is not known here`);
  const ownWords = steps.at(-1) === GPT2_WORDS;
  const cuts = (ownWords ? steps.slice(0, -1) : steps).map((step) =>
    step === DIGITS ? { type: 'Digits', individual_digits: true } : split(step),
  );
  const letters = {
    type: 'ByteLevel',
    add_prefix_space: keys.get('tokenizer.ggml.add_space_prefix') === true,
    trim_offsets: true,
    use_regex: ownWords,
  };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens(vocabulary),
    post_processor: null,
    normalizer: null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [...cuts, letters] },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      ...bpe,
      unk_token: null,
      fuse_unk: false,
      byte_fallback: false,
      vocab: vocabOf(vocabulary),
      merges,
    },
  };
}

/** The merges of SentencePiece's BPE: all ways to make a token of two, best scores first. */
function mergesOf({ texts, types }: Vocabulary, scores: readonly number[]): [string, string][] {
  const ids = new Map<string, number>();
  for (const [id, text] of texts.entries())
    if (types[id] !== CONTROL && types[id] !== BYTE) ids.set(text, id);
  const order = [...ids.values()].sort((a, b) => scores[b] - scores[a] || a - b);
  const merges: [string, string][] = [];
  for (const id of order) {
    const letters = Array.from(texts[id]);
    const ways: [number, number][] = [];
    for (let i = 1; i < letters.length; i++) {
      const left = ids.get(letters.slice(0, i).join(''));
      const right = ids.get(letters.slice(i).join(''));
      if (left !== undefined && right !== undefined) ways.push([left, right]);
    }
    ways.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    for (const [left, right] of ways) merges.push([texts[left], texts[right]]);
  }
  return merges;
}

const SPACE = '▁';

function sentencePiece(
  keys: ReadonlyMap<string, unknown>,
  vocabulary: Vocabulary,
  fail: Fail,
): Json {
  const scores = listOf<number>(keys, 'scores', 'number', fail);
  if (scores?.length !== vocabulary.texts.length)
    return fail('its tokenizer has no score for each token');
  if (vocabulary.texts.some((text) => text.length > 512))
    return fail('its tokenizer has a token of more than 512 characters');
  const prefix = keys.get('tokenizer.ggml.add_space_prefix') !== false;
  const unknown = keys.get('tokenizer.ggml.unknown_token_id') ?? 0;
  const replace = { type: 'Replace', pattern: { String: ' ' }, content: SPACE };
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: addedTokens(vocabulary),
    post_processor: null,
    normalizer: prefix
      ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: SPACE }, replace] }
      : replace,
    pre_tokenizer: null,
    decoder: {
      type: 'Sequence',
      decoders: [
        { type: 'Replace', pattern: { String: SPACE }, content: ' ' },
        { type: 'ByteFallback' },
        { type: 'Fuse' },
        ...(prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : []),
      ],
    },
    model: {
      ...bpe,
      unk_token: vocabulary.texts[unknown as number] ?? null,
      fuse_unk: true,
      byte_fallback: true,
      vocab: vocabOf(vocabulary),
      merges: mergesOf(vocabulary, scores),
    },
  };
}

const MODELS: Record<string, typeof byteLevel> = { gpt2: byteLevel, llama: sentencePiece };

/** Writes BOS before every text, as the file's `add_bos_token` asks for. */
const beginning = (token: string, id: number): Json => ({
  type: 'TemplateProcessing',
  single: [{ SpecialToken: { id: token, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }],
  pair: [{ Sequence: { id: 'A', type_id: 0 } }, { Sequence: { id: 'B', type_id: 0 } }],
  special_tokens: { [token]: { id: token, ids: [id], tokens: [token] } },
});

export interface GgufTokenizer {
  tokenizerJson: Json | null;
  tokenizerConfig: Json | null;
  /** `bos_token_id`, `eos_token_id` and `pad_token_id` of `config.json`. */
  ids: Json;
}

/**
 * The tokenizer of a file with these keys.
 * @param fail throws an error that names the file
 */
export function tokenizerOf(keys: ReadonlyMap<string, unknown>, fail: Fail): GgufTokenizer {
  const texts = listOf<string>(keys, 'tokens', 'string', fail);
  if (texts === null) return { tokenizerJson: null, tokenizerConfig: null, ids: {} };
  const types = listOf<number>(keys, 'token_type', 'number', fail) ?? texts.map(() => 1);
  const kind = keys.get('tokenizer.ggml.model');
  const make = typeof kind === 'string' ? MODELS[kind] : undefined;
  if (!make)
    return fail(`its tokenizer is ${show(kind)}; ${Object.keys(MODELS).join(', ')} can be read`);

  const idOf = (name: string): number | null => {
    const id = keys.get(`tokenizer.ggml.${name}_token_id`);
    if (id === undefined || id === null) return null;
    return typeof id === 'number' && id in texts
      ? id
      : fail(`its tokenizer.ggml.${name}_token_id is ${show(id)}`);
  };
  const [bos, eos, eot, pad] = ['bos', 'eos', 'eot', 'padding'].map(idOf);
  const ends = [...new Set([eos, eot])].filter((id) => id !== null);
  const whole = keys.get('tokenizer.huggingface.json');
  const tokenizerJson =
    typeof whole === 'string'
      ? parseObject(whole, 'tokenizer.huggingface.json', 'tokenizer')
      : make(keys, { texts, types }, fail);
  // SentencePiece's files say nothing of it and mean that they do.
  const adds = keys.get('tokenizer.ggml.add_bos_token') ?? kind === 'llama';
  if (adds === true && bos !== null && typeof whole !== 'string')
    tokenizerJson.post_processor = beginning(texts[bos], bos);
  const template = keys.get('tokenizer.chat_template');
  const named = (role: string, id: number | null): Json =>
    id === null ? {} : { [`${role}_token`]: texts[id] };
  return {
    tokenizerJson,
    tokenizerConfig: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...named('bos', bos),
      ...named('eos', eos ?? eot),
      ...named('pad', pad),
      clean_up_tokenization_spaces: false,
      ...(typeof template === 'string' ? { chat_template: template } : {}),
    },
    ids: {
      ...(bos === null ? {} : { bos_token_id: bos }),
      ...(ends.length === 0 ? {} : { eos_token_id: ends.length === 1 ? ends[0] : ends }),
      ...(pad === null ? {} : { pad_token_id: pad }),
    },
  };
}
