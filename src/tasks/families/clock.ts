/**
 * @file clock: a time of day and so much later or earlier, `09:45+02:30=` gives `12:15`; minutes
 * first, then hours.
 */
import { defineFamily } from './family.js';

interface Clock {
  readonly start: number;
  readonly minutes: number;
}

const DAY = 24 * 60;
const two = (n: number): string => String(n).padStart(2, '0');
const time = (minutes: number): string => `${two(Math.floor(minutes / 60))}:${two(minutes % 60)}`;

export const clock = defineFamily<Clock>({
  name: 'clock',
  description: 'The time so many hours and minutes later or earlier.',
  levels: 3,
  alphabet: '\n+-0123456789:=',
  draw(random, level) {
    const start = random.integer(0, DAY - 1);
    if (level === 1)
      return { start, minutes: 60 * random.integer(1, 11) + random.integer(0, 59 - (start % 60)) };
    const minutes = random.integer(61, 12 * 60 - 1);
    return { start, minutes: level === 3 && random.chance(0.6) ? -minutes : minutes };
  },
  question: ({ start, minutes }) =>
    `${time(start)}${minutes < 0 ? '-' : '+'}${time(Math.abs(minutes))}=`,
  widest: () => '00:00+00:00=',
  solve({ start, minutes }) {
    const [sign, by] = minutes < 0 ? ['-', -1] : ['+', 1];
    const [h, m] = [Math.floor(start / 60), start % 60];
    const [dh, dm] = [Math.floor(Math.abs(minutes) / 60), Math.abs(minutes) % 60];
    const steps = [`${m}${sign}${dm}=${m + by * dm}`, `${h}${sign}${dh}=${h + by * dh}`];
    const answer = time((start + minutes + DAY) % DAY);
    if (time(h * 60 + m) !== answer) steps.push(`${h + by * dh}:${m + by * dm}=${answer}`);
    return { steps, answer };
  },
  guess: ({ start, minutes }, random) =>
    time((start + minutes + random.pick([-60, -10, 10, 60]) + DAY) % DAY),
});
