// The contestants of bench/webgpu.mjs, for Node and for a page: Reckoner, TensorFlow.js and jax-js,
// on WebAssembly and WebGPU.
//
// Each trains the same Llama decoder (RMSNorm, rotary positions, causal attention, SwiGLU, an
// untied head) with Adam on the same number of tokens. Written as each library's documents advise:
// tidy and fused kernels in TensorFlow.js, one `jit` around the whole step in jax-js. Both get
// embeddings as a product with one-hot rows, for TensorFlow.js has no gradient of a lookup on
// WebAssembly. Neither has a key-value cache that is written in place, so neither is measured at
// rollouts.

/** r1-mini's model, and one that a processor which plays a GPU gets through. */
const WORK = {
  'r1-mini': {
    width: 96,
    hidden: 256,
    layers: 3,
    heads: 6,
    batch: 8,
    length: 32,
    rollouts: { prompt: 8, samples: 16, tokens: 32 },
  },
  tiny: {
    width: 32,
    hidden: 96,
    layers: 1,
    heads: 2,
    batch: 4,
    length: 16,
    rollouts: { prompt: 8, samples: 8, tokens: 8 },
  },
};

let MODEL;
let BATCH;
let LENGTH;
let ROLLOUTS;
let ids;

function take(name) {
  const { width, hidden, layers, heads, batch, length, rollouts } = WORK[name];
  MODEL = {
    model_type: 'llama',
    vocab_size: 32,
    hidden_size: width,
    intermediate_size: hidden,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    head_dim: 16,
    max_position_embeddings: 128,
  };
  [BATCH, LENGTH, ROLLOUTS] = [batch, length, rollouts];
  ids = Array.from({ length: BATCH }, (_, b) =>
    Array.from({ length: LENGTH + 1 }, (_, t) => (7 * t + 11 * b + ((t * t) % 5)) % 32),
  );
}

const noise = (count, scale = 1) =>
  Float32Array.from({ length: count }, (_, i) => scale * Math.sin(1.7 * i + 0.3 * (i % 13)));

/** [BATCH · LENGTH, vocabulary] of inputs and of targets. */
function oneHot(shift) {
  const out = new Float32Array(BATCH * LENGTH * MODEL.vocab_size);
  ids.forEach((row, b) => {
    for (let t = 0; t < LENGTH; t++) out[(b * LENGTH + t) * MODEL.vocab_size + row[t + shift]] = 1;
  });
  return out;
}

function rotaryTables() {
  const half = MODEL.head_dim / 2;
  const angle = (i) => Math.floor(i / half) * 10000 ** (-(i % half) / half);
  return ['cos', 'sin'].map((name) =>
    Float32Array.from({ length: LENGTH * half }, (_, i) => Math[name](angle(i))),
  );
}

const maskNumbers = () =>
  Float32Array.from({ length: LENGTH * LENGTH }, (_, i) =>
    i % LENGTH > Math.floor(i / LENGTH) ? -1e9 : 0,
  );

/**
 * Shapes of the weights: embedding, of each layer seven matrices and two norms, the last norm, the
 * head.
 */
function shapes() {
  const { vocab_size: v, hidden_size: d, intermediate_size: f, num_hidden_layers: layers } = MODEL;
  const layer = [[d], [d, d], [d, d], [d, d], [d, d], [d], [d, f], [d, f], [f, d]];
  return [[v, d], ...Array.from({ length: layers }, () => layer).flat(), [d], [d, v]];
}

/**
 * Each is `{name, matmul(side) → run, train() → run, rollout() → run}`; a run is awaited, and what
 * a side cannot do is absent.
 */
