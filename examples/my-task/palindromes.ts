/**
 * Write a palindrome of a given length over a given number of letters, `5,2:` — for instance
 * `abbba`.
 *
 * A task whose answers are not unique, with two rewards: whether it is right, and how many
 * different letters it uses.
 */
import { defineTask, type Sample, writeCompletion, z } from 'reckoner/tasks';
import { isPalindrome, mirror } from './text.ts';

interface Wish {
  readonly length: number;
  readonly start: string;
}

const LETTERS = 'abcdef';

function isRight({ answer, problem }: Sample<Wish>): boolean {
  const { length, start } = problem.data;
  return (
    answer !== null && answer.length === length && answer.startsWith(start) && isPalindrome(answer)
  );
}

export default defineTask({
  name: 'palindromes',
  description: 'A palindrome that starts as told.',
  options: z.strictObject({
    /** Longest palindrome. */
    longest: z.number().int().min(4).max(12).default(8),
  }),
  create({ longest }) {
    return {
      name: 'palindromes',
      alphabet: `${LETTERS},0123456789:`,
      maxPromptLength: String(longest).length + 6,
      generate(random) {
        const length = random.integer(4, longest);
        const start = Array.from(
          { length: random.integer(1, Math.min(4, Math.ceil(length / 2))) },
          () => random.pick([...LETTERS]),
        ).join('');
        const prompt = `${length},${start}:`;
        return { key: prompt, prompt, data: { length, start } };
      },
      demonstrate({ data }, random) {
        const half =
          data.start + Array.from({ length: 6 }, () => random.pick([...LETTERS])).join('');
        const right = mirror(half, data.length);
        return writeCompletion(
          '',
          random.chance(0.5) ? right : random.shuffle([...right]).join(''),
        );
      },
      gold: ({ data }) => writeCompletion('', mirror(data.start + LETTERS, data.length)),
      // Many answers are right, so that to compare with the gold answer would not do.
      correct: isRight,
      rewards: [
        { name: 'right', weight: 4, score: isRight },
        {
          // Rewards may be async: this one could ask a service.
          name: 'form',
          async score({ answer }: Sample<Wish>) {
            return answer === null ? 0 : 1;
          },
        },
      ],
    };
  },
});
