/**
 * @file Wall time and processor time between two moments: how much of the time was work.
 */

/** Wall and processor seconds since some moment. */
export interface Moment {
  wall: number;
  cpu: number;
}

export function moment(): Moment {
  const { user, system } = process.cpuUsage();
  return { wall: performance.now() / 1000, cpu: (user + system) / 1e6 };
}

/**
 * What lies between two moments on so many workers.
 * @param onHost as of a `Backend`: how long a device works, only the wall's clock knows
 */
export function between(
  from: Moment,
  to: Moment,
  workers: number,
  onHost = true,
): { wall: number; work: number } {
  const wall = to.wall - from.wall;
  return { wall, work: onHost ? Math.min(wall, (to.cpu - from.cpu) / workers) : wall };
}
