/**
 * @file What every request must pass, and what every answer carries.
 *
 * - **Host**: a page of another site can make its own name resolve to 127.0.0.1 (DNS rebinding);
 *   its requests then carry that name. Only the names that the server was started under are served.
 * - **Origin**: a request that changes something must come from our own page: `Sec-Fetch-Site` and
 *   `Origin` where the browser sends them, and always the token that only our page has.
 * - **Content-Security-Policy**: scripts, styles and connections from here alone; WebAssembly, and
 *   no `eval`.
 */
import { timingSafeEqual } from 'node:crypto';
import { existsSync, readFileSync, statSync } from 'node:fs';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname, join } from 'node:path';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { nameIn } from '../base/hosts.js';

export const TOKEN_HEADER = 'x-studio-token';
const MOST_BODY_BYTES = 256 << 10;
/** What is larger than allowed is read up to here, so that the sender hears why it is refused. */
const MOST_READ_BYTES = 16 << 20;

export const SECURITY_HEADERS: Record<string, string> = {
  'content-security-policy': [
    "default-src 'none'",
    "script-src 'self' 'wasm-unsafe-eval'",
    "style-src 'self'",
    "img-src 'self' data: blob:",
    "font-src 'self'",
    "connect-src 'self'",
    "worker-src 'self'",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
  ].join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-embedder-policy': 'require-corp',
  'cross-origin-resource-policy': 'same-origin',
};

/** A refusal, as the page shows it. */
export class HttpError extends Error {
  constructor(
    readonly status: number,
    message: string,
  ) {
    super(message);
  }
}

/** @throws HttpError when the request was not made to one of our names */
export function checkHost(request: IncomingMessage, names: ReadonlySet<string>): void {
  const { host } = request.headers;
  if (!names.has(nameIn(host) ?? ''))
    throw new HttpError(403, `this server is not ${host || 'nameless'}`);
}

/** @throws HttpError when another site may have made the request */
export function checkOrigin(request: IncomingMessage, token: string | null): void {
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none')
    throw new HttpError(403, 'cross-site requests are refused');
  const { origin, host } = request.headers;
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`)
    throw new HttpError(403, `requests from ${origin} are refused`);
  if (token === null) return;
  const given = Buffer.from(String(request.headers[TOKEN_HEADER] ?? ''));
  const wanted = Buffer.from(token);
  if (given.length !== wanted.length || !timingSafeEqual(given, wanted))
    throw new HttpError(403, 'the page is older than the server; reload it');
}

/** The body of a request as a JSON object. @throws HttpError */
export async function readBody(request: IncomingMessage): Promise<unknown> {
  if (!/^application\/json\b/.test(request.headers['content-type'] ?? ''))
    throw new HttpError(415, 'send JSON');
  const parts: Buffer[] = [];
  let bytes = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    bytes += part.length;
    if (bytes > MOST_READ_BYTES) request.destroy();
    if (bytes <= MOST_BODY_BYTES) parts.push(part);
  }
  if (bytes > MOST_BODY_BYTES) throw new HttpError(413, `send at most ${MOST_BODY_BYTES} bytes`);
  try {
    return JSON.parse(Buffer.concat(parts).toString('utf8'));
  } catch {
    throw new HttpError(400, 'the body is not JSON');
  }
}

/** Sends JSON, compressed where it pays. */
export function sendJson(
  request: IncomingMessage,
  response: ServerResponse,
  status: number,
  value: unknown,
): void {
  const text = Buffer.from(JSON.stringify(value));
  const headers = {
    'content-type': 'application/json; charset=utf-8',
    'cache-control': 'no-store',
    vary: 'accept-encoding',
  };
  if (text.length < 4096 || !/\bgzip\b/.test(String(request.headers['accept-encoding'] ?? ''))) {
    response.writeHead(status, { ...headers, 'content-length': text.length }).end(text);
    return;
  }
  gzip(text, { level: 1 }, (error, packed) => {
    if (error !== null) response.writeHead(500).end();
    else
      response
        .writeHead(status, {
          ...headers,
          'content-encoding': 'gzip',
          'content-length': packed.length,
        })
        .end(packed);
  });
}

/** Starts a stream of server-sent events. */
export function openStream(
  response: ServerResponse,
): (data: unknown, id?: number | null, event?: string) => void {
  response.writeHead(200, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
  });
  response.write('retry: 1000\n\n');
  return (data, id, event) => {
    const name = event === undefined ? '' : `event: ${event}\n`;
    const number = id === undefined || id === null ? '' : `id: ${id}\n`;
    response.write(`${name}${number}data: ${JSON.stringify(data)}\n\n`);
  };
}

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff2': 'font/woff2',
  '.wasm': 'application/wasm',
  '.webmanifest': 'application/manifest+json',
};

const packedFiles = new Map<string, Buffer>();

/**
 * Sends a file of the built application; its names are plain, so a path that climbs matches none.
 * @returns false when there is none
 */
export function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  folder: string,
  path: string,
): boolean {
  if (!/^(\/[A-Za-z0-9_-][A-Za-z0-9._-]*)+$/.test(path)) return false;
  const file = join(folder, path);
  const type = TYPES[extname(file)];
  if (type === undefined || !existsSync(file) || !statSync(file).isFile()) return false;
  const cache = path.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache';
  const headers = { 'content-type': type, 'cache-control': cache, vary: 'accept-encoding' };
  const packs = /^(text\/|application\/j|image\/svg)/.test(type);
  if (!packs || !/\bbr\b/.test(String(request.headers['accept-encoding'] ?? ''))) {
    // All of them are small, and each step of a stream would be a turn of the event loop.
    const bytes = readFileSync(file);
    response.writeHead(200, { ...headers, 'content-length': bytes.length }).end(bytes);
    return true;
  }
  const send = (packed: Buffer): void => {
    response
      .writeHead(200, { ...headers, 'content-encoding': 'br', 'content-length': packed.length })
      .end(packed);
  };
  // The application is packed when it is built.
  if (existsSync(`${file}.br`)) {
    send(readFileSync(`${file}.br`));
    return true;
  }
  const key = `${file}\n${statSync(file).mtimeMs}`;
  const known = packedFiles.get(key);
  if (known !== undefined) {
    send(known);
    return true;
  }
  brotliCompress(
    readFileSync(file),
    { params: { [constants.BROTLI_PARAM_QUALITY]: 8 } },
    (error, packed) => {
      if (error !== null) return response.destroy();
      packedFiles.set(key, packed);
      send(packed);
    },
  );
  return true;
}
