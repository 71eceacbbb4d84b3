/**
 * @file The server of the web application: one port, loopback by default, `node:http`
 * and nothing else.
 *
 * It reads run folders and sends what changes in them; it starts, stops and resumes `reckoner
 * train`; it answers prompts. Everything that can be computed in the page (plans, charts,
 * waterfalls) is computed there.
 */
import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { UserError } from '../base/errors.js';
import { namesOf } from '../base/hosts.js';
import { RUNS } from '../checkpoints/run-folder.js';
import { createApi } from './api.js';
import { checkHost, checkOrigin, HttpError, SECURITY_HEADERS, sendFile, sendJson } from './http.js';
import { createWebPage } from './web-page.js';

/** The page that trains in a tab: static files of their own (web/here). */
export const HERE = '/train-here';

const WEB = fileURLToPath(
  new URL('../studio/web/', import.meta.url).href.replace('/src/studio/web/', '/dist/studio/web/'),
);

export interface StudioOptions {
  version: string;
  /** Where runs are. */
  runs?: string;
  /** Default 127.0.0.1. */
  host?: string;
  /** 0 takes a free one. */
  port?: number;
  /** Further names under which the server may be asked, behind a proxy say. */
  names?: readonly string[];
  /** The built application; for tests. */
  web?: string;
  /** How `reckoner` is called: a program and its first arguments. */
  command: readonly string[];
}

export interface Studio {
  url: string;
  /** For programs that speak to it without the page. */
  token: string;
  close(): Promise<void>;
}

/** Starts the server. @throws UserError when the port is taken or the application was not built */
export async function startStudio(options: StudioOptions): Promise<Studio> {
  const { runs = RUNS, host = '127.0.0.1', port = 0, web = WEB } = options;
  if (!existsSync(join(web, 'index.html'))) {
    throw new UserError(
      'state',
      `the web application is not built: ${web} has no index.html; run "npm run build"`,
    );
  }
  const token = randomBytes(24).toString('base64url');
  const api = createApi({ runs, version: options.version, command: options.command });
  const page = createWebPage(web, token);
  const names = namesOf(host, options.names);
  const server = createServer((request, response) => {
    void serve(request, response).catch((error) => refuse(request, response, error));
  });

  async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
    checkHost(request, names);
    const url = new URL(request.url ?? '/', 'http://studio');
    const reads = request.method === 'GET' || request.method === 'HEAD';
    if (url.pathname.startsWith('/api/')) {
      checkOrigin(request, reads ? null : token);
      await api.handle(request, response, url);
      return;
    }
    if (!reads) throw new HttpError(405, 'only GET');
    if (url.pathname === HERE) {
      response.writeHead(301, { location: `${HERE}/` }).end();
      return;
    }
    if (url.pathname.startsWith(`${HERE}/`)) {
      const path = url.pathname.slice(HERE.length);
      if (sendFile(request, response, join(web, '../here'), path === '/' ? '/index.html' : path))
        return;
      throw new HttpError(404, 'no such file');
    }
    if (url.pathname !== '/index.html' && sendFile(request, response, web, url.pathname)) return;
    // Every other path is one of the application's own; a file that is missing is not.
    if (/\.[a-z0-9]+$/.test(url.pathname) && !url.pathname.startsWith('/runs/'))
      throw new HttpError(404, 'no such file');
    response
      .writeHead(200, { 'content-type': 'text/html; charset=utf-8', 'cache-control': 'no-store' })
      .end(page(url.pathname));
  }

  await listen(server, host, port);
  const address = server.address() as AddressInfo;
  const shown = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return {
    url: `http://${shown}:${address.port}/`,
    token,
    async close() {
      server.closeAllConnections();
      await Promise.all([new Promise((resolve) => server.close(resolve)), api.close()]);
    },
  };
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = {
        EADDRINUSE: `port ${port} is taken; give another with --port, or 0 for any that is free`,
        EACCES: `port ${port} may not be taken by this user; give one above 1023`,
        EADDRNOTAVAIL: `${host} is not an address of this machine`,
      }[error.code ?? ''];
      reject(
        new UserError(
          'state',
          why ?? `cannot listen on ${host}:${port}: ${error.message}`,
          '--port',
        ),
      );
    });
    server.listen(port, host, () => resolve());
  });
}

function refuse(request: IncomingMessage, response: ServerResponse, error: unknown): void {
  if (response.headersSent) {
    response.end();
    return;
  }
  const known =
    error instanceof HttpError
      ? error.status
      : error instanceof UserError
        ? error.code === 'usage'
          ? 400
          : 409
        : null;
  const said =
    error instanceof z.ZodError
      ? `${error.issues[0].path.join('.')}: ${error.issues[0].message}`
      : (error as Error).message;
  const status = known ?? (error instanceof z.ZodError ? 400 : 500);
  sendJson(request, response, status, { error: { message: said } });
}
