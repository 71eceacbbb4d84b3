/**
 * @file The part of `node:crypto` that the interpreter uses: SHA-256 at once, which the browser's
 * own gives only later.
 */
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';

interface Hash {
  update(data: string | Uint8Array): Hash;
  digest(encoding: 'hex'): string;
}

export function createHash(_name: 'sha256'): Hash {
  const inner = sha256.create();
  const hash: Hash = {
    update(data) {
      inner.update(typeof data === 'string' ? new TextEncoder().encode(data) : data);
      return hash;
    },
    digest: () => bytesToHex(inner.digest()),
  };
  return hash;
}

export const randomBytes = (count: number): Uint8Array =>
  crypto.getRandomValues(new Uint8Array(count));
