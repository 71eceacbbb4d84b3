/**
 * @file Chat: one prompt to one model or to two at once. Thinking folds apart; each token says how
 * likely it was; each answer what it took. Text of a model is shown as text, token by token, and
 * never becomes markup.
 */
import { useSignal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import type { ModelChoice } from '../../protocol.js';
import { Answer, type Reply } from '../answer.js';
import { ask, get } from '../client.js';
import { count, typed } from '../format.js';
import { query, setQuery } from '../router.js';
import { Button, Card, Page, Problem, Select, useLoaded } from '../ui.js';

interface Turn {
  prompt: string;
  replies: Reply[];
}

const ENDPOINT = 'endpoint';

const keyOf = ({ run, step }: ModelChoice): string => `${run}${step === null ? '' : `@${step}`}`;
/** The date says little in a narrow list; the address has the whole name. */
const titleOf = ({ run, step }: ModelChoice): string =>
  `${run.replace(/^\d{4}-\d{2}-\d{2}-/, '')}${step === null ? '' : `, step ${count(step)}`}`;

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
  // The model that was asked for, that of the run that was, the newest; while they are looked for,
  // none.
  const model = all.find(({ run }) => run === wanted) ?? all[0];
  /** What the address names, unless it is gone by now. */
  const named = (parameter: string): string | null => {
    const key = query.value.get(parameter);
    return models.value === null || key === ENDPOINT || all.some((one) => keyOf(one) === key)
      ? key
      : null;
  };
  const a =
    named('a') ?? (model !== undefined ? keyOf(model) : models.value === null ? '' : ENDPOINT);
  const b = named('b');
  const chosen = [a, ...(b === null ? [] : [b])];
  const example = all.find((model) => keyOf(model) === a)?.example ?? null;
  const choices = [
    ...(a === '' ? [{ value: '', name: 'Looking for models…' }] : []),
    ...all.map((model) => ({ value: keyOf(model), name: titleOf(model) })),
    { value: ENDPOINT, name: 'An OpenAI-compatible endpoint' },
  ];
  const end = useRef<HTMLDivElement>(null);
  useEffect(() => () => busy.peek()?.abort(), [busy]);

  const send = async (): Promise<void> => {
    const text = prompt.value.trim() || example;
    if (!text || a === '' || busy.value !== null) return;
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
        turns.value = [
          ...before,
          { prompt: text, replies: replies.map((reply) => ({ ...reply })) },
        ];
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
            temperature: typed('Temperature', temperature),
            maxTokens: Math.round(typed('Max tokens', maxTokens)),
            seed: Math.round(typed('Seed', seed)),
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
        onInput={(event) =>
          (options.value = { ...options.value, [name]: event.currentTarget.value })
        }
      />
    </label>
  );
  return (
    <Page title="Chat" sub="Each prompt stands alone: a model of a task knows one kind of problem.">
      {models.error !== null && <Problem>{models.error}</Problem>}
      <div class="toolbar chat-models">
        <Select
          label="Model"
          value={a}
          options={choices}
          onChange={(value) => setQuery({ a: value, run: null })}
        />
        {b !== null && (
          <Select
            label="and"
            value={b}
            options={choices}
            onChange={(value) => setQuery({ b: value })}
          />
        )}
        <Button
          icon={b === null ? 'plus' : 'close'}
          // Before the models are known there is none to compare with.
          disabled={models.value === null}
          onClick={() =>
            setQuery({
              b: b === null ? (choices.find(({ value }) => value !== a)?.value ?? ENDPOINT) : null,
            })
          }
        >
          {b === null ? 'Compare with another' : 'One'}
        </Button>
        <label class="check right">
          <input
            type="checkbox"
            checked={likely.value}
            onChange={(event) => (likely.value = event.currentTarget.checked)}
          />
          Mark unlikely
        </label>
      </div>
      {chosen.includes(ENDPOINT) && (
        <Card
          title="Endpoint"
          note="The server of this page asks it; the key stays in this page and is sent with each question."
        >
          <div class="form-row">
            <label class="field grow">
              <span>URL</span>
              <input
                type="url"
                value={endpoint.value.url}
                onInput={(event) =>
                  (endpoint.value = { ...endpoint.value, url: event.currentTarget.value })
                }
              />
            </label>
            <label class="field">
              <span>Model</span>
              <input
                type="text"
                value={endpoint.value.model}
                onInput={(event) =>
                  (endpoint.value = { ...endpoint.value, model: event.currentTarget.value })
                }
              />
            </label>
            <label class="field">
              <span>Key</span>
              <input
                type="password"
                autocomplete="off"
                value={endpoint.value.key}
                onInput={(event) =>
                  (endpoint.value = { ...endpoint.value, key: event.currentTarget.value })
                }
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
              ) : a === ENDPOINT ? (
                'Name the endpoint and its model above: reckoner serve, or whatever speaks the same language.'
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
                <Answer
                  key={j}
                  reply={reply}
                  likely={likely.value}
                  titled={turn.replies.length > 1 || turns.value.length > 1}
                />
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
          {setting('Max tokens', 'maxTokens')}
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
