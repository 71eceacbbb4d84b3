/**
 * @file program: what a variable holds after a few assignments, `a=3;b=a*2;a=a+b;a?`; one
 * assignment a step.
 */
import { defineFamily, nearby } from './family.js';

interface Statement {
  readonly target: string;
  readonly left: string;
  /** '' for a plain assignment of `left`. */
  readonly operator: string;
  readonly right: string;
}

interface Program {
  readonly statements: readonly Statement[];
  readonly asked: string;
}

const textOf = ({ target, left, operator, right }: Statement): string =>
  `${target}=${left}${operator}${right}`;

function apply(operator: string, a: number, b: number): number {
  if (operator === '+') return a + b;
  if (operator === '-') return a - b;
  return operator === '*' ? a * b : a;
}

export const program = defineFamily<Program>({
  name: 'program',
  description: 'What a variable holds after some assignments.',
  levels: 4,
  alphabet: '\n*+-0123456789;=?ab',
  draw(random, level) {
    for (;;) {
      const statements: Statement[] = ['a', 'b'].map((target) => ({
        target,
        left: String(random.integer(1, 9)),
        operator: '',
        right: '',
      }));
      const operand = (): string =>
        random.chance(0.6) ? random.pick(['a', 'b']) : String(random.integer(1, 9));
      for (let i = 0; i < level + 1; i++) {
        const operator = random.pick(['+', '-', '*']);
        statements.push({
          target: random.pick(['a', 'b']),
          left: random.pick(['a', 'b']),
          operator,
          right: operand(),
        });
      }
      const drawn = { statements, asked: random.pick(['a', 'b']) };
      if (Math.abs(Number(run(drawn).answer)) < 1000) return drawn;
    }
  },
  question: ({ statements, asked }) =>
    `${statements.map((s) => `${textOf(s)};`).join('')}${asked}?`,
  widest: (level) => `a=1;b=1;${'a=a+b;'.repeat(level + 1)}a?`,
  solve: run,
  guess: (_, random, answer) => nearby(answer, random),
});

function run({ statements, asked }: Program): { steps: string[]; answer: string } {
  const values: Record<string, number> = {};
  const operandValue = (operand: string): number => values[operand] ?? Number(operand);
  const steps: string[] = [];
  for (const { target, left, operator, right } of statements) {
    const [a, b] = [operandValue(left), operandValue(right)];
    const value = apply(operator, a, b);
    if (operator !== '') steps.push(`${target}=${a}${operator}${b < 0 ? `-${-b}` : b}=${value}`);
    values[target] = value;
  }
  return { steps, answer: String(values[asked]) };
}
