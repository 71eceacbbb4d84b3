/**
 * @file Text in, text out, on the engine: prompts are encoded, completions decoded as they grow,
 * stop strings and schemas kept.
 *
 * What a server's worker thread runs. Requests are plain data and so are the events that answer
 * them, so both cross a thread.
 */
import { UserError } from '../base/errors.js';
import type { Model } from '../models/index.js';
import type { Backend } from '../tensor/backend.js';
import type { ChatMessage, TemplateSwitches } from '../tokenizers/chat-template.js';
import { plainPrompt, type Tokenizer } from '../tokenizers/tokenizer.js';
import { createEngine, type EngineStats, type Sequence, type SequenceUse } from './engine.js';
import { Grammar, GrammarMemory } from './grammar.js';
import { grammarOfObject, grammarOfSchema } from './json-schema.js';
import { StopFinder, TextStream } from './text-stream.js';
import { type Vocabulary, vocabularyOf } from './vocabulary.js';

export interface GenerationRequest {
  input:
    | { messages: ChatMessage[]; switches?: TemplateSwitches }
    | { text: string }
    | { tokens: number[] };
  /** Completions. */
  choices: number;
  /** Null: as many as the model has room for. */
  maxTokens: number | null;
  stop: string[];
  seed: number | null;
  temperature: number;
  topP: number;
  topK: number;
  minP: number;
  /** Token and what is added to its logit. */
  logitBias: [number, number][];
  /** How many of the most likely tokens to report at each place; null for no log-probabilities. */
  topLogProbabilities: number | null;
  /** `object`: any JSON object; or a JSON schema, as text: one that waits takes no more than that. */
  json: { kind: 'object' } | { kind: 'schema'; text: string } | null;
}

export interface TokenReport {
  text: string;
  logProbability: number;
  top: { text: string; logProbability: number }[];
}

export type Finish = 'stop' | 'length' | 'cancelled';

/**
 * What happens to a request, in order; the request is over with its last `end`, or with `refused`.
 */
export type GenerationEvent =
  | {
      id: number;
      kind: 'delta';
      choice: number;
      text: string;
      tokens: number;
      reports: TokenReport[];
    }
  | { id: number; kind: 'end'; choice: number; finish: Finish; use: SequenceUse }
  /** The request is wrong; the first token need not be the first event. */
  | { id: number; kind: 'refused'; message: string; field?: string }
  /** The server is wrong. */
  | { id: number; kind: 'broken'; message: string };

export interface Generator {
  submit(id: number, request: GenerationRequest): void;
  cancel(id: number): void;
  /** Advances all; events go to `emit`. @returns false when there was nothing to do */
  step(): Promise<boolean>;
  stats(): EngineStats;
}

export interface GeneratorOptions {
  capacity: number;
  cacheRows: number;
  emit(event: GenerationEvent): void;
}

/** Grammars of recent schemas that are kept beside those in use: 3 MB each at most. */
const KEPT_GRAMMARS = 16;

/** Sizes of a cache that holds `capacity` whole contexts, but no more than `bytes`. */
export function cacheRowsFor(
  longest: number,
  capacity: number,
  bytesPerToken: number,
  bytes: number,
): number {
  return Math.max(longest, Math.min(capacity * longest, Math.floor(bytes / bytesPerToken)));
}

