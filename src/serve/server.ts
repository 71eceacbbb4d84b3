/**
 * @file The service on a port: Node's HTTP server, with time-outs for whoever sends slowly, and an
 * end without broken answers.
 */
import type { Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import { UserError } from '../base/errors.js';
import { isLoopback, nameIn, namesOf } from '../base/hosts.js';
import { ApiError } from './errors.js';
import type { Service } from './service.js';

export interface ListenOptions {
  /** Default 127.0.0.1. */
  host?: string;
  /** 0 takes any that is free. */
  port: number;
  /** Whether the service asks for keys; only then may others than this machine reach it. */
  hasKeys: boolean;
  /** Names that clients may call it by, beside its own (base/hosts.ts). */
  allowHosts?: readonly string[];
}

export interface Listening {
  /** `http://127.0.0.1:8080`. */
  url: string;
  /** Stops listening, lets running answers end, closes the service. */
  close(graceSeconds?: number): Promise<void>;
}

/** @throws UserError (usage) for a public address without keys, (state) when the port is taken */
export async function listen(service: Service, options: ListenOptions): Promise<Listening> {
  const { host = '127.0.0.1', port } = options;
  demandLoopbackOrKeys(host, options.hasKeys);
  const names = namesOf(host, options.allowHosts);
  const server = createAdaptorServer({
    fetch: (request) => {
      const called = request.headers.get('host') ?? '';
      return names.has(nameIn(called) ?? '') ? service.fetch(request) : wrongHost(called);
    },
    // A request's head within 10 s, all of it within 30; idle connections go after a minute.
    serverOptions: {
      headersTimeout: 10_000,
      requestTimeout: 30_000,
      keepAliveTimeout: 60_000,
      connectionsCheckingInterval: 1000,
    },
  }) as Server;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => {
      const why = {
        EADDRINUSE: 'the port is in use',
        EACCES: 'permission denied',
        EADDRNOTAVAIL: 'no such address here',
      }[error.code ?? ''];
      if (why === undefined) reject(error);
      else
        reject(
          new UserError(
            'state',
            `cannot listen on ${host}:${port}: ${why}; choose another with --port or --host`,
            '--port',
          ),
        );
    });
    server.listen(port, host, resolve);
  });
  const { address, port: taken, family } = server.address() as AddressInfo;
  return {
    url: `http://${family === 'IPv6' ? `[${address}]` : address}:${taken}`,
    async close(graceSeconds) {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeIdleConnections();
      await service.close(graceSeconds);
      // What was written is on its way; connections that are still open after that are idle or
      // dead.
      setTimeout(() => server.closeAllConnections(), 500).unref();
      await closed;
    },
  };
}

/** To a page of another site, whose name was made to lead here. */
function wrongHost(called: string): Response {
  const message = `this server is not ${JSON.stringify(called)}; --allow-host names what it is called`;
  const error = new ApiError(403, message, 'invalid_request_error', null, 'wrong_host');
  return Response.json(error.toJSON(), { status: error.status });
}

/** @throws UserError (usage) */
export function demandLoopbackOrKeys(host: string, hasKeys: boolean): void {
  if (isLoopback(host) || hasKeys) return;
  throw new UserError(
    'usage',
    `${host} can be reached by others, and there are no API keys; make one with "reckoner serve keys add NAME --file keys.json" and give --keys keys.json`,
    '--host',
  );
}
