/**
 * @file `generation_config.json`: how the makers of a model mean it to be sampled. A field that
 * makes no sense counts as not there.
 */
import type { Json } from './model-folder.js';

/** Null where the folder does not say. */
export interface GenerationDefaults {
  /** 0 where it says not to sample. */
  temperature: number | null;
  topP: number | null;
  topK: number | null;
}

export function generationDefaults(file: Json | null): GenerationDefaults {
  const within = (name: string, low: number, high: number): number | null => {
    const value = file?.[name];
    return typeof value === 'number' && value > low && value <= high ? value : null;
  };
  const topK = within('top_k', 0, 1e9);
  return {
    temperature: file?.do_sample === false ? 0 : within('temperature', 0, 100),
    topP: within('top_p', 0, 1),
    topK: topK === null ? null : Math.max(1, Math.floor(topK)),
  };
}
