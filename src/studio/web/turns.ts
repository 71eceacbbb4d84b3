/**
 * @file Cooperative scheduling: a page is built a piece at a time, and between two pieces the
 * browser draws and handles input.
 */
const waiting: (() => void)[] = [];

function next(): void {
  const work = waiting.shift();
  if (waiting.length > 0) setTimeout(next);
  work?.();
}

/** Does a piece of work when its turn comes. @returns a function that takes it back */
export function inTurn(work: () => void): () => void {
  waiting.push(work);
  if (waiting.length === 1) setTimeout(next);
  return () => {
    const at = waiting.indexOf(work);
    if (at >= 0) waiting.splice(at, 1, () => {});
  };
}
