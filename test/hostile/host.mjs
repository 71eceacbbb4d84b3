/**
 * @file For tests: runs calls of the command one after the other in one process, so that hundreds of
 * them do not start Node each; says of each what it printed and how much processor time it took.
 */
import { run } from '../../dist/cli/program.js';

let text = '';
for (const stream of [process.stdout, process.stderr])
  stream.write = (chunk) => {
    text += chunk;
    return true;
  };
process.on('message', async (argv) => {
  text = '';
  process.exitCode = undefined;
  const before = process.cpuUsage();
  const code = await run(argv);
  const { user, system } = process.cpuUsage(before);
  process.send({ code, text, cpuMs: (user + system) / 1000 });
});
process.send('ready');
