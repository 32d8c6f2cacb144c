import { readFileSync } from 'node:fs';
import { CommandFactory } from 'nest-commander';
import { CliModule, CommandTree, type Program } from './cli.module.js';
import { sayLine } from './output.js';
import { UsageError } from './usage-error.js';

/** Ended as asked; also what commander says after --help and --version. */
const DONE = 0;
const FAILED = 1;
/** The command line, or the settings of a client, have to be mended first. */
const WRONG_USAGE = 2;

/**
 * Runs the command of this process's arguments. It sets the exit code and lets the process end by itself, so that what was
 * written to a pipe arrives.
 */
export async function runCommandLine(): Promise<void> {
  // The reader of a pipe may go before we have said all (`stowage key list | head -1`); there is nobody left to tell.
  process.stdout.on('error', () => process.exit(FAILED));
  try {
    const app = await CommandFactory.createWithoutRunning(CliModule);
    const { program } = app.get(CommandTree);
    program.name('stowage').description('Keeps batches of small JSON objects, and finds any of them.');
    program.version(versionOf(), '-V, --version', 'print the version');
    for (const command of [program, ...descendants(program)]) makeStrict(command);
    await program.parseAsync(process.argv);
  } catch (error) {
    process.exitCode = report(error);
  }
}

function descendants({ commands }: Program): Program[] {
  return commands.flatMap((command) => [command, ...descendants(command)]);
}

/** nest-commander sets these for the outermost command only; the others would end the process on their own, with 1. */
function makeStrict(command: Program): void {
  command
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    // Those that have commands of their own say themselves which one is unknown.
    .allowExcessArguments(command.commands.length > 0)
    .helpOption('-h, --help', 'print this help');
  if (command.commands.length > 0) command.addHelpCommand('help [command]', 'print the help of a command');
}

/** Says what went wrong, on one line unless it is a fault of ours. @returns the exit code */
function report(error: unknown): number {
  const { name, code, exitCode, message, stack } = error as Error & { code?: unknown; exitCode?: unknown };
  if (typeof code === 'string' && code.startsWith('commander.')) {
    if (exitCode === 0) return DONE;
    // The help, where no command was given, is printed already.
    if (code !== 'commander.help') sayLine(`stowage: ${message.replace(/^error: /, '')} (see stowage --help)`);
    return WRONG_USAGE;
  }
  if (error instanceof UsageError) {
    sayLine(`stowage: ${message}`);
    return WRONG_USAGE;
  }
  // By name: importing the classes would load the whole API before `--help` can answer.
  if (name === 'StartupError' || name === 'Problem') sayLine(`stowage: ${message}`);
  else process.stderr.write(`stowage: this is a fault of ours\n${stack ?? String(error)}\n`);
  return FAILED;
}

function versionOf(): string {
  // The folder is two levels deeper where the code is compiled.
  for (const path of ['../../package.json', '../../../package.json']) {
    try {
      const text = readFileSync(new URL(path, import.meta.url), 'utf8');
      return (JSON.parse(text) as { version: string }).version;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  throw new Error('there is no package.json above the command line');
}
