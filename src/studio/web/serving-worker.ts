/**
 * @file Plans services in a thread of the page, so that sliders do not wait for a search.
 */
import { type ServingAnswer, type ServingSettings, servingPlanOf } from './serving-model.js';

addEventListener('message', ({ data }: MessageEvent<{ id: number; settings: ServingSettings }>) => {
  let answer: ServingAnswer;
  try {
    answer = { ok: true, plan: servingPlanOf(data.settings) };
  } catch (error) {
    answer = { ok: false, message: (error as Error).message };
  }
  postMessage({ id: data.id, answer });
});
