/**
 * @file A model behind an OpenAI-compatible HTTP interface: one request, and what happens when it
 * fails.
 *
 * A request is tried again when trying again may help: the connection broke, the server is busy
 * (429) or ill (500 and above), or what it sent is no JSON. The wait doubles from one second to a
 * minute, with jitter, so that parallel requests do not come back together (Brooker 2015, AWS
 * Architecture Blog, "Exponential backoff and jitter"); `Retry-After` makes it longer, and then
 * holds for all requests, since a limit is on the caller. Anything else is an answer: 401 will be
 * 401 again.
 *
 * Node's own http and not `fetch`, which gives up on an answer that has not begun after five
 * minutes: models think for longer.
 */
import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { setTimeout as wait } from 'node:timers/promises';
import { UserError } from '../base/errors.js';

/** Bytes of an answer beyond which it is refused. */
const MAX_ANSWER_BYTES = 64 << 20;
const FIRST_WAIT_SECONDS = 1;
const LONGEST_WAIT_SECONDS = 60;
/** A server that asks for a longer wait than this is left alone. */
const LONGEST_RETRY_AFTER_SECONDS = 600;

export interface EndpointOptions {
  /** Up to and with `/v1`. */
  url: string;
  key?: string;
  /** Times that a request is tried again. */
  retries: number;
  /** For one try, from request to the end of the answer. */
  timeoutSeconds: number;
  signal?: AbortSignal;
  /** For tests. */
  sleep?: (seconds: number, signal?: AbortSignal) => Promise<void>;
  /** Told before each wait. */
  onRetry?: (why: string, waitSeconds: number) => void;
}

export interface Endpoint {
  /**
   * The JSON of an answer with status 200, and the tries that it took. @throws EndpointError when
   * trying again did not help
   */
  ask(
    method: 'GET' | 'POST',
    path: string,
    body?: unknown,
  ): Promise<{ json: unknown; tries: number; seconds: number }>;
}

/** Why an endpoint has not answered. Status 0: no answer at all. */
export class EndpointError extends UserError {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super('state', message, '[model]');
    this.name = 'EndpointError';
  }
}

/** The base of an endpoint's addresses, from what a person pasted. @throws UserError (usage) */
export function baseUrl(text: string): string {
  let url: URL;
  try {
    url = new URL(text);
  } catch {
    throw new UserError('usage', `${text} is no address; write it as https://host/v1`, '[model]');
  }
  if (url.username !== '' || url.password !== '') {
    throw new UserError(
      'usage',
      'the address holds a password; give a key with --key VARIABLE instead',
      '[model]',
    );
  }
  const path = url.pathname.replace(/\/+$/, '').replace(/\/(chat\/)?completions$/, '');
  return `${url.origin}${path === '' ? '/v1' : path}`;
}

interface Reply {
  status: number;
  retryAfterSeconds: number | null;
  text: string;
}

/**
 * Seconds of a `Retry-After` header: a number, or a date (RFC 9110, section 10.2.3); null for none.
 */
export function retryAfter(header: string | undefined, nowMs: number): number | null {
  if (header === undefined) return null;
  const text = header.trim();
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  const date = Date.parse(text);
  return Number.isNaN(date) ? null : Math.max(0, (date - nowMs) / 1000);
}

