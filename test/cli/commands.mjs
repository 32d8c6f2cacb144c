/**
 * A process that runs commands sequentially, for `Stowage.run`. It loads the product once; a command in its own process spends
 * a second of CPU time on that. The process ends when its parent disconnects, unless a command has left a handle open.
 */
import { runCommandLine } from '../../dist/apps/cli/command-line.js';

const [node, main] = process.argv;
let last = Promise.resolve();

async function run({ args, env }) {
  const output = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr']) {
    process[name].write = (chunk) => {
      output[name] += String(chunk);
      return true;
    };
  }
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
  process.argv = [node, main, ...args];
  process.exitCode = 0;
  await runCommandLine();
  // Handlers that a command does not remove, because its process normally ends.
  for (const signal of ['SIGINT', 'SIGTERM']) process.removeAllListeners(signal);
  return { code: process.exitCode, ...output };
}

process.on('message', (command) => {
  last = last.then(async () => process.send(await run(command)));
});
