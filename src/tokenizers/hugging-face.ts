/**
 * @file The tokenizer of any Hugging Face model folder: `tokenizer.json`, interpreted by Hugging
 * Face's own JavaScript library.
 *
 * What Reckoner itself writes is recognised and read by character.ts, which is strict about
 * characters that the model has never seen. Everything else (byte-level BPE, Unigram, WordPiece)
 * goes to `@huggingface/tokenizers`; which tokens begin and end a text comes from the files beside
 * it.
 */
import { Tokenizer as Library } from '@huggingface/tokenizers';
import { UserError } from '../base/errors.js';
import { tokenizerFromJSON } from './character.js';
import { type ChatTemplate, createChatTemplate, templateIn } from './chat-template.js';
import { type Limited, limitsOf } from './limits.js';
import { BYTE_LETTERS } from './patterns.js';
import { plainPrompt, type Tokenizer } from './tokenizer.js';

type Json = Record<string, unknown>;

/** What a model folder says about its text; null for a file that it has not. */
export interface TokenizerSources {
  tokenizerJson: Json;
  tokenizerConfig?: Json | null;
  /** `chat_template.jinja`; wins over the one in `tokenizerConfig`. */
  chatTemplate?: string | null;
  /**
   * `config.json` and `generation_config.json`: the ids that end a text, where no token is named.
   */
  config?: Json | null;
  generationConfig?: Json | null;
}

const BYTES_OF_LETTERS = new Map(BYTE_LETTERS.map((letter, byte) => [letter, byte]));

const MODELS = ['BPE', 'Unigram', 'WordPiece'];

/** @throws UserError (data) when the files make no tokenizer */
export function openTokenizer(sources: TokenizerSources): Tokenizer {
  const { tokenizerJson: json } = sources;
  const plain = characterTokenizer(json);
  const tokenizer = plain ?? libraryTokenizer(sources);
  const source = sources.chatTemplate ?? templateIn(sources.tokenizerConfig ?? null);
  // A model of ours was trained on prompts alone, and its template says the same.
  if (plain || source === null) return tokenizer;
  const texts: Record<string, string> = {};
  for (const role of ['bos', 'eos', 'pad', 'unk']) {
    const text = textOf(sources.tokenizerConfig?.[`${role}_token`]);
    if (text !== null) texts[`${role}_token`] = text;
  }
  let template: ChatTemplate | null = null;
  const chat = (...conversation: Parameters<ChatTemplate>): number[] => {
    template ??= createChatTemplate(source, texts);
    return tokenizer.encode(template(...conversation));
  };
  return { ...tokenizer, chat, prompt: (text) => chat([{ role: 'user', content: text }]) };
}

