/**
 * @file How long a run of the page's own is: steps of its stages, and problems of its evaluations.
 */
export const SIZES = {
  minute: { name: 'A minute or two', sft: 800, grpo: 60, problems: 200 },
  while: { name: 'Ten minutes', sft: 2000, grpo: 150, problems: 500 },
  long: { name: 'Half an hour', sft: 5000, grpo: 400, problems: 1000 },
} as const;

export type Size = keyof typeof SIZES;
