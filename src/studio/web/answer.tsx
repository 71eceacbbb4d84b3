/**
 * @file One answer of a model, token by token: thinking folds apart, each token says how likely it
 * was, and the answer what it took.
 */
import { useSignal } from '@preact/signals';
import { type Part as PartName, PartReader } from '../../tasks/thinking.js';
import type { ChatEvent } from '../protocol.js';
import { percent, significant, usd } from './format.js';
import { Problem, Waiting } from './ui.js';

type Token = Extract<ChatEvent, { type: 'token' }>;
type Done = Extract<ChatEvent, { type: 'done' }>;

export interface Reply {
  model: string;
  tokens: Token[];
  loaded: boolean;
  done: Done | null;
  error: string | null;
}

interface Part {
  kind: PartName;
  tokens: { token: Token; index: number }[];
}

/**
 * Tokens by the part that they belong to; the tags themselves, each one token or several, are left
 * out.
 */
function partsOf(tokens: readonly Token[]): Part[] {
  const parts: Part[] = [];
  const reader = new PartReader();
  /** Tokens that may be the beginning of a tag. */
  let held: { token: Token; index: number }[] = [];
  const put = (one: { token: Token; index: number }, kind: Part['kind']): void => {
    const last = parts.at(-1);
    if (last?.kind === kind) last.tokens.push(one);
    else parts.push({ kind, tokens: [one] });
  };
  for (const [index, token] of tokens.entries()) {
    const one = { token, index };
    if (token.part !== null && token.part !== 'text') {
      put(one, token.part);
      continue;
    }
    const before = reader.part;
    const pieces = reader.push(token.text);
    const closed = reader.part !== before;
    if (closed && reader.part === 'thinking') parts.push({ kind: 'thinking', tokens: [] });
    if (pieces.length === 0) {
      held = closed ? [] : [...held, one];
      continue;
    }
    // What was held back was no tag, unless one has ended with this token.
    if (!closed) for (const earlier of held) put(earlier, before);
    held = [];
    if (pieces.some(({ text }) => text.trim() !== '')) put(one, pieces[0].part);
  }
  for (const one of held) put(one, reader.part);
  return parts.filter(
    (part) => part.kind === 'thinking' || part.tokens.some(({ token }) => token.text.trim() !== ''),
  );
}

export function Answer({
  reply,
  likely,
  titled,
}: {
  reply: Reply;
  likely: boolean;
  titled: boolean;
}) {
  const { tokens, done, error, model, loaded } = reply;
  const at = useSignal<number | null>(null);
  const parts = partsOf(tokens);
  const pointed = at.value === null ? null : tokens[at.value];
  const move = (by: number): void => {
    const next = at.value === null ? (by > 0 ? 0 : tokens.length - 1) : at.value + by;
    at.value = Math.max(0, Math.min(tokens.length - 1, next));
  };
  const text = (part: Part) =>
    part.tokens.map(({ token, index }) => (
      <span
        key={index}
        data-at={index}
        class={`token p${likely ? level(token.logProbability) : 0}${index === at.value ? ' here' : ''}`}
      >
        {token.text}
      </span>
    ));
  return (
    <article
      class="reply"
      onMouseOver={(event) => (at.value = pointedAt(event.target))}
      onMouseLeave={() => (at.value = null)}
    >
      {titled && <p class="note reply-model">{model}</p>}
      {!loaded && <Waiting>Loading the model…</Waiting>}
      <div
        class="reply-text mono"
        role="group"
        tabIndex={0}
        aria-label="Answer; the arrow keys go through its tokens"
        onKeyDown={(event) => {
          if (event.key !== 'ArrowRight' && event.key !== 'ArrowLeft') return;
          event.preventDefault();
          move(event.key === 'ArrowRight' ? 1 : -1);
        }}
      >
        {parts.map((part, i) =>
          part.kind === 'thinking' ? (
            <details key={i} class="thinking-fold" open>
              <summary>
                Thinking{part.tokens.length === 0 ? ': none' : `, ${part.tokens.length} tokens`}
              </summary>
              <div class="thinking">{text(part)}</div>
            </details>
          ) : (
            <div key={i} class={part.kind}>
              {text(part)}
            </div>
          ),
        )}
      </div>
      <p class="token-readout" role="status">
        {pointed !== null && pointed !== undefined
          ? `${JSON.stringify(pointed.text)} · ${pointed.logProbability === null ? 'probability not said' : `probability ${percent(Math.exp(pointed.logProbability))}`}`
          : ' '}
      </p>
      {error !== null &&
        (error === 'stopped' ? <p class="note">Stopped.</p> : <Problem>{error}</Problem>)}
      {done !== null && (
        <p class="reply-foot">
          {done.verdict !== null && (
            <span class={`reward ${done.verdict.correct ? 'good' : 'bad'}`}>
              {done.verdict.reason}
            </span>
          )}
          <span>{done.tokens} tokens</span>
          <span>{significant(done.seconds, 2)} s</span>
          <span>{done.usd === null ? 'cost not said' : usd(done.usd)}</span>
          {done.stop === 'length' && <span>cut off at the limit</span>}
        </p>
      )}
    </article>
  );
}

const pointedAt = (target: EventTarget | null): number | null => {
  const at = (target as HTMLElement | null)?.dataset?.at;
  return at === undefined ? null : Number(at);
};

/** 0: certain, or not known; 4: a surprise. */
function level(logProbability: number | null): number {
  if (logProbability === null) return 0;
  const probability = Math.exp(logProbability);
  return probability > 0.9
    ? 0
    : probability > 0.6
      ? 1
      : probability > 0.3
        ? 2
        : probability > 0.1
          ? 3
          : 4;
}
