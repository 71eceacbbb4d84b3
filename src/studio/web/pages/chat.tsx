/**
 * @file Chat: one prompt to one model or to two at once. Thinking folds apart; each token says how likely it was; each answer what it
 * took. Text of a model is shown as text, token by token, and never becomes markup.
 */
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { ChatEvent, ModelChoice } from '../../protocol.js';
import { ask, get } from '../client.js';
import { percent, significant, usd } from '../format.js';
import { query, setQuery } from '../router.js';
import { Button, Card, Page, Problem, Select, useLoaded, Waiting } from '../ui.js';

type Token = Extract<ChatEvent, { type: 'token' }>;
type Done = Extract<ChatEvent, { type: 'done' }>;

interface Reply {
  model: string;
  tokens: Token[];
  loaded: boolean;
  done: Done | null;
  error: string | null;
}

interface Turn {
  prompt: string;
  replies: Reply[];
}

const ENDPOINT = 'endpoint';

const keyOf = ({ run, step }: ModelChoice): string => `${run}${step === null ? '' : `@${step}`}`;
const titleOf = ({ run, step }: ModelChoice): string => `${run}${step === null ? '' : `, step ${step.toLocaleString('en-US')}`}`;

export default function Chat() {
  const models = useLoaded(() => get<ModelChoice[]>('models'), []);
  const turns = useSignal<Turn[]>([]);
  const prompt = useSignal('');
  const options = useSignal({ temperature: '0.6', maxTokens: '512', seed: '1' });
  const endpoint = useSignal({ url: 'http://127.0.0.1:8000/v1', model: '', key: '' });
  const busy = useSignal<AbortController | null>(null);
  const likely = useSignal(true);
  const wanted = query.value.get('run');
  const all = models.value ?? [];
  const first =
    query.value.get('a') ??
    (wanted === null
      ? undefined
      : all.find(({ run }) => run === wanted && true) && keyOf(all.find(({ run }) => run === wanted) as ModelChoice));
  const a = first ?? (all[0] === undefined ? ENDPOINT : keyOf(all[0]));
  const b = query.value.get('b');
  const chosen = [a, ...(b === null ? [] : [b])];
  const example = all.find((model) => keyOf(model) === a)?.example ?? null;
  const choices = [
    ...all.map((model) => ({ value: keyOf(model), name: titleOf(model) })),
    { value: ENDPOINT, name: 'An OpenAI-compatible endpoint' },
  ];
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => () => busy.peek()?.abort(), [busy]);

  const send = async (): Promise<void> => {
    const text = prompt.value.trim() || example;
    if (!text || busy.value !== null) return;
    const left = new AbortController();
    busy.value = left;
    const replies = chosen.map((key): Reply => {
      const found = all.find((model) => keyOf(model) === key);
      return {
        model: found === undefined ? endpoint.value.model || endpoint.value.url : titleOf(found),
        tokens: [],
        loaded: false,
        done: null,
        error: null,
      };
    });
    const before = turns.value;
    let frame = 0;
    const show = (): void => {
      cancelAnimationFrame(frame);
      frame = requestAnimationFrame(() => {
        turns.value = [...before, { prompt: text, replies: replies.map((reply) => ({ ...reply })) }];
      });
    };
    show();
    prompt.value = '';
    requestAnimationFrame(() => end.current?.scrollIntoView({ block: 'nearest' }));
    const { temperature, maxTokens, seed } = options.value;
    await Promise.all(
      chosen.map(async (key, i) => {
        const found = all.find((model) => keyOf(model) === key);
        const reply = replies[i];
        const { url, model, key: secret } = endpoint.value;
        try {
          const to =
            found === undefined
              ? { endpoint: { url, model, ...(secret === '' ? {} : { key: secret }) } }
              : { model: { run: found.run, step: found.step } };
          const request = {
            ...to,
            prompt: text,
            temperature: Number(temperature),
            maxTokens: Math.round(Number(maxTokens)),
            seed: Math.round(Number(seed)),
          };
          await ask(
            request,
            (event) => {
              if (event.type === 'token') reply.tokens = [...reply.tokens, event];
              else if (event.type === 'done') reply.done = event;
              else if (event.type === 'error') reply.error = event.message;
              reply.loaded = true;
              show();
            },
            left.signal,
          );
        } catch (problem) {
          reply.error = left.signal.aborted ? 'stopped' : (problem as Error).message;
          show();
        }
      }),
    );
    busy.value = null;
  };

  const setting = (label: string, name: keyof typeof options.value) => (
    <label class="field small">
      <span>{label}</span>
      <input
        type="text"
        inputMode="decimal"
        value={options.value[name]}
        onInput={(event) => (options.value = { ...options.value, [name]: event.currentTarget.value })}
      />
    </label>
  );
  return (
    <Page title="Chat" sub="Each prompt stands alone: a model of a task knows one kind of problem.">
      {models.error !== null && <Problem>{models.error}</Problem>}
      <div class="toolbar chat-models">
        <Select label="Model" value={a} options={choices} onChange={(value) => setQuery({ a: value, run: null })} />
        {b !== null && <Select label="and" value={b} options={choices} onChange={(value) => setQuery({ b: value })} />}
        <Button
          icon={b === null ? 'plus' : 'close'}
          onClick={() => setQuery({ b: b === null ? (choices.find(({ value }) => value !== a)?.value ?? ENDPOINT) : null })}
        >
          {b === null ? 'Compare with another' : 'One'}
        </Button>
        <label class="check right">
          <input type="checkbox" checked={likely.value} onChange={(event) => (likely.value = event.currentTarget.checked)} />
          Mark unlikely
        </label>
      </div>
      {chosen.includes(ENDPOINT) && (
        <Card title="Endpoint" note="The server of this page asks it; the key stays in this page and is sent with each question.">
          <div class="form-row">
            <label class="field grow">
              <span>URL</span>
              <input
                type="url"
                value={endpoint.value.url}
                onInput={(event) => (endpoint.value = { ...endpoint.value, url: event.currentTarget.value })}
              />
            </label>
            <label class="field">
              <span>Model</span>
              <input
                type="text"
                value={endpoint.value.model}
                onInput={(event) => (endpoint.value = { ...endpoint.value, model: event.currentTarget.value })}
              />
            </label>
            <label class="field">
              <span>Key</span>
              <input
                type="password"
                autocomplete="off"
                value={endpoint.value.key}
                onInput={(event) => (endpoint.value = { ...endpoint.value, key: event.currentTarget.value })}
              />
            </label>
          </div>
        </Card>
      )}
      <div class="turns" aria-live="polite">
        {turns.value.length === 0 && (
          <div class="empty chat-empty">
            <h2>Ask a problem</h2>
            <p>
              {models.value === null ? (
                'Looking for models…'
              ) : example === null ? (
                'Choose a model above. Runs of this machine appear there as soon as they have a checkpoint.'
              ) : (
                <>
                  This model knows problems such as{' '}
                  <button type="button" class="chip mono" onClick={() => (prompt.value = example)}>
                    {example}
                  </button>
                </>
              )}
            </p>
          </div>
        )}
        {turns.value.map((turn, i) => (
          <section key={i} class="turn">
            <p class="asked mono">{turn.prompt}</p>
            <div class={`replies n${turn.replies.length}`}>
              {turn.replies.map((reply, j) => (
                <Answer key={j} reply={reply} likely={likely.value} titled={turn.replies.length > 1 || turns.value.length > 1} />
              ))}
            </div>
          </section>
        ))}
        <div ref={end} />
      </div>
      <form
        class="ask"
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <label class="hidden" for="prompt">
          Prompt
        </label>
        <textarea
          id="prompt"
          rows={2}
          value={prompt.value}
          placeholder={example ?? 'Ask something'}
          onInput={(event) => (prompt.value = event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
            event.preventDefault();
            void send();
          }}
        />
        <div class="ask-foot">
          {setting('Temperature', 'temperature')}
          {setting('Most tokens', 'maxTokens')}
          {setting('Seed', 'seed')}
          {busy.value === null ? (
            <button type="submit" class="button primary right">
              Ask
            </button>
          ) : (
            <button type="button" class="button right" onClick={() => busy.value?.abort()}>
              Stop
            </button>
          )}
        </div>
      </form>
    </Page>
  );
}

