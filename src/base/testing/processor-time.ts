/**
 * @file Processor time, for tests that bound work: a busy machine does not stretch it as it does
 * the time of a clock.
 */

/**
 * Starts counting.
 * @returns a function that gives the milliseconds of all of this process's threads since then
 */
export function processorTime(): () => number {
  const before = process.cpuUsage();
  return () => {
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
}
