/**
 * @file Charts, drawn one a frame.
 *
 * Training takes all cores, so the page has little of one: nine charts that are made or redrawn in one task hold up a click for a
 * tenth of a second. Here they take turns; which is drawn when is nothing that anybody sees.
 */
import { useSignal } from '@preact/signals';
import type { ComponentProps } from 'preact';
import { useCallback, useEffect, useRef } from 'preact/hooks';
import { Chart } from '../chart.js';

const waiting = new Set<() => void>();
let drawing = false;

/** Does it in a frame of its own, after what came before; what waits already keeps its place. */
function inTurn(work: () => void): void {
  waiting.add(work);
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(next);
}

function next(): void {
  const [work] = waiting;
  if (work === undefined) {
    drawing = false;
    return;
  }
  waiting.delete(work);
  work();
  requestAnimationFrame(next);
}

export function PacedChart({ version, ...chart }: ComponentProps<typeof Chart>) {
  const drawn = useSignal<number | null>(null);
  const newest = useRef(version);
  newest.current = version;
  const draw = useCallback(() => {
    drawn.value = newest.current;
  }, [drawn]);
  useEffect(() => inTurn(draw), [version, draw]);
  useEffect(() => () => void waiting.delete(draw), [draw]);
  if (drawn.value !== null) return <Chart {...chart} version={drawn.value} />;
  return (
    <figure class="chart">
      <figcaption>
        <span class="chart-title">{chart.metric.title}</span>
      </figcaption>
      <div class="chart-box" />
      <p class="chart-readout" />
      <p class="chart-note">{chart.metric.note}</p>
    </figure>
  );
}
