/**
 * @file A tokenizer with one token a character, for small models and closed alphabets.
 *
 * Seven special tokens come first, then the alphabet in code-point order, so a vocabulary follows
 * from the set of its characters and nothing else. As a Hugging Face `tokenizer.json` it is a BPE
 * model without merges: every character stands alone, and a `Fuse` decoder joins tokens without
 * spaces. The tags of the completion form are added tokens that are not
 * `special`, as in DeepSeek-R1's and Qwen3's own files, so that decoding with `skip_special_tokens`
 * keeps them.
 */
import { UserError } from '../base/errors.js';
import { plainPrompt, type Tokenizer } from './tokenizer.js';

/**
 * Special tokens as written out, in the order of their ids. `<think>` and its kin are single tokens
 * so that a form is one id.
 */
const SPECIAL = {
  pad: '<pad>',
  bos: '<bos>',
  eos: '<eos>',
  think: '<think>',
  endThink: '</think>',
  answer: '<answer>',
  endAnswer: '</answer>',
};

const TEXTS: readonly string[] = Object.values(SPECIAL);
const [PAD, BOS, EOS] = [0, 1, 2];
/** pad, bos and eos: ids below this leave no trace in decoded text. */
const SILENT = 3;

/** `<bos>12+7=` is what training shows before a completion, and `<eos>` what ends one. */
const CHAT_TEMPLATE =
  "{% for message in messages %}{% if message['role'] == 'user' %}{{ bos_token + message['content'] }}" +
  "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token }}{% endif %}{% endfor %}";

/** A tokenizer that has every special token. */
export interface CharacterTokenizer extends Tokenizer {
  readonly special: { pad: number; bos: number; eos: number };
}

/**
 * One token for each different character of `alphabet`, after the special tokens.
 * @throws UserError (data) when the alphabet is empty or holds half of a surrogate pair.
 */
export function createCharacterTokenizer(alphabet: string): CharacterTokenizer {
  const characters = [...new Set(alphabet)].sort(
    (a, b) => (a.codePointAt(0) as number) - (b.codePointAt(0) as number),
  );
  if (characters.length === 0) throw new UserError('data', 'tokenizer: the alphabet is empty');
  const lone = characters.find((c) => /\p{Surrogate}/u.test(c));
  if (lone !== undefined)
    throw new UserError(
      'data',
      `tokenizer: the alphabet holds ${describe(lone)}, half of a character`,
    );

  const texts = [...TEXTS, ...characters];
  // Encoding looks up ASCII in a typed array, which costs a fraction of a Map; the rest of Unicode
  // goes to the Map.
  const ascii = new Int32Array(128).fill(-1);
  const others = new Map<number, number>();
  for (let id = TEXTS.length; id < texts.length; id++) {
    const code = texts[id].codePointAt(0) as number;
    if (code < 128) ascii[code] = id;
    else others.set(code, id);
  }

  const special = { pad: PAD, bos: BOS, eos: EOS };
  const tokenizer: CharacterTokenizer = {
    vocabularySize: texts.length,
    special,
    stops: [EOS],

    encode(text) {
      const ids: number[] = [];
      for (let at = 0; at < text.length; ) {
        const code = text.codePointAt(at) as number;
        if (code === 60 /* < */) {
          const id = TEXTS.findIndex((tag) => text.startsWith(tag, at));
          if (id >= 0) {
            ids.push(id);
            at += TEXTS[id].length;
            continue;
          }
        }
        const id = code < 128 ? ascii[code] : (others.get(code) ?? -1);
        if (id < 0) {
          const where = `at position ${at + 1} of ${JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text)}`;
          const known = JSON.stringify(
            characters.length > 60 ? `${characters.slice(0, 60).join('')}…` : characters.join(''),
          );
          const character = describe(String.fromCodePoint(code));
          throw new UserError(
            'data',
            `${character} ${where} is not in the vocabulary; it has ${known} and the special tokens`,
          );
        }
        ids.push(id);
        at += code > 0xffff ? 2 : 1;
      }
      return ids;
    },

    decode(ids) {
      let text = '';
      for (const id of ids) {
        if (texts[id] === undefined)
          throw new UserError(
            'data',
            `token ${id} is not in the vocabulary of ${texts.length} tokens`,
          );
        if (id >= SILENT) text += texts[id];
      }
      return text;
    },

    prompt(text) {
      return plainPrompt(special, this.encode(text));
    },

    // What CHAT_TEMPLATE says.
    chat: (messages) =>
      messages.flatMap(({ role, content }) => {
        if (role === 'user') return [BOS, ...tokenizer.encode(content ?? '')];
        return role === 'assistant' ? [...tokenizer.encode(content ?? ''), EOS] : [];
      }),

    toJSON: () => tokenizerFile(texts),
  };
  return tokenizer;
}

