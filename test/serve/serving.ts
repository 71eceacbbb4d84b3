/**
 * @file For tests: a small random model behind a real server.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { saveHuggingFace } from '../../src/checkpoints/hugging-face.js';
import { createModel, parseModelConfig, transformersClass } from '../../src/models/index.js';
import {
  createService,
  type Listening,
  listen,
  type Service,
  type ServiceOptions,
} from '../../src/serve/index.js';
import { createReferenceBackend } from '../../src/tensor/backends/reference.js';
import { createCharacterTokenizer, tokenizerFiles } from '../../src/tokenizers/character.js';

export const NAME = 'small';

/**
 * Every printable ASCII character, so that the model can write JSON, and a line break. Weights are large, so that it
 * has opinions.
 */
export async function writeModel(folder: string, contextLength = 256): Promise<void> {
  const tokenizer = createCharacterTokenizer(
    `\n${Array.from({ length: 95 }, (_, i) => String.fromCharCode(32 + i)).join('')}`,
  );
  const { bos, eos, pad } = tokenizer.special;
  const config = parseModelConfig({
    model_type: 'llama',
    vocab_size: tokenizer.vocabularySize,
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 2,
    num_attention_heads: 4,
    max_position_embeddings: contextLength,
    initializer_range: 0.2,
  });
  const backend = createReferenceBackend();
  const model = createModel(backend, config);
  model.store.initialize(7);
  const tensors = await Promise.all(
    model.store.parameters.map(async ({ spec, value }) => {
      return {
        name: spec.name,
        shape: spec.shape,
        data: Float32Array.from(await backend.read(value)),
      };
    }),
  );
  const ids = { bos_token_id: bos, eos_token_id: eos, pad_token_id: pad };
  const content = {
    config: { ...config, ...ids, architectures: [transformersClass(config)] },
    tensors,
    ...tokenizerFiles(tokenizer),
  };
  await saveHuggingFace(folder, content);
  await backend.close();
}

export interface Serving {
  folder: string;
  service: Service;
  server: Listening;
  url: string;
  stop(): Promise<void>;
}

export async function serve(
  options: Partial<ServiceOptions> & { contextLength?: number } = {},
): Promise<Serving> {
  const folder = mkdtempSync(join(tmpdir(), 'reckoner-serve-'));
  const model = join(folder, 'model');
  await writeModel(model, options.contextLength);
  const service = await createService({
    folder: model,
    name: NAME,
    usageFile: join(folder, 'usage.jsonl'),
    ...options,
  });
  const server = await listen(service, { port: 0, hasKeys: (options.keys ?? []).length > 0 });
  return {
    folder,
    service,
    server,
    url: server.url,
    async stop() {
      await server.close(2);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
