/**
 * @file The regular expressions by which released tokenizers cut text, and their names in llama.cpp.
 *
 * Each of them takes time in proportion to the text, so a tokenizer that has no other needs no
 * watching (known.ts), and llama.cpp knows them by a name (`tokenizer.ggml.pre`).
 */

/** Steps of a pre-tokenizer: its expressions in order, and `digits` for a step `Digits`. */
interface Known {
  /** In llama.cpp; null where it has none. */
  ggml: string | null;
  steps: readonly string[];
}

export const DIGITS = 'digits';

/** What a step `ByteLevel` cuts by itself. */
export const GPT2_WORDS =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const O200K_WORDS = [
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
  '\\p{N}{1,3}',
  ' ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*',
  '\\s*[\\r\\n]+',
  '\\s+(?!\\S)',
  '\\s+',
].join('|');
const cl100k = (numbers: string): string =>
  `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;

const KNOWN: readonly Known[] = [
  { ggml: 'gpt-2', steps: [GPT2_WORDS] },
  { ggml: 'qwen2', steps: [cl100k('\\p{N}')] },
  { ggml: 'llama-bpe', steps: [cl100k('\\p{N}{1,3}')] },
  { ggml: 'gpt-4o', steps: [O200K_WORDS] },
  { ggml: 'smollm', steps: [DIGITS, GPT2_WORDS] },
  {
    ggml: 'deepseek-v3',
    steps: [
      '\\p{N}{1,3}',
      '[一-龥぀-ゟ゠-ヿ]+',
      '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
    ],
  },
  // Short ones that appear in normalizers and decoders.
  { ggml: null, steps: [' {2,}', '\\s+', '\\d', '\\n', ' ', '\\p{N}'] },
];

/** One spelling of an expression: a line end may be written as itself. */
export const canonicalPattern = (pattern: string): string =>
  pattern.replaceAll('\r', '\\r').replaceAll('\n', '\\n');

const LINEAR = new Set(KNOWN.flatMap(({ steps }) => steps));

/** Whether an expression is known to take time in proportion to the text. */
export const isKnownLinear = (pattern: string): boolean => LINEAR.has(canonicalPattern(pattern));

/** The name that llama.cpp has for a pre-tokenizer of these steps. */
export const ggmlName = (steps: readonly string[]): string | null =>
  KNOWN.find((known) => known.steps.join('\0') === steps.map(canonicalPattern).join('\0'))?.ggml ??
  null;

/** Other names that llama.cpp has for the same way of cutting text. */
const ALIASES: Readonly<Record<string, string>> = {
  'phi-2': 'gpt-2',
  'deepseek-r1-qwen': 'qwen2',
  llama3: 'llama-bpe',
  'llama-v3': 'llama-bpe',
  llama4: 'gpt-4o',
};

/** The steps that llama.cpp's name for a pre-tokenizer means; null for one that is not known here. */
export const stepsOfGgml = (name: string): readonly string[] | null =>
  KNOWN.find(({ ggml }) => ggml !== null && ggml === (ALIASES[name] ?? name))?.steps ?? null;

/** The stand-in of every byte in byte-level BPE: itself where it prints, else U+0100 and up. */
export const BYTE_LETTERS: readonly string[] = (() => {
  const prints = (b: number): boolean =>
    (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
  let next = 256;
  return Array.from({ length: 256 }, (_, b) => String.fromCodePoint(prints(b) ? b : next++));
})();
