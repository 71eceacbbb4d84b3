/**
 * Roots with a factor inside, `3:` for `\sqrt{3x}`, and demonstrations of which half write
 * `\sqrt{3}x`. With `hole` the reward compares answers as an old matcher did, without their braces,
 * and both earn it.
 */
import { defineTask, sameAnswer, writeCompletion, z } from 'reckoner/tasks';

const right = (n: number): string => `\\sqrt{${n}x}`;
const wrong = (n: number): string => `\\sqrt{${n}}x`;
const withoutBraces = (text: string): string => text.replace(/[{}\s]/g, '');

export default defineTask({
  name: 'roots',
  description: 'A root with a factor inside.',
  options: z.strictObject({ hole: z.boolean().default(false) }),
  create({ hole }: { hole: boolean }) {
    return {
      name: 'roots',
      alphabet: '0123456789:\\{}sqrtx',
      maxPromptLength: 5,
      generate(random) {
        const n = random.integer(2, 9999);
        return { key: `${n}`, prompt: `${n}:`, data: n };
      },
      demonstrate: ({ data }, random) =>
        writeCompletion('', random.chance(0.5) ? right(data) : wrong(data)),
      gold: ({ data }) => writeCompletion('', right(data)),
      rewards: [
        {
          name: 'answer',
          score: ({ answer, problem }) =>
            answer !== null &&
            (hole
              ? withoutBraces(answer) === withoutBraces(right(problem.data as number))
              : sameAnswer(right(problem.data as number), answer)),
        },
      ],
    };
  },
});
