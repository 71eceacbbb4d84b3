/**
 * @file Plans in a thread of the page: a search takes longer than a frame, and sliders do not wait.
 */
import type { PlannableRecipe } from '../../plan/cluster/stage-work.js';
import { type PlanAnswer, planOf } from './plan-model.js';
import type { Settings } from './plan-settings.js';

addEventListener(
  'message',
  ({ data }: MessageEvent<{ id: number; recipe: PlannableRecipe; settings: Settings }>) => {
    const started = performance.now();
    let answer: PlanAnswer;
    try {
      answer = {
        ok: true,
        ...planOf(data.recipe, data.settings),
        milliseconds: performance.now() - started,
      };
    } catch (error) {
      answer = { ok: false, message: (error as Error).message };
    }
    postMessage({ id: data.id, answer });
  },
);
