import { describe, expect, it } from 'vitest';
import { describeParameters } from './describe.js';
import { countParameters } from './parameters.js';
import { publishedModel } from './published.js';

const told = (name: string): string => {
  const model = publishedModel(name);
  if (model === undefined) throw new Error(name);
  return describeParameters(countParameters(model.architecture));
};

describe('parameters for people', () => {
  it.each([
    ['DeepSeek-V3', '671B parameters, 683B with the MTP module, 37.6B active for a token'],
    ['GPT-OSS 120B', '117B parameters, 5.71B active for a token'],
    ['Llama 3.1 405B', '406B parameters'],
  ])('of %s', (name, text) => {
    expect(told(name)).toBe(text);
  });
});
