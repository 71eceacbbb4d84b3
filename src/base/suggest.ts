/**
 * @file "Did you mean …?": the known name that is nearest to an unknown one.
 */

/** Edits that turn one word into another: insertions, deletions, replacements, swaps. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        next[j] = Math.min(next[j], before[j - 2] + 1);
    }
    [before, row] = [row, next];
  }
  return row[b.length];
}

/** The known name that was probably meant; undefined where none is near. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  const wanted = word.toLowerCase();
  let best: { name: string; edits: number } | undefined;
  for (const name of known) {
    const edits = distance(wanted.slice(0, 64), name.toLowerCase().slice(0, 64));
    if (edits <= Math.max(1, Math.floor(wanted.length / 3)) && edits < (best?.edits ?? Infinity))
      best = { name, edits };
  }
  return best?.name;
}

/** ` (did you mean "name"?)`, or the empty string. */
export function didYouMean(word: string, known: Iterable<string>): string {
  const found = nearest(word, known);
  return found === undefined ? '' : ` (did you mean ${JSON.stringify(found)}?)`;
}