export function createGenerator(
  { backend, model, tokenizer }: { backend: Backend; model: Model; tokenizer: Tokenizer },
  options: GeneratorOptions,
): Generator {
  const { emit, capacity, cacheRows } = options;
  const stops = new Set(tokenizer.stops);
  const engine = createEngine(backend, model, { capacity, cacheRows, stops: tokenizer.stops });
  const longest = Math.min(cacheRows, model.config.max_position_embeddings);
  const running = new Map<number, Sequence[]>();
  const grammars = new Map<string, Grammar>();
  const memory = new GrammarMemory();
  let vocabulary: Vocabulary | null = null;

  function promptOf(input: GenerationRequest['input']): number[] {
    if ('tokens' in input) {
      const wrong = input.tokens.find(
        (id) => !Number.isInteger(id) || id < 0 || id >= tokenizer.vocabularySize,
      );
      if (wrong !== undefined)
        throw new UserError(
          'usage',
          `token ${wrong} is not among the model's ${tokenizer.vocabularySize}`,
          'prompt',
        );
      return input.tokens;
    }
    if ('text' in input) return plainPrompt(tokenizer.special, tokenizer.encode(input.text));
    if (tokenizer.chat === null) {
      throw new UserError(
        'usage',
        'the model has no chat template; use /v1/completions',
        'messages',
      );
    }
    return tokenizer.chat(input.messages, input.switches);
  }

  /** @throws UserError (usage) for a schema that cannot be kept to */
  function grammarOf(json: NonNullable<GenerationRequest['json']>): Grammar {
    const key = json.kind === 'object' ? '' : json.text;
    let grammar = grammars.get(key);
    if (grammar === undefined) {
      vocabulary ??= vocabularyOf(tokenizer);
      const rules =
        json.kind === 'object' ? grammarOfObject() : grammarOfSchema(JSON.parse(json.text));
      grammar = new Grammar(rules, vocabulary, memory);
      if (!grammar.possible) {
        throw new UserError(
          'usage',
          "the model's vocabulary lacks characters that this JSON needs; it cannot write it",
          'response_format',
        );
      }
    }
    // Most recently used last.
    grammars.delete(key);
    if (grammars.size >= KEPT_GRAMMARS) grammars.delete(grammars.keys().next().value as string);
    grammars.set(key, grammar);
    return grammar;
  }

  function start(id: number, request: GenerationRequest): void {
    const prompt = promptOf(request.input);
    const room = longest - prompt.length;
    if (room < 1) {
      throw new UserError(
        'usage',
        `the prompt has ${prompt.length} tokens and the model takes ${longest}, completion included; shorten it`,
        'messages' in request.input ? 'messages' : 'prompt',
      );
    }
    const foreign = request.logitBias.find(
      ([token]) => token < 0 || token >= tokenizer.vocabularySize,
    );
    if (foreign)
      throw new UserError(
        'usage',
        `token ${foreign[0]} is not among the model's ${tokenizer.vocabularySize}`,
        'logit_bias',
      );
    const maxTokens = Math.min(request.maxTokens ?? room, room);
    const { json } = request;
    const { temperature, topP, topK, minP } = request;
    const bias = request.logitBias.length === 0 ? null : new Map(request.logitBias);
    const sequences: Sequence[] = [];
    let left = request.choices;
    for (let choice = 0; choice < request.choices; choice++) {
      const stream = new TextStream(tokenizer);
      const finder = new StopFinder(request.stop);
      const sequence = engine.add({
        prompt,
        maxTokens,
        seed: request.seed,
        choice,
        choosing: { temperature, topP, topK, minP, bias },
        topLogProbabilities: request.topLogProbabilities,
        constraint: json && (() => grammarOf(json).constraint()),
        after: sequences[0],
        onToken(token) {
          const ended = stops.has(token.id);
          const { text, stopped } = finder.push(ended ? stream.end() : stream.push(token.id));
          const reports: TokenReport[] = [];
          if (token.logProbability !== null) {
            const top = token.top.map(({ id: other, logProbability }) => ({
              text: tokenizer.decode([other]),
              logProbability,
            }));
            if (!ended)
              reports.push({
                text: tokenizer.decode([token.id]),
                logProbability: token.logProbability,
                top,
              });
          }
          emit({
            id,
            kind: 'delta',
            choice,
            text: ended && !stopped ? text + finder.end() : text,
            tokens: 1,
            reports,
          });
          return stopped;
        },
        onEnd(stop, use, error) {
          if (stop === 'failed') {
            if (!running.delete(id)) return;
            for (const other of sequences) engine.cancel(other);
            emit({ id, kind: 'refused', message: error?.message ?? '', field: error?.field });
            return;
          }
          if (!running.has(id)) return;
          if (stop === 'length') {
            const rest = finder.push(stream.end());
            const text = rest.stopped ? rest.text : rest.text + finder.end();
            if (text !== '') emit({ id, kind: 'delta', choice, text, tokens: 0, reports: [] });
          }
          if (--left === 0) running.delete(id);
          emit({ id, kind: 'end', choice, finish: stop === 'eos' ? 'stop' : stop, use });
        },
      });
      sequences.push(sequence);
    }
    running.set(id, sequences);
  }

  return {
    submit(id, request) {
      try {
        start(id, request);
      } catch (error) {
        const { message } = error as Error;
        if (error instanceof UserError) emit({ id, kind: 'refused', message, field: error.field });
        else emit({ id, kind: 'broken', message });
      }
    },
    cancel(id) {
      for (const sequence of running.get(id) ?? []) engine.cancel(sequence);
    },
    step: engine.step,
    stats: engine.stats,
  };
}
