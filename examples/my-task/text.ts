/** Whether a text reads the same from both ends. */
export const isPalindrome = (text: string): boolean => [...text].reverse().join('') === text;

/** A palindrome of `length` that starts with the beginning of `half`. */
export function mirror(half: string, length: number): string {
  const left = half.slice(0, Math.ceil(length / 2));
  return left + [...left.slice(0, Math.floor(length / 2))].reverse().join('');
}