/** Null for a file that Reckoner did not write. */
function characterTokenizer(json: Json): Tokenizer | null {
  try {
    return tokenizerFromJSON(json);
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

/** A token is written as its text or as `{content: text, …}`. */
function textOf(token: unknown): string | null {
  if (typeof token === 'string') return token;
  const content = (token as { content?: unknown } | null | undefined)?.content;
  return typeof content === 'string' ? content : null;
}

function libraryTokenizer({
  tokenizerJson: json,
  tokenizerConfig,
  config,
  generationConfig,
}: TokenizerSources): Tokenizer {
  const fail = (why: string): never => {
    throw new UserError('data', `tokenizer.json: ${why}`, 'tokenizer.json');
  };
  const type = (json.model as Json | null | undefined)?.type;
  if (typeof type !== 'string' || !MODELS.includes(type)) {
    return fail(
      `model type ${JSON.stringify(type ?? null)?.slice(0, 40)} is not supported; ${MODELS.join(', ')} are`,
    );
  }
  let library: Library;
  let limits: Limited;
  let size: number;
  let prefix: number[];
  try {
    limits = limitsOf(json);
    library = limits.open(
      () => new Library(json, { ...tokenizerConfig, clean_up_tokenization_spaces: false }),
    );
    const ids = [...library.get_vocab(true).values()];
    size = 0;
    for (const id of ids) {
      if (!Number.isSafeInteger(id) || id < 0)
        throw new Error(`a token has the id ${JSON.stringify(id)}`);
      size = Math.max(size, id + 1);
    }
    if (size === 0) throw new Error('it has no tokens');
    prefix = limits.run(0, () => library.encode('', { add_special_tokens: true }).ids);
  } catch (error) {
    return fail(
      `it cannot be used (${String((error as Error)?.message ?? error)
        .split('\n')[0]
        .slice(0, 160)})`,
    );
  }

  const idOf = (role: string): number | null => {
    const text = textOf(tokenizerConfig?.[`${role}_token`]);
    return text === null ? null : (library.token_to_id(text) ?? null);
  };
  const listed = [generationConfig, config]
    .flatMap((file) => [file?.eos_token_id].flat())
    .filter(isId);
  const eos = idOf('eos') ?? listed[0];
  if (eos === undefined)
    return fail('nothing says which token ends a text; set eos_token in tokenizer_config.json');
  const special = { bos: prefix[0] === eos ? null : (prefix[0] ?? null), eos, pad: idOf('pad') };
  const silent = new Set([special.bos, special.eos, special.pad]);

  const encode = (text: string): number[] => {
    try {
      return limits.run(text.length, () => library.encode(text, { add_special_tokens: false }).ids);
    } catch (error) {
      return fail(
        `a text cannot be encoded (${(error as Error).message.split('\n')[0].slice(0, 160)})`,
      );
    }
  };
  const write = (ids: number[]): string => {
    try {
      return limits.run(ids.length, () => library.decode(ids, { skip_special_tokens: false }));
    } catch (error) {
      return fail(
        `tokens cannot be decoded (${(error as Error).message.split('\n')[0].slice(0, 160)})`,
      );
    }
  };
  return {
    vocabularySize: size,
    special,
    stops: [...new Set([eos, ...listed])],
    encode,
    decode(ids) {
      // Ids without a token round a vocabulary up to a good size.
      const spelled = ids.filter((id) => !silent.has(id) && library.id_to_token(id) !== undefined);
      return spelled.length === 0 ? '' : write(spelled);
    },
    spell: spellerOf(json, (id) => library.id_to_token(id), write),
    prompt(text) {
      return plainPrompt(special, this.encode(text));
    },
    chat: null,
    toJSON: () => json,
  };
}

/** What tokens write after others, by the decoder that the file names. */
function spellerOf(
  json: Json,
  tokenOf: (id: number) => string | undefined,
  write: (ids: number[]) => string,
): NonNullable<Tokenizer['spell']> {
  const decoder = json.decoder as Json | null | undefined;
  const steps = (decoder?.type === 'Sequence' ? decoder.decoders : [decoder]) as (Json | null)[];
  const has = (type: string): boolean => steps.some((step) => step?.type === type);
  const [byteLevel, byteFallback] = [has('ByteLevel'), has('ByteFallback')];
  const added = new Set(((json.added_tokens ?? []) as { id?: number }[]).map(({ id }) => id));
  const encoder = new TextEncoder();
  let reference: number | undefined;
  /** A token that others are written after: some decoders take a space from the first of a text. */
  const before = (): number => {
    if (reference !== undefined) return reference;
    reference = -1;
    for (let id = 0; id < 5000 && reference < 0; id++)
      if (/^[a-z]$/i.test(tokenOf(id) ?? '')) reference = id;
    return reference;
  };
  return (id) => {
    const token = tokenOf(id);
    if (token === undefined) return null;
    if (byteLevel && !added.has(id)) {
      const bytes = Array.from(token, (letter) => BYTES_OF_LETTERS.get(letter));
      return bytes.includes(undefined) ? null : Uint8Array.from(bytes as number[]);
    }
    const byte = byteFallback ? /^<0x([0-9A-F]{2})>$/.exec(token) : null;
    if (byte !== null) return Uint8Array.of(Number.parseInt(byte[1], 16));
    const first = byteLevel ? -1 : before();
    const text = first < 0 ? write([id]) : write([first, id]).slice(write([first]).length);
    return text === '' || text.includes('\uFFFD') ? null : encoder.encode(text);
  };
}

function isId(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}
