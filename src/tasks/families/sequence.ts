/**
 * @file sequence: the next number, `3,7,11,15,`; constant differences, constant ratios, growing
 * differences, sums of two.
 */
import { defineFamily, nearby, signed } from './family.js';

type Rule = 'difference' | 'ratio' | 'growing' | 'sum';

interface Sequence {
  readonly rule: Rule;
  readonly terms: readonly number[];
}

const RULES: readonly (readonly Rule[])[] = [
  ['difference'],
  ['ratio', 'growing'],
  ['sum', 'growing'],
];

function make(rule: Rule, first: number, second: number, growth: number): number[] {
  const terms = [first, second];
  for (let i = 2; i < 5; i++) {
    const [a, b] = terms.slice(-2);
    if (rule === 'difference') terms.push(2 * b - a);
    else if (rule === 'growing') terms.push(2 * b - a + growth);
    else if (rule === 'ratio') terms.push(b * growth);
    else terms.push(a + b);
  }
  return terms;
}

export const sequence = defineFamily<Sequence>({
  name: 'sequence',
  description: 'The next number of a sequence.',
  levels: 3,
  alphabet: '\n*+,-0123456789=',
  draw(random, level) {
    for (;;) {
      const rule = random.pick(RULES[level - 1]);
      const first = random.integer(1, level === 3 ? 30 : 90);
      const growth = random.integer(2, rule === 'ratio' ? 4 : level === 3 ? 9 : 5);
      const step =
        random.integer(1, rule === 'sum' ? 60 : 30) *
        (rule === 'difference' && random.chance(0.4) ? -1 : 1);
      const second = rule === 'ratio' ? first * growth : rule === 'sum' ? step : first + step;
      const terms = make(rule, first, second, growth);
      if (terms.every((term) => term >= 0 && term < 1000)) return { rule, terms };
    }
  },
  question: ({ terms }) => `${terms.slice(0, 4).join()},`,
  widest: (level) => ['90,120,150,180,', '90,180,360,720,', '30,60,90,150,'][level - 1],
  solve({ rule, terms }) {
    const next = terms[4];
    const differences = terms.slice(1, 4).map((term, i) => term - terms[i]);
    const steps: string[] = [];
    if (rule === 'ratio') {
      const ratio = terms[1] / terms[0];
      steps.push(
        ...terms.slice(0, 3).map((term, i) => `${term}*${ratio}=${terms[i + 1]}`),
        `${terms[3]}*${ratio}=${next}`,
      );
    } else if (rule === 'sum') {
      steps.push(...[0, 1, 2].map((i) => `${terms[i]}+${terms[i + 1]}=${terms[i + 2]}`));
    } else {
      steps.push(differences.map(signed).join());
      if (rule === 'growing') {
        const growth = differences[1] - differences[0];
        steps.push(`${differences[2]}${signed(growth)}=${differences[2] + growth}`);
      }
      steps.push(`${terms[3]}${signed(next - terms[3])}=${next}`);
    }
    return { steps, answer: String(next) };
  },
  guess: (_, random, answer) => nearby(answer, random),
});
