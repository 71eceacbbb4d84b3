/**
 * @file The number formats of GGUF tensors, by ggml's numbers of them; what their blocks mean is in
 * src/tensor/forms.ts.
 */
import { type Form, type FormLayout, LAYOUTS } from '../../tensor/forms.js';

export interface BlockFormat extends FormLayout {
  /** As messages and other programs have it: `Q4_K`. */
  name: string;
  form: Form;
}

const TYPES: readonly (readonly [type: number, form: Form])[] = [
  [0, 'f32'],
  [1, 'f16'],
  [2, 'q4_0'],
  [3, 'q4_1'],
  [6, 'q5_0'],
  [7, 'q5_1'],
  [8, 'q8_0'],
  [12, 'q4_k'],
  [13, 'q5_k'],
  [14, 'q6_k'],
  [30, 'bf16'],
];

/** By ggml's number of the type. */
export const FORMATS: ReadonlyMap<number, BlockFormat> = new Map(
  TYPES.map(([type, form]) => [type, { ...LAYOUTS[form], form, name: form.toUpperCase() }]),
);

/** Names of types that are known and not read, for messages. */
export const OTHER_FORMATS: Readonly<Record<number, string>> = {
  9: 'Q8_1',
  10: 'Q2_K',
  11: 'Q3_K',
  15: 'Q8_K',
  16: 'IQ2_XXS',
  17: 'IQ2_XS',
  18: 'IQ3_XXS',
  19: 'IQ1_S',
  20: 'IQ4_NL',
  21: 'IQ3_S',
  22: 'IQ2_S',
  23: 'IQ4_XS',
  24: 'I8',
  25: 'I16',
  26: 'I32',
  27: 'I64',
  28: 'F64',
  29: 'IQ1_M',
  34: 'TQ1_0',
  35: 'TQ2_0',
  39: 'MXFP4',
};
