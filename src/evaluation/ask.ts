/**
 * @file An endpoint asked all problems: some at a time, each answer graded and written down as it
 * comes.
 */
import { UserError } from '../base/errors.js';
import { Random } from '../base/random.js';
import { isMarked, judge } from '../tasks/formats.js';
import type { Problem, Task } from '../tasks/task.js';
import { type Endpoint, EndpointError } from './endpoint.js';
import { type Asked, adapt, apiOf, bodyOf, readAnswer } from './questions.js';
import { NOTHING } from './summary.js';
import type { Transcript } from './transcripts.js';

export interface Question {
  problem: number;
  /** Null: at temperature 0. */
  sample: number | null;
}

export interface AskOptions {
  endpoint: Endpoint;
  asked: Asked;
  task: Task;
  problems: readonly Problem[];
  seed: number;
  temperature: number;
  /** Requests at once. */
  parallel: number;
  /**
   * Asked before each question with the number of those that are open; where it says no, the rest
   * is left.
   */
  mayAsk?: (open: number) => boolean;
  onTranscript(transcript: Transcript): void;
}

/** Answers without a completion after which a server is given up that gave nothing else. */
const PATIENCE = 5;

/** Whether the server says that it is `reckoner serve`. */
export async function isReckoner(endpoint: Endpoint): Promise<boolean> {
  try {
    const { json } = await endpoint.ask('GET', '/models');
    const data = (json as { data?: unknown } | null)?.data;
    return Array.isArray(data) && data.some((model) => model?.owned_by === 'reckoner');
  } catch (error) {
    if (error instanceof EndpointError) return false;
    throw error;
  }
}

/** Statuses that say that this problem, not the caller, is the matter. */
const REFUSALS = new Set([400, 413, 422]);

/**
 * Asks the questions, in order, `parallel` at once.
 * @throws UserError where the endpoint does not answer; what was answered until then has been
 * passed on
 */
export async function askQuestions(
  questions: readonly Question[],
  options: AskOptions,
): Promise<void> {
  const { endpoint, asked, task, problems, seed, temperature, parallel, mayAsk, onTranscript } =
    options;
  /** What the server wanted otherwise, applied to every further request. */
  const refusals: string[] = [];
  let answered = 0;
  let unreadable = 0;
  let stopped: unknown = null;

  async function one({ problem: index, sample }: Question): Promise<void> {
    const problem = problems[index];
    const draw = new Random(seed, 'endpoint', index, sample ?? 'greedy').uint32() >>> 1;
    const api = apiOf(asked, problem.prompting);
    const path = api === 'chat' ? '/chat/completions' : '/completions';
    let body = bodyOf(asked, problem, sample === null ? 0 : temperature, draw);
    for (const refusal of refusals) body = adapt(body, refusal) ?? body;
    const part = problem.part === undefined ? {} : { part: problem.part };
    const common = { problem: index, sample, ...part, prompt: problem.prompt };
    for (;;) {
      try {
        const { json, tries, seconds } = await endpoint.ask('POST', path, body);
        const answer = readAnswer(json, api);
        if (answer === null) {
          const reason = 'the endpoint answers with no completion; is it OpenAI-compatible?';
          // One such answer costs its problem; a server that gives no other is none.
          if (answered === 0 && ++unreadable >= Math.min(questions.length, PATIENCE))
            throw new EndpointError(200, reason);
          onTranscript({ ...common, ...NOTHING, reason });
          return;
        }
        const { completion, stop, promptTokens, cachedTokens, completionTokens, usd } = answer;
        const { verdict, answer: said } = await judge(task, problem, completion);
        const cut = stop === 'length';
        answered++;
        onTranscript({
          ...common,
          completion,
          answer: cut ? null : said,
          reward: cut ? 0 : verdict.reward,
          correct: !cut && verdict.correct,
          // Other endpoints were asked for an answer that is marked, and for no more.
          wellFormed: verdict.wellFormed || (asked.own !== true && isMarked(completion)),
          reason: cut
            ? `cut off at ${completionTokens ?? 'the last of its'} tokens`
            : verdict.reason,
          stop,
          promptTokens,
          ...(cachedTokens > 0 ? { cachedTokens } : {}),
          completionTokens,
          seconds,
          usd,
          ...(tries > 1 ? { tries } : {}),
        });
        return;
      } catch (error) {
        if (!(error instanceof EndpointError) || !REFUSALS.has(error.status)) throw error;
        const adapted = adapt(body, error.message);
        if (adapted !== null) {
          refusals.push(error.message);
          body = adapted;
          continue;
        }
        // A server that has refused everything so far does not like the request, whichever the
        // problem.
        if (answered === 0) throw error;
        onTranscript({ ...common, ...NOTHING, reason: error.message });
        return;
      }
    }
  }

  let next = 0;
  let open = 0;
  /** Asks one after the other until `last`, or until it must not. */
  async function askOn(last: number): Promise<void> {
    try {
      while (next < last && stopped === null && (mayAsk?.(open) ?? true)) {
        open++;
        await one(questions[next++]);
        open--;
      }
    } catch (error) {
      stopped ??= error;
    }
  }
  // One at first: what is wrong with all requests is found once, and not `parallel` times.
  await askOn(Math.min(1, questions.length));
  const workers = Array.from({ length: parallel }, () => askOn(questions.length));
  await Promise.all(workers);
  if (stopped !== null) throw stopped;
}

/**
 * The only model of an endpoint. @throws UserError (usage) where there are several, or it does not
 * say
 */
export async function onlyModel(endpoint: Endpoint): Promise<string> {
  const { json } = await endpoint.ask('GET', '/models');
  const data = (json as { data?: unknown } | null)?.data;
  const names = (Array.isArray(data) ? data : []).flatMap(({ id }: { id?: unknown }) =>
    typeof id === 'string' ? [id] : [],
  );
  if (names.length === 1) return names[0];
  const known =
    names.length === 0 ? '' : `: ${names.slice(0, 10).join(', ')}${names.length > 10 ? ', …' : ''}`;
  throw new UserError('usage', `name the endpoint's model with --model${known}`, '--model');
}