export async function reckoner(kind, modules) {
  const {
    createWasmBackend,
    createWebGpuBackend,
    createModel,
    createOptimizer,
    optimizerSchema,
    crossEntropyStep,
    Tape,
    createSampler,
  } = modules;
  const backend =
    kind === 'wasm'
      ? await createWasmBackend({ products: 'wasm', sharedBytes: 2 ** 26, localBytes: 2 ** 28 })
      : await createWebGpuBackend();
  let model = null;
  const opened = () => {
    if (model !== null) return model;
    model = createModel(backend, MODEL);
    model.store.initialize(1);
    model.store.attachGradients();
    return model;
  };
  return {
    name: `Reckoner, ${kind}`,
    async matmul(side) {
      const [out, a, b] = [0, 1, 2].map(() => backend.allocate('f32', [side, side]));
      backend.write(a, noise(side * side));
      backend.write(b, noise(side * side));
      return async (calls) => {
        for (let i = 0; i < calls; i++) backend.matmul({ out, a, b });
        await backend.sync();
      };
    },
    async train() {
      const { store } = opened();
      const optimizer = createOptimizer(
        backend,
        store,
        optimizerSchema.parse({ matrices: 'adamw', lr: 1e-3 }),
      );
      const sequences = ids.map((tokens) => ({ tokens, predictFrom: 1 }));
      let step = 0;
      return async (calls) => {
        for (let i = 0; i < calls; i++) {
          store.resetGradients();
          await crossEntropyStep(new Tape(backend), model, sequences, {
            weight: 1 / (BATCH * LENGTH),
          });
          await optimizer.update(1, ++step);
        }
        await backend.sync();
      };
    },
    async rollout() {
      const { prompt, samples, tokens } = ROLLOUTS;
      const sampler = createSampler(backend, opened(), {
        capacity: samples,
        maxPrompt: prompt,
        maxTokens: tokens,
        eos: -1,
      });
      let call = 0;
      return async (calls) => {
        for (let i = 0; i < calls; i++)
          await sampler.generate([ids[0].slice(0, prompt)], {
            samples,
            maxTokens: tokens,
            temperature: 1,
            key: [1, 'bench', call++],
          });
      };
    },
  };
}

export async function tensorflow(kind, { tf }) {
  await tf.setBackend(kind);
  await tf.ready();
  const {
    hidden_size: d,
    num_attention_heads: heads,
    head_dim: size,
    vocab_size: v,
    num_hidden_layers: layers,
  } = MODEL;
  const rms = (x, w) =>
    tf.mul(tf.mul(x, tf.rsqrt(tf.add(tf.mean(tf.square(x), -1, true), 1e-6))), w);
  function train() {
    const weights = shapes().map((shape) =>
      tf.variable(
        shape.length === 1 ? tf.ones(shape) : tf.tensor(noise(shape[0] * shape[1], 0.02), shape),
      ),
    );
    const [input, target] = [0, 1].map((shift) => tf.tensor(oneHot(shift), [BATCH * LENGTH, v]));
    const [cos, sin] = rotaryTables().map((table) => tf.tensor(table, [LENGTH, size / 2]));
    const mask = tf.tensor(maskNumbers(), [LENGTH, LENGTH]);
    const split = (x) => tf.transpose(tf.reshape(x, [BATCH, LENGTH, heads, size]), [0, 2, 1, 3]);
    const rotate = (x) => {
      const [a, b] = tf.split(x, 2, -1);
      return tf.concat(
        [tf.sub(tf.mul(a, cos), tf.mul(b, sin)), tf.add(tf.mul(b, cos), tf.mul(a, sin))],
        -1,
      );
    };
    const loss = () => {
      const next = weights[Symbol.iterator]();
      const w = () => next.next().value;
      let x = tf.matMul(input, w());
      for (let i = 0; i < layers; i++) {
        const h = rms(x, w());
        const q = rotate(split(tf.matMul(h, w())));
        const k = rotate(split(tf.matMul(h, w())));
        const value = split(tf.matMul(h, w()));
        const scores = tf.softmax(tf.add(tf.mul(tf.matMul(q, k, false, true), size ** -0.5), mask));
        const mixed = tf.reshape(tf.transpose(tf.matMul(scores, value), [0, 2, 1, 3]), [
          BATCH * LENGTH,
          d,
        ]);
        x = tf.add(x, tf.matMul(mixed, w()));
        const g = rms(x, w());
        const gate = tf.matMul(g, w());
        x = tf.add(x, tf.matMul(tf.mul(tf.mul(gate, tf.sigmoid(gate)), tf.matMul(g, w())), w()));
      }
      const logits = tf.matMul(rms(x, w()), w());
      return tf.mul(tf.mean(tf.sum(tf.mul(tf.logSoftmax(logits), target), -1)), -1);
    };
    const optimizer = tf.train.adam(1e-3);
    return async (calls) => {
      for (let i = 0; i < calls; i++) {
        const value = optimizer.minimize(loss, true);
        await value.data();
        value.dispose();
      }
    };
  }
  return {
    name: `TensorFlow.js, ${kind}`,
    /** It has one backend at a time. */
    enter: () => tf.setBackend(kind),
    async matmul(side) {
      const [a, b] = [0, 1].map(() => tf.tensor(noise(side * side), [side, side]));
      return async (calls) => {
        let out = null;
        for (let i = 0; i < calls; i++) {
          out?.dispose();
          out = tf.matMul(a, b);
        }
        await out.data();
        out.dispose();
      };
    },
    train,
  };
}