function describe(character: string): string {
  const code = (character.codePointAt(0) as number).toString(16).toUpperCase().padStart(4, '0');
  return `character ${JSON.stringify(character)} (U+${code})`;
}

/** `tokenizer.json` for a vocabulary in the order of its ids. */
function tokenizerFile(texts: readonly string[]): Record<string, unknown> {
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: TEXTS.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: id < SILENT,
    })),
    normalizer: null,
    pre_tokenizer: null,
    post_processor: null,
    decoder: { type: 'Fuse' },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries(texts.map((text, id) => [text, id])),
      merges: [],
    },
  };
}

/**
 * The tokenizer that a `tokenizer.json` of ours describes.
 * @throws UserError (data) that says what the file has that is not supported.
 */
export function tokenizerFromJSON(json: unknown): CharacterTokenizer {
  const unsupported = (what: string): never => {
    throw new UserError(
      'data',
      `tokenizer.json: ${what}; only character tokenizers that Reckoner wrote can be loaded`,
      'tokenizer.json',
    );
  };
  const file = record(json) ?? unsupported('not an object');
  const model = record(file.model) ?? unsupported('no model');
  if (model.type !== 'BPE')
    unsupported(`model type ${JSON.stringify(model.type)} is not supported`);
  if (!Array.isArray(model.merges) || model.merges.length > 0)
    unsupported('BPE merges are not supported');
  const vocabulary = record(model.vocab) ?? unsupported('no model.vocab');
  const entries = Object.entries(vocabulary);
  const texts: string[] = new Array(entries.length);
  for (const [text, id] of entries) {
    if (
      typeof id !== 'number' ||
      !Number.isInteger(id) ||
      id < 0 ||
      id >= entries.length ||
      texts[id] !== undefined
    ) {
      return unsupported(`the ids are not 0 … ${entries.length - 1}, once each`);
    }
    texts[id] = text;
  }
  const characters = texts.slice(TEXTS.length);
  const long = characters.find((text) => [...text].length !== 1);
  if (long !== undefined)
    unsupported(`the token ${JSON.stringify(long)} is not a single character`);
  if (characters.length === 0) unsupported('the vocabulary is empty');
  const tokenizer = createCharacterTokenizer(characters.join(''));
  // Whatever else the file may say (another normalizer, another order of ids) would change the ids:
  // compare it all.
  const expected = tokenizer.toJSON();
  for (const key of new Set([...Object.keys(expected), ...Object.keys(file)])) {
    if (canonical(file[key]) !== canonical(expected[key]))
      unsupported(`its ${key} is not supported`);
  }
  return tokenizer;
}

function record(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : undefined;
}

/** JSON with object keys in order, so that two spellings of one value compare equal. */
function canonical(value: unknown): string {
  return JSON.stringify(value ?? null, (_, inner: unknown) => {
    const object = record(inner);
    return object
      ? Object.fromEntries(Object.entries(object).sort(([a], [b]) => (a < b ? -1 : 1)))
      : inner;
  });
}

/** Contents of the two files that Hugging Face's `transformers` reads beside `tokenizer.json`. */
export interface TokenizerConfig {
  tokenizerConfig: Record<string, unknown>;
  specialTokensMap: Record<string, unknown>;
}

/**
 * `tokenizer_config.json` and `special_tokens_map.json`. The chat template writes what training
 * shows: `<bos>`, the problem, then the completion, closed by `<eos>`. System messages are left
 * out, since no model here has ever seen one.
 * @param modelMaxLength longest prompt and completion together, tokens; left out of the file when
 * not given
 */
export function tokenizerConfig(modelMaxLength?: number): TokenizerConfig {
  const specialTokensMap = {
    bos_token: SPECIAL.bos,
    eos_token: SPECIAL.eos,
    pad_token: SPECIAL.pad,
  };
  return {
    tokenizerConfig: {
      tokenizer_class: 'PreTrainedTokenizerFast',
      ...specialTokensMap,
      ...(modelMaxLength === undefined ? {} : { model_max_length: modelMaxLength }),
      clean_up_tokenization_spaces: false,
      chat_template: CHAT_TEMPLATE,
    },
    specialTokensMap,
  };
}

/** The contents of all three tokenizer files of a Hugging Face model folder. */
export function tokenizerFiles(
  tokenizer: Tokenizer,
  modelMaxLength?: number,
): { tokenizer: Record<string, unknown> } & TokenizerConfig {
  return { tokenizer: tokenizer.toJSON(), ...tokenizerConfig(modelMaxLength) };
}
