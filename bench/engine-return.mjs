/**
 * How long a server's engine takes to come back after its thread was ended from outside:
 *
 *   npm run build && node bench/engine-return.mjs MODEL [times, default 10]
 *
 * Each time a new server, a request that is being answered, the end of the thread, and the time
 * until /healthz has status 200 again. Prints the median and the longest.
 */
import { createService, listen } from '../dist/serve/index.js';

const [folder, times = '10'] = process.argv.slice(2);
if (folder === undefined) throw new Error('name a model: a folder or a GGUF file');
const seconds = [];
for (let i = 0; i < Number(times); i++) {
  const service = await createService({
    folder,
    name: 'm',
    usageFile: null,
  });
  const server = await listen(service, { port: 0, hasKeys: false });
  const body = JSON.stringify({ model: 'm', prompt: '1', max_tokens: 200 });
  const headers = { 'content-type': 'application/json' };
  const lost = fetch(`${server.url}/v1/completions`, { method: 'POST', headers, body });
  while (service.engine.outstanding === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  const began = performance.now();
  await service.engine.kill();
  const { status } = await lost;
  if (status !== 503) throw new Error(`the request that was lost had status ${status}`);
  while ((await fetch(`${server.url}/healthz`)).status !== 200)
    await new Promise((resolve) => setTimeout(resolve, 20));
  seconds.push((performance.now() - began) / 1000);
  await server.close(0);
}
seconds.sort((a, b) => a - b);
const show = (value) => value.toFixed(2);
console.log(
  `${times} times: back after ${show(seconds[seconds.length >> 1])} s in the median, ${show(seconds.at(-1))} s at most`,
);
process.exit(0);