export async function jaxjs(kind, { jax }) {
  const devices = await jax.init(kind);
  if (!devices.includes(kind)) throw new Error(`no ${kind}`);
  const { numpy: np, nn, jit, valueAndGrad } = jax;
  const {
    hidden_size: d,
    num_attention_heads: heads,
    head_dim: size,
    vocab_size: v,
    num_hidden_layers: layers,
  } = MODEL;
  const array = (data, shape) => np.array(data, { device: kind }).reshape(shape);
  const rms = (x, w) =>
    x.ref.div(np.sqrt(np.square(x).mean(-1, { keepdims: true }).add(1e-6))).mul(w);
  const split = (x) => np.transpose(x.reshape([BATCH, LENGTH, heads, size]), [0, 2, 1, 3]);
  function rotate(x, cos, sin) {
    const a = x.ref.slice([], [], [], [0, size / 2]);
    const b = x.slice([], [], [], [size / 2, size]);
    return np.concatenate(
      [a.ref.mul(cos.ref).sub(b.ref.mul(sin.ref)), b.mul(cos).add(a.mul(sin))],
      -1,
    );
  }
  function loss(weights, { input, target, cos, sin, mask }) {
    const next = weights[Symbol.iterator]();
    const w = () => next.next().value;
    let x = np.matmul(input, w());
    for (let i = 0; i < layers; i++) {
      const h = rms(x.ref, w());
      const q = rotate(split(np.matmul(h.ref, w())), cos.ref, sin.ref);
      const k = rotate(split(np.matmul(h.ref, w())), cos.ref, sin.ref);
      const value = split(np.matmul(h, w()));
      const scores = nn.softmax(
        np
          .matmul(q, np.transpose(k, [0, 1, 3, 2]))
          .mul(size ** -0.5)
          .add(mask.ref),
        -1,
      );
      const mixed = np
        .transpose(np.matmul(scores, value), [0, 2, 1, 3])
        .reshape([BATCH * LENGTH, d]);
      x = x.add(np.matmul(mixed, w()));
      const g = rms(x.ref, w());
      const gate = nn.silu(np.matmul(g.ref, w()));
      x = x.add(np.matmul(gate.mul(np.matmul(g, w())), w()));
    }
    for (const table of [cos, sin, mask]) table.dispose();
    const logits = np.matmul(rms(x, w()), w());
    return nn.logSoftmax(logits, -1).mul(target).sum(-1).mean().mul(-1);
  }
  return {
    name: `jax-js, ${kind}`,
    async matmul(side) {
      const [a, b] = [0, 1].map(() => array(noise(side * side), [side, side]));
      const product = jit(np.matmul);
      return async (calls) => {
        let out = null;
        for (let i = 0; i < calls; i++) {
          out?.dispose();
          out = product(a.ref, b.ref);
          await out.blockUntilReady();
        }
        out.dispose();
      };
    },
    async train() {
      const start = () =>
        shapes().map((shape) =>
          shape.length === 1
            ? array(new Float32Array(shape[0]).fill(1), shape)
            : array(noise(shape[0] * shape[1], 0.02), shape),
        );
      const zeros = () =>
        shapes().map((shape) => array(new Float32Array(shape.reduce((x, y) => x * y)), shape));
      const step = jit((weights, first, second, data) => {
        const [value, gradients] = valueAndGrad(loss)(
          weights.map((x) => x.ref),
          data,
        );
        const m = gradients.map((g, i) => first[i].mul(0.9).add(g.ref.mul(0.1)));
        const s = gradients.map((g, i) => second[i].mul(0.95).add(np.square(g).mul(0.05)));
        const next = weights.map((x, i) =>
          x.sub(m[i].ref.mul(1e-3).div(np.sqrt(s[i].ref).add(1e-8))),
        );
        return [value, next, m, s];
      });
      const data = {
        input: array(oneHot(0), [BATCH * LENGTH, v]),
        target: array(oneHot(1), [BATCH * LENGTH, v]),
        cos: array(rotaryTables()[0], [LENGTH, size / 2]),
        sin: array(rotaryTables()[1], [LENGTH, size / 2]),
        mask: array(maskNumbers(), [LENGTH, LENGTH]),
      };
      let state = [start(), zeros(), zeros()];
      return async (calls) => {
        for (let i = 0; i < calls; i++) {
          const kept = Object.fromEntries(Object.entries(data).map(([name, x]) => [name, x.ref]));
          const [value, ...next] = step(...state, kept);
          await value.data();
          state = next;
        }
      };
    },
  };
}