function send(
  url: string,
  method: string,
  body: string | null,
  options: EndpointOptions,
): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const limit = AbortSignal.timeout(options.timeoutSeconds * 1000);
    const signal = options.signal ? AbortSignal.any([options.signal, limit]) : limit;
    const headers: Record<string, string> = {
      accept: 'application/json',
      'user-agent': 'reckoner',
    };
    if (options.key !== undefined) headers.authorization = `Bearer ${options.key}`;
    if (body !== null) {
      headers['content-type'] = 'application/json';
      headers['content-length'] = String(Buffer.byteLength(body));
    }
    const make = url.startsWith('https:') ? requestHttps : requestHttp;
    const fail = (error: Error): void =>
      reject(
        limit.aborted ? new Error(`no whole answer within ${options.timeoutSeconds} s`) : error,
      );
    const call = make(url, { method, headers, signal }, (response) => {
      const pieces: Buffer[] = [];
      let bytes = 0;
      response.on('data', (piece: Buffer) => {
        bytes += piece.length;
        if (bytes > MAX_ANSWER_BYTES)
          call.destroy(new Error(`an answer of more than ${MAX_ANSWER_BYTES} bytes`));
        else pieces.push(piece);
      });
      response.on('error', fail);
      response.on('aborted', () => fail(new Error('the connection broke')));
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          retryAfterSeconds: retryAfter(response.headers['retry-after'], Date.now()),
          text: Buffer.concat(pieces).toString('utf8'),
        }),
      );
    });
    call.on('error', fail);
    call.end(body ?? undefined);
  });
}

/**
 * What a server says of an error: OpenAI's shape where it has it, else the beginning of the text.
 */
export function messageOf(text: string): string {
  let said: unknown;
  try {
    const { error, message, detail } = JSON.parse(text) as Record<string, unknown>;
    said = (error as { message?: unknown } | null)?.message ?? error ?? message ?? detail;
  } catch {}
  const plain = typeof said === 'string' ? said : text.replace(/<[^>]*>/g, ' ');
  return plain.replace(/\s+/g, ' ').trim().slice(0, 300);
}

export const isAbort = (signal: AbortSignal | undefined): boolean => signal?.aborted === true;

export function createEndpoint(options: EndpointOptions): Endpoint {
  const { url, retries, signal } = options;
  const sleep = options.sleep ?? ((seconds) => wait(seconds * 1000, undefined, { signal }));
  /** All wait until then. Milliseconds. */
  let heldUntil = 0;
  return {
    async ask(method, path, body) {
      const address = `${url}${path}`;
      const text = body === undefined ? null : JSON.stringify(body);
      for (let tries = 1; ; tries++) {
        const held = (heldUntil - Date.now()) / 1000;
        if (held > 0) await sleep(held, signal);
        const start = performance.now();
        let why: string;
        let status = 0;
        let asked: number | null = null;
        try {
          const reply = await send(address, method, text, options);
          status = reply.status;
          if (status === 200) {
            const seconds = (performance.now() - start) / 1000;
            const json = parse(reply.text);
            if (json !== undefined) return { json, tries, seconds };
            why = 'the answer is not JSON';
          } else {
            why = `${status}${reply.text === '' ? '' : `: ${messageOf(reply.text)}`}`;
            asked = reply.retryAfterSeconds;
            const mayHelp = status === 408 || status === 409 || status === 429 || status >= 500;
            if (!mayHelp) throw new EndpointError(status, `${address} answers ${why}`);
          }
        } catch (error) {
          if (error instanceof EndpointError) throw error;
          if (isAbort(signal)) throw new UserError('interrupted', 'interrupted');
          const { code, message } = error as { code?: string; message: string };
          why = code === undefined || message.includes(code) ? message : `${message} (${code})`;
        }
        if (tries > retries)
          throw new EndpointError(status, `${address}, tried ${tries} times: ${why}`);
        if (asked !== null && asked > LONGEST_RETRY_AFTER_SECONDS) {
          throw new EndpointError(
            status,
            `${address} asks to wait ${Math.ceil(asked)} s (${why}); try again then`,
          );
        }
        const backOff =
          Math.min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** (tries - 1)) *
          (0.5 + Math.random() / 2);
        const seconds = asked === null ? backOff : Math.max(asked, asked + backOff / 4);
        if (asked !== null) heldUntil = Math.max(heldUntil, Date.now() + asked * 1000);
        options.onRetry?.(why, seconds);
        try {
          await sleep(seconds, signal);
        } catch (error) {
          if (isAbort(signal)) throw new UserError('interrupted', 'interrupted');
          throw error;
        }
      }
    },
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
