/**
 * @file Answers in OpenAI's shapes, whole or in pieces.
 *
 * A `Choice` collects what comes for one completion; what has been collected is taken either once,
 * at the end, or again and again by a stream. A reader that is slow gets larger pieces, so what
 * waits for it is never more than the text itself.
 */
import type { TokenReport } from '../inference/generator.js';
import { PartReader, type Piece } from '../tasks/thinking.js';

/** DeepSeek's API gives the thinking as `reasoning_content` and the rest as `content`. */
type Part = 'reasoning' | 'content';

export type Kind = 'chat' | 'completion';

export interface UsageReport {
  prompt_tokens: number;
  completion_tokens: number;
  total_tokens: number;
  prompt_tokens_details: { cached_tokens: number };
  completion_tokens_details: { reasoning_tokens: number };
  /**
   * Dollars: the completion's share of the core and its electricity, at the price book's prices.
   */
  cost_usd: number;
}

const bytesOf = (text: string): number[] => [...Buffer.from(text, 'utf8')];

const chatEntry = ({ text, logProbability, top }: TokenReport): unknown => ({
  token: text,
  logprob: logProbability,
  bytes: bytesOf(text),
  top_logprobs: top.map((other) => ({
    token: other.text,
    logprob: other.logProbability,
    bytes: bytesOf(other.text),
  })),
});

export class Choice {
  /** Null where the text is left as it is: it is JSON, say, which may well hold a tag. */
  private readonly reader: PartReader | null;
  private text: Record<Part, string> = { reasoning: '', content: '' };
  private reports: Record<Part, TokenReport[]> = { reasoning: [], content: [] };
  private hasReasoned = false;
  private offset = 0;
  finish: 'stop' | 'length' | null = null;
  reasoningTokens = 0;
  /** Something has come that was not taken yet. */
  pending = false;

  constructor(
    readonly index: number,
    private readonly kind: Kind,
    private readonly logprobs: boolean,
    /** `raw` leaves the text whole; `opened`: its prompt ended in `<think>`. */
    { raw = false, opened = false }: { raw?: boolean; opened?: boolean } = {},
  ) {
    this.reader = raw || kind === 'completion' ? null : new PartReader(opened);
    if (raw && opened) this.text.content = '<think>';
  }

  add(text: string, tokens: number, reports: readonly TokenReport[]): void {
    const before = this.reader?.part;
    if (this.reader === null) this.put('text', text);
    else for (const piece of this.reader.push(text)) this.put(piece.part, piece.text);
    // A tag counts for the side that it opens or closes: the reasoning.
    const part =
      before === 'thinking' || this.reader?.part === 'thinking' ? 'reasoning' : 'content';
    if (part === 'reasoning') {
      this.reasoningTokens += tokens;
      // A model that opened and closed its thinking has thought, if only nothing.
      this.hasReasoned = true;
    }
    this.reports[part].push(...reports);
    this.pending ||= text !== '' || reports.length > 0;
  }

  end(finish: 'stop' | 'length'): void {
    for (const piece of this.reader?.end() ?? []) this.put(piece.part, piece.text);
    this.finish = finish;
    this.pending = true;
  }

  private put(of: Piece['part'], text: string): void {
    const part = of === 'thinking' ? 'reasoning' : 'content';
    this.text[part] += text;
    this.hasReasoned ||= part === 'reasoning';
  }

  private takeText(): Record<Part, string> {
    const taken = this.text;
    this.text = { reasoning: '', content: '' };
    this.pending = false;
    return taken;
  }

  private takeLogprobs(): unknown {
    if (!this.logprobs) return null;
    const { reasoning, content } = this.reports;
    this.reports = { reasoning: [], content: [] };
    if (this.kind === 'chat') {
      return {
        content: content.map(chatEntry),
        refusal: null,
        ...(reasoning.length > 0 ? { reasoning_content: reasoning.map(chatEntry) } : {}),
      };
    }
    const offsets = content.map(({ text }) => {
      this.offset += text.length;
      return this.offset - text.length;
    });
    return {
      tokens: content.map(({ text }) => text),
      token_logprobs: content.map(({ logProbability }) => logProbability),
      top_logprobs: content.map(({ top }) =>
        Object.fromEntries(top.map(({ text, logProbability }) => [text, logProbability])),
      ),
      text_offset: offsets,
    };
  }

  /** The whole choice, once it has ended. */
  whole(): unknown {
    const { index, finish } = this;
    const { reasoning, content } = this.takeText();
    const logprobs = this.takeLogprobs();
    if (this.kind === 'completion')
      return { index, text: content, logprobs, finish_reason: finish };
    const message = {
      role: 'assistant',
      content,
      ...(this.hasReasoned ? { reasoning_content: reasoning } : {}),
      refusal: null,
    };
    return { index, message, logprobs, finish_reason: finish };
  }

  /** What has come since the last call, as choices of chunks. */
  pieces(): unknown[] {
    const { index, kind, finish } = this;
    const { reasoning, content } = this.takeText();
    const logprobs = this.takeLogprobs();
    if (kind === 'completion') return [{ index, text: content, logprobs, finish_reason: finish }];
    const out: unknown[] = [];
    if (reasoning !== '')
      out.push({
        index,
        delta: { reasoning_content: reasoning },
        logprobs: null,
        finish_reason: null,
      });
    if (content !== '' || (this.logprobs && finish === null)) {
      out.push({ index, delta: { content }, logprobs, finish_reason: null });
      if (finish !== null) out.push({ index, delta: {}, logprobs: null, finish_reason: finish });
    } else if (finish !== null) {
      out.push({ index, delta: {}, logprobs, finish_reason: finish });
    }
    return out;
  }
}