/**
 * Every side's figures: GFLOP/s of products, tokens a second of training and of rollouts; medians
 * over rounds in which the sides take turns. What a side fails at is told and left out.
 */
export async function measure(makers, { work, sizes, seconds, rounds, say = () => {} }) {
  take(work);
  const sides = [];
  for (const make of makers) {
    try {
      sides.push(await make());
    } catch (error) {
      say(`left out: ${error.message}`);
    }
  }
  const jobs = [
    ...sizes.map((side) => ({
      key: `matmul ${side}`,
      unit: (2 * side ** 3) / 1e9,
      open: (s) => s.matmul?.(side),
    })),
    { key: 'train', unit: BATCH * LENGTH, open: (s) => s.train?.() },
    { key: 'rollout', unit: ROLLOUTS.samples * ROLLOUTS.tokens, open: (s) => s.rollout?.() },
  ];
  const results = Object.fromEntries(sides.map(({ name }) => [name, {}]));
  for (const { key, unit, open } of jobs) {
    const running = [];
    for (const side of sides) {
      try {
        await side.enter?.();
        const run = await open(side);
        if (!run) continue;
        await run(1);
        const start = performance.now();
        await run(1);
        const once = (performance.now() - start) / 1000;
        // What takes long is measured once.
        const slow = once > 5 * seconds;
        running.push({
          side,
          run,
          calls: Math.max(1, Math.min(2000, Math.round(seconds / once))),
          speeds: slow ? [unit / once] : [],
          slow,
        });
      } catch (error) {
        say(
          `${side.name}, ${key}: ${String(error.message ?? error)
            .split('\n')[0]
            .slice(0, 160)}`,
        );
      }
    }
    for (let round = 0; round < rounds; round++) {
      for (const one of round % 2 === 0 ? running : [...running].reverse()) {
        if (one.slow) continue;
        await one.side.enter?.();
        const start = performance.now();
        await one.run(one.calls);
        one.speeds.push((unit * one.calls) / ((performance.now() - start) / 1000));
      }
    }
    for (const { side, speeds } of running)
      results[side.name][key] = speeds.sort((a, b) => a - b)[speeds.length >> 1];
  }
  return results;
}
