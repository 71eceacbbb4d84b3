#!/usr/bin/env node
/**
 * @file The `reckoner` command. Checks what must hold before anything else is loaded, then hands
 * over to `program.ts`.
 */
import module from 'node:module';

// A reader that has seen enough (`| head`) is no error; nor does training stop because nobody
// watches its progress, or because the terminal was closed (EIO): SIGHUP comes then, and leaves a
// checkpoint.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  if (error.code !== 'EIO') throw error;
});
process.stderr.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE' && error.code !== 'EIO') throw error;
});

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  process.stderr.write(
    `error: reckoner needs Node 20.19 or newer, and this is ${process.version}; see https://nodejs.org\n`,
  );
  process.exit(1);
}
// Node 22 keeps compiled code between calls: half the start-up time.
(module as { enableCompileCache?: () => unknown }).enableCompileCache?.();

const { flushThenExit, run } = await import('./program.js');
flushThenExit(await run(process.argv.slice(2)));
