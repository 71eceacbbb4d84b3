/**
 * @file What the budget of chat templates costs: the bounded interpreter beside the library's own,
 * interleaved, on a template as released models have it. Processor time, which others' work on the
 * machine changes less than the clock.
 *
 *   node bench/template-budget.mjs
 */
import { readFileSync } from 'node:fs';
import { Environment, Interpreter, parse, tokenize } from '@huggingface/jinja';
import { boundedTemplate } from '../dist/tokenizers/bounded-jinja.js';

const { tokenizerConfig } = JSON.parse(
  readFileSync(new URL('../test/fixtures/tokenizers/qwen.json', import.meta.url), 'utf8'),
);
/** Of the shape of Qwen3's and Llama 3.1's: roles, tools, a look back, trimming. */
const LONG = `{%- if tools %}{{ tools | tojson }}{%- endif %}
{%- set ns = namespace(multi_step_tool=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
{%- set index = (messages|length - 1) - loop.index0 %}
{%- if ns.multi_step_tool and message.role == "user" and not(message.content.startswith('<tool_response>')) %}
{%- set ns.multi_step_tool = false %}{%- set ns.last = index %}{%- endif %}{%- endfor %}
{%- for message in messages %}
{%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
{%- elif message.role == "assistant" %}
{%- set content = message.content %}
{%- if '</think>' in message.content %}
{%- set content = message.content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}
{{- '<|im_start|>' + message.role + '\\n' + content }}{{- '<|im_end|>\\n' }}{%- endif %}{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}`;
const read = (source) => parse(tokenize(source, { lstrip_blocks: true, trim_blocks: true }));

function libraryTemplate(program) {
  return (variables) => {
    const environment = new Environment();
    for (const [name, value] of Object.entries({
      ...{ raise_exception: () => {}, true: true, false: false, none: null },
      ...variables,
    }))
      environment.set(name, value);
    return new Interpreter(environment).run(program).value;
  };
}

const median = (list) => list.toSorted((a, b) => a - b)[list.length >> 1];
console.log('| template | turns | library, µs | bounded, µs | ratio |');
console.log('|---|---:|---:|---:|---:|');
for (const [name, source] of [
  ['of the fixture', tokenizerConfig.chat_template],
  ["like Qwen3's", LONG],
])
  for (const turns of [1, 9, 101]) {
    const program = read(source);
    const library = libraryTemplate(program);
    const bounded = boundedTemplate(program);
    const variables = {
      messages: Array.from({ length: turns }, (_, i) => ({
        role: i % 2 === 0 ? 'user' : 'assistant',
        content: `Some words of turn ${i}, as long as a question is.`,
      })),
      add_generation_prompt: true,
    };
    if (library(variables) !== bounded(variables)) throw new Error('other texts');
    const times = { library: [], bounded: [] };
    const calls = Math.max(1, Math.floor(400 / turns));
    for (let round = 0; round < 21; round++)
      for (const [side, render] of [
        ['library', library],
        ['bounded', bounded],
      ]) {
        const start = process.cpuUsage();
        for (let i = 0; i < calls; i++) render(variables);
        const { user, system } = process.cpuUsage(start);
        times[side].push((user + system) / calls);
      }
    const ratios = times.library.map((time, i) => times.bounded[i] / time);
    console.log(
      `| ${name} | ${turns} | ${median(times.library).toFixed(0)} | ${median(times.bounded).toFixed(0)} | ${median(ratios).toFixed(2)} |`,
    );
  }