const TAGS = { '<think>': 'thinking', '</think>': 'text', '<answer>': 'answer', '</answer>': 'text' } as const;

interface Part {
  kind: 'thinking' | 'text' | 'answer';
  tokens: { token: Token; index: number }[];
}

/** Tokens by the part that they belong to; the tags themselves, each one token or several, are left out. */
function partsOf(tokens: readonly Token[]): Part[] {
  const parts: Part[] = [];
  let kind: Part['kind'] = 'text';
  const put = (token: Token, index: number, as: Part['kind']): void => {
    const last = parts.at(-1);
    if (last?.kind === as) last.tokens.push({ token, index });
    else parts.push({ kind: as, tokens: [{ token, index }] });
  };
  for (let i = 0; i < tokens.length; i++) {
    const token = tokens[i];
    if (token.part !== null && token.part !== 'text') put(token, i, token.part);
    else {
      let end = i;
      let text = token.text;
      const begins = (): boolean => Object.keys(TAGS).some((tag) => tag.startsWith(text.trimStart()) && text.trim() !== '');
      while (begins() && TAGS[text.trim() as keyof typeof TAGS] === undefined && end + 1 < tokens.length)
        text += tokens[++end].text;
      const tag = TAGS[text.trim() as keyof typeof TAGS];
      if (tag === undefined) put(token, i, kind);
      else {
        kind = tag;
        if (kind === 'thinking') parts.push({ kind, tokens: [] });
        i = end;
      }
    }
  }
  return parts.filter((part) => part.kind === 'thinking' || part.tokens.some(({ token }) => token.text.trim() !== ''));
}

function Answer({ reply, likely, titled }: { reply: Reply; likely: boolean; titled: boolean }) {
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
    <article class="reply" onMouseOver={(event) => (at.value = pointedAt(event.target))} onMouseLeave={() => (at.value = null)}>
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
              <summary>Thinking{part.tokens.length === 0 ? ': none' : `, ${part.tokens.length} tokens`}</summary>
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
      {error !== null && (error === 'stopped' ? <p class="note">Stopped.</p> : <Problem>{error}</Problem>)}
      {done !== null && (
        <p class="reply-foot">
          {done.verdict !== null && <span class={`reward ${done.verdict.correct ? 'good' : 'bad'}`}>{done.verdict.reason}</span>}
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
  return probability > 0.9 ? 0 : probability > 0.6 ? 1 : probability > 0.3 ? 2 : probability > 0.1 ? 3 : 4;
}
