/**
 * @file polygon: twice the area of a triangle or quadrilateral from its corners, by the shoelace
 * formula. `(0,0),(4,0),(4,3):`
 */
import { defineFamily, nearby } from './family.js';

type Corner = readonly [number, number];

const crosses = (corners: readonly Corner[]): number[] =>
  corners.map(([x, y], i) => {
    const [u, v] = corners[(i + 1) % corners.length];
    return x * v - u * y;
  });

const sum = (values: readonly number[]): number =>
  values.reduce((total, value) => total + value, 0);

export const polygon = defineFamily<readonly Corner[]>({
  name: 'polygon',
  description: 'Twice the area of a triangle from its corners.',
  levels: 2,
  alphabet: '\n()*+,-0123456789:=',
  draw(random, level) {
    const most = level === 1 ? 9 : 20;
    for (;;) {
      const corner = (): Corner => [random.integer(0, most), random.integer(0, most)];
      const corners = [corner(), corner(), corner()];
      if (sum(crosses(corners)) > 0) return corners;
    }
  },
  question: (corners) => `${corners.map(([x, y]) => `(${x},${y})`).join()}:`,
  widest: (level) => ['(9,9),(9,9),(9,9):', '(20,20),(20,20),(20,20):'][level - 1],
  solve(corners) {
    const values = crosses(corners);
    const steps = corners.map(([x, y], i) => {
      const [u, v] = corners[(i + 1) % corners.length];
      return `${x}*${v}-${u}*${y}=${x * v}-${u * y}=${values[i]}`;
    });
    const total = sum(values);
    steps.push(
      `${values.map((value, i) => (i > 0 && value >= 0 ? `+${value}` : value)).join('')}=${total}`,
    );
    return { steps, answer: String(total) };
  },
  guess: (_, random, answer) => nearby(answer, random),
});
