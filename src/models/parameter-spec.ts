/** @file What a model says of each of its parameters. */

export interface ParameterSpec {
  /** Name in a Hugging Face checkpoint. */
  name: string;
  shape: readonly number[];
  /**
   * `matrix`: a hidden weight matrix, which Muon may train; `buffer`: saved with the weights, but
   * changed by no optimizer; the others go to AdamW.
   */
  role: 'matrix' | 'embedding' | 'norm' | 'bias' | 'adapter' | 'router' | 'buffer';
  /** Standard deviation of the initial normal distribution; 'ones' for norms. */
  init: number | 'ones';
  /**
   * Parameters of one fuse name, declared one after the other, form one variable stacked along the
   * first dimension.
   */
  fuse?: string;
  /** False for what an adapter leaves alone although it is a matrix that is multiplied by. */
  adaptable?: boolean;
}

/** One of many experts, whose products are grouped. */
export const isExpert = ({ name }: ParameterSpec): boolean => /\.experts\.\d+\./.test(name);
