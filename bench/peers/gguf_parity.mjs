/**
 * Reads one GGUF file with Reckoner and with llama.cpp (node-llama-cpp): the same tokens of 20
 * prompts, the same 40 greedy tokens after each, and the perplexity of a text.
 *
 *   npm install --prefix bench --ignore-scripts && npm run build
 *   node bench/peers/gguf_parity.mjs FILE.gguf
 *
 * Where greedy tokens part, the line shows both tokens with the probabilities that llama.cpp gives
 * them there: a near tie falls either way, since llama.cpp rounds activations to eight bits in
 * products with quantized weights. Exits 1 for another cut of a text, a parting that is no near tie
 * (a ratio of more than 1.5), or a perplexity that differs by more than 1%.
 */
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';
import { logSumExp } from '../../dist/inference/choose.js';
import { createSampler } from '../../dist/inference/index.js';
import { openModel } from '../../dist/inference/open.js';
import { Tape } from '../../dist/tensor/tape.js';

const TOKENS = 40;
const NEAR_TIE = 1.5;
const PROMPTS = [
  'What is the capital of France?',
  'What is 17 plus 25?',
  'Write a haiku about the sea.',
  'Name three primary colors.',
  'Explain why the sky is blue in one sentence.',
  'Translate "good morning" into Spanish.',
  'Who wrote Hamlet?',
  'List the planets of the solar system.',
  'What is the boiling point of water?',
  'Give me a recipe for pancakes.',
  'Write a function in Python that adds two numbers.',
  'What is photosynthesis?',
  'How many days are in a leap year?',
  'Complete: The quick brown fox',
  'What is the square root of 144?',
  'Tell me a short story about a dragon.',
  'Is 91 a prime number?',
  'What language is spoken in Brazil?',
  "Summarize: Cats sleep a lot because they're hunters; naïve café 東京 🙂.",
  'If I have 3 apples and buy 12 more, how many do I have?',
];
const TEXT = `The reason why the sky is blue is that molecules of air scatter light of short wave
lengths more than light of long ones. In the evening the light of the sun takes a longer way through
the air, most of the blue is scattered out of it, and what is left is red. Lord Rayleigh explained
this in 1871. Water is blue for another reason: it absorbs a little red light. A kilogram of water
takes 4186 joules to become one degree warmer, which is why coasts have mild winters.`;

const file = process.argv[2];
if (file === undefined) throw new Error('name a GGUF file');

const opened = await openModel(file);
const { backend, model, tokenizer } = opened;
const bos = tokenizer.special.bos === null ? [] : [tokenizer.special.bos];
const prompts = PROMPTS.map((text) => tokenizer.prompt(text));
const text = [...bos, ...tokenizer.encode(TEXT)];
const eos = tokenizer.special.eos;
const longest = Math.max(...prompts.map((prompt) => prompt.length));
const sampler = createSampler(backend, model, {
  capacity: 20,
  maxPrompt: longest,
  maxTokens: TOKENS,
  eos,
});
const greedy = { samples: 1, maxTokens: TOKENS, temperature: 0, key: [] };
const ours = (await sampler.generate(prompts, greedy)).map(({ tokens }) => [...tokens]);

const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error });
const peer = await llama.loadModel({ modelPath: file, gpuLayers: 0 });
const kv = { experimentalKvCacheKeyType: 'F32', experimentalKvCacheValueType: 'F32' };
const context = await peer.createContext({
  contextSize: 512,
  threads: 1,
  flashAttention: false,
  ...kv,
});

/** llama.cpp's probabilities of what follows the last of the tokens. */
async function next(tokens) {
  const sequence = context.getSequence();
  const input = [
    ...tokens.slice(0, -1),
    [tokens.at(-1), { generateNext: { probabilities: true } }],
  ];
  const output = await sequence.controlledEvaluate(input);
  await sequence.dispose();
  return output.at(-1).next.probabilities;
}

let failed = false;
let same = 0;
let agreed = 0;
for (const [i, prompt] of prompts.entries()) {
  const sequence = context.getSequence();
  const theirs = [];
  for await (const token of sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true })) {
    theirs.push(token);
    if (theirs.length === TOKENS || token === eos) break;
  }
  await sequence.dispose();
  const at = theirs.findIndex((token, t) => token !== ours[i][t]);
  const cut = peer.tokenize(PROMPTS[i], false).join() === tokenizer.encode(PROMPTS[i]).join();
  if (!cut) {
    failed = true;
    console.log(`${i}: cut otherwise: ${PROMPTS[i]}`);
  }
  agreed += at < 0 ? theirs.length : at;
  if (at < 0 && theirs.length === ours[i].length) {
    same++;
    continue;
  }
  const probabilities = await next([...prompt, ...theirs.slice(0, at)]);
  const [mine, its] = [probabilities.get(ours[i][at]) ?? 0, probabilities.get(theirs[at]) ?? 0];
  if (!(its / mine <= NEAR_TIE)) failed = true;
  const show = (token) => JSON.stringify(tokenizer.decode([token]));
  console.log(
    `${i}: parts at token ${at}: ours ${show(ours[i][at])} ${mine.toFixed(4)}, llama.cpp's ${show(theirs[at])} ${its.toFixed(4)}`,
  );
}
console.log(
  `${same} of ${prompts.length} completions of ${TOKENS} tokens are the same; ${agreed} tokens before they part`,
);

/** exp of the mean negative log-probability of each token after the first. */
async function theirPerplexity() {
  const sequence = context.getSequence();
  const input = text
    .slice(0, -1)
    .map((token) => [token, { generateNext: { probabilities: true } }]);
  const output = await sequence.controlledEvaluate(input);
  await sequence.dispose();
  let sum = 0;
  for (const [
    i,
    {
      next: { probabilities },
    },
  ] of output.entries())
    sum -= Math.log(probabilities.get(text[i + 1]));
  return Math.exp(sum / output.length);
}

async function ourPerplexity() {
  const upload = (data) => {
    const tensor = backend.allocate('i32', [data.length]);
    backend.write(tensor, data);
    return tensor;
  };
  const input = {
    ids: upload(text),
    positions: upload(text.map((_, i) => i)),
    segments: upload([0, text.length]),
  };
  const hidden = model.forward(new Tape(backend, false), input).value;
  const logits = backend.allocate('f32', [text.length, model.head.shape[0]]);
  backend.matmul({ out: logits, a: hidden, b: model.head.value, transposeB: true });
  const flat = await backend.read(logits);
  const width = model.head.shape[0];
  let sum = 0;
  for (let i = 0; i + 1 < text.length; i++) {
    const row = flat.subarray(i * width, (i + 1) * width);
    sum += logSumExp(row) - row[text[i + 1]];
  }
  return Math.exp(sum / (text.length - 1));
}

const [mine, its] = [await ourPerplexity(), await theirPerplexity()];
const apart = Math.abs(mine / its - 1);
if (apart > 0.01) failed = true;
console.log(
  `perplexity of ${text.length} tokens: ours ${mine.toFixed(4)}, llama.cpp's ${its.toFixed(4)} (${(100 * apart).toFixed(2)}% apart)`,
);
await context.dispose();
await peer.dispose();
await opened.close();
process.exitCode = failed ? 1 : 0;
