/**
 * @file Evaluates the claims that ship, in a thread: their plans take a second, and a visitor
 * should not wait for them to see the page.
 */
import { parentPort } from 'node:worker_threads';
import { CLAIMS, evaluateClaim, readClaim } from '../ledger/index.js';
import { planned, sampled } from '../plan/cluster/claim-options.js';
import { stepBack } from './background.js';

stepBack();
for (const claim of CLAIMS) {
  parentPort?.postMessage({
    id: claim.id,
    document: evaluateClaim(readClaim(claim, claim.id), { planned, propagate: sampled }),
  });
}
