import { readFileSync } from 'node:fs';
import { CommandFactory } from 'nest-commander';
import { OutputError, watchOutput } from '../lost-output.js';
import { CliModule, CommandTree, type Program } from './cli.module.js';
import { printMessage } from './output.js';
import { UsageError } from './usage-error.js';

/** Exit codes. Commander also ends with 0 after --help and --version. */
const SUCCESS = 0;
const FAILURE = 1;
/** The command line or a client setting is invalid. */
const USAGE_ERROR = 2;

/**
 * Runs the command of this process's arguments. Sets the exit code and does not call exit(), which would cut off writes to a
 * pipe.
 */
export async function runCommandLine(): Promise<void> {
  watchOutput(({ code, message }) => {
    if (code !== 'EPIPE') printMessage(`stowage: standard output cannot be written: ${message}`);
    if (process.exitCode === undefined || process.exitCode === SUCCESS) process.exitCode = FAILURE;
  });
  try {
    const app = await CommandFactory.createWithoutRunning(CliModule);
    const { program } = app.get(CommandTree);
    program.name('stowage').description('A warehouse for batches of small JSON objects.');
    program.version(versionOf(), '-V, --version', 'print the version');
    for (const command of [program, ...descendants(program)]) makeStrict(command);
    await program.parseAsync(process.argv);
  } catch (error) {
    const code = await printError(error);
    // A lost help text has set it already.
    if (code !== SUCCESS) process.exitCode = code;
  }
}

function descendants({ commands }: Program): Program[] {
  return commands.flatMap((command) => [command, ...descendants(command)]);
}

/** nest-commander sets these on the root command only; subcommands would end the process themselves, with exit code 1. */
function makeStrict(command: Program): void {
  command
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    // A CommandGroup reports an unknown subcommand itself.
    .allowExcessArguments(command.commands.length > 0)
    .helpOption('-h, --help', 'print this help');
  if (command.commands.length > 0) command.addHelpCommand('help [command]', 'print the help of a command');
}

/** Prints the error: on one line, or with the stack when it is a bug. @returns the exit code */
async function printError(error: unknown): Promise<number> {
  const { name, code, exitCode, message } = error as Error & { code?: unknown; exitCode?: unknown };
  if (typeof code === 'string' && code.startsWith('commander.')) {
    if (exitCode === 0) return SUCCESS;
    // Commander has printed the help already.
    if (code !== 'commander.help') printMessage(`stowage: ${message.replace(/^error: /, '')} (see stowage --help)`);
    return USAGE_ERROR;
  }
  if (error instanceof UsageError) {
    printMessage(`stowage: ${message}`);
    return USAGE_ERROR;
  }
  // It was reported when it happened.
  if (error instanceof OutputError) return FAILURE;
  // Compared by name: importing the classes would load the whole API, also for `--help`.
  if (name === 'StartupError' || name === 'Problem') printMessage(`stowage: ${message}`);
  else await printInternalError(error);
  return FAILURE;
}

/** Prints an error that is a bug, without what may be a value of a client. */
export async function printInternalError(error: unknown): Promise<void> {
  const { internalErrorText } = await import('#platform');
  process.stderr.write(internalErrorText(error));
}

function versionOf(): string {
  // Compiled code is one folder deeper, in dist.
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      const text = readFileSync(new URL(path, import.meta.url), 'utf8');
      return (JSON.parse(text) as { version: string }).version;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  throw new Error('package.json not found');
}
