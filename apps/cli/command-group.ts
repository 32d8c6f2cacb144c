import { CommandRunner } from 'nest-commander';

/** A command that only has subcommands. It runs when the user named none of them. */
export abstract class CommandGroup extends CommandRunner {
  run(args: string[]): Promise<void> {
    const [unknown] = args;
    if (unknown === undefined) this.command.help({ error: true });
    this.command.error(`error: unknown command '${this.command.name()} ${unknown}'`);
  }
}
