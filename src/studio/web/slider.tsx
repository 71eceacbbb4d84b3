/**
 * @file A labelled slider over a range or over given stops.
 */
import { useId } from 'preact/hooks';

export function Slider(props: {
  label: string;
  value: number;
  show: (value: number) => string;
  onInput: (value: number) => void;
  low?: number;
  high?: number;
  step?: number;
  stops?: readonly number[];
  isDefault?: boolean;
}) {
  const { label, value, show, onInput, low = 0, high = 1, step = 1, stops, isDefault } = props;
  // An output can be labelled, too, so the label says that it means the slider.
  const id = useId();
  // Of given stops, the one that is nearest by ratio.
  const nearest =
    stops === undefined
      ? 0
      : stops.reduce(
          (best, stop, i) =>
            Math.abs(Math.log(stop / value)) < Math.abs(Math.log(stops[best] / value)) ? i : best,
          0,
        );
  return (
    <div class="slider">
      <span class="slider-head">
        <label for={id}>{label}</label>
        <output for={id} class={isDefault ? 'faint' : ''}>
          {show(value)}
        </output>
      </span>
      <input
        id={id}
        type="range"
        min={stops === undefined ? low : 0}
        max={stops === undefined ? high : stops.length - 1}
        step={stops === undefined ? step : 1}
        style={{
          '--share': `${(stops === undefined ? (value - low) / (high - low) : nearest / (stops.length - 1)) * 100}%`,
        }}
        value={stops === undefined ? value : nearest}
        aria-valuetext={show(value)}
        onInput={(event) => {
          const at = Number(event.currentTarget.value);
          onInput(stops === undefined ? Number(at.toFixed(4)) : stops[at]);
        }}
      />
    </div>
  );
}
