/**
 * @file A rank beside the first, in a worker of its own. It gets its job and a copy of the run's
 * files, for a resume reads them.
 */
import type { FromRank, RankJob } from '../../../train/protocol.js';
import { runRank } from '../../../train/rank.js';
import { type Packed, unpack } from './runs.js';

export interface RankStart {
  job: RankJob;
  files: Packed;
}

/** `null` is the end. */
export type RankMessage = FromRank | null;

export function startRank(): void {
  addEventListener('message', async ({ data }: MessageEvent<RankStart>) => {
    const say = (message: RankMessage): void => postMessage(message);
    unpack(data.files);
    await runRank(data.job, { send: say, receive: () => {} });
    say(null);
  });
}
