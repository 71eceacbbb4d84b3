/** @file How a model of the Hugging Face hub is told from a path or the name of a run. */

/** True for `hf:org/name`, `hf:org/name@revision`, and either with a file. */
export const isHubName = (name: string): boolean => name.startsWith('hf:');
