/**
 * @file The page's worker: it trains, or, under the name that `thread.ts` gives it, is a rank
 * beside the one that does. One file, fetched once.
 */
import { startRank } from './rank.js';
import { startTrainer } from './trainer.js';

if ((globalThis as { name?: string }).name === 'rank') startRank();
else startTrainer();
