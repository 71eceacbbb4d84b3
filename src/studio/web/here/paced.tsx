/**
 * @file Charts that are redrawn in turns: training takes all cores, and nine charts drawn in one
 * task would hold up a click.
 */
import { useSignal } from '@preact/signals';
import type { ComponentProps } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { Chart } from '../chart.js';
import { inTurn } from '../turns.js';

export function PacedChart({ version, ...chart }: ComponentProps<typeof Chart>) {
  const drawn = useSignal(version);
  const newest = useRef(version);
  newest.current = version;
  const cancel = useRef<(() => void) | null>(null);
  useEffect(() => {
    if (drawn.peek() === version) return;
    // A waiting chart keeps its place in the queue, and draws the newest data when its turn comes.
    cancel.current ??= inTurn(() => {
      cancel.current = null;
      drawn.value = newest.current;
    });
  }, [version, drawn]);
  useEffect(() => () => cancel.current?.(), []);
  return <Chart {...chart} version={drawn.value} />;
}
