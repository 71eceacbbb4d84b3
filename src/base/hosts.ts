/**
 * @file The names under which a server of this machine answers.
 *
 * A page of another site can make its own name resolve to 127.0.0.1 (DNS rebinding); its requests
 * then carry that name in `Host`. So a server answers to its own names alone: those of the
 * loopback, the address that it is bound to, and those that its user gave.
 */
import { networkInterfaces } from 'node:os';

const LOOPBACK_NAMES = ['127.0.0.1', 'localhost', '::1'];
const EVERY_ADDRESS = ['0.0.0.0', '::', ''];

/** Whether only this machine reaches an address. */
export const isLoopback = (host: string): boolean =>
  /^(localhost|127(\.\d{1,3}){3}|::1)$/i.test(host);

/**
 * @param host what the server is bound to; bound to every address, it has those of this machine
 * @param more names that its user gave
 */
export function namesOf(host: string, more: readonly string[] = []): ReadonlySet<string> {
  const addresses = EVERY_ADDRESS.includes(host)
    ? Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address))
    : [host];
  return new Set([...LOOPBACK_NAMES, ...addresses, ...more].map((name) => name.toLowerCase()));
}

/** The name in a `Host` header, without its port; null for what is none. */
export function nameIn(header: string | undefined): string | null {
  const found = /^(?:\[([0-9a-f:.]+)\]|([^:@/\\[\]\s]+))(?::\d{1,5})?$/i.exec(header ?? '');
  return found === null ? null : (found[1] ?? found[2]).toLowerCase();
}
