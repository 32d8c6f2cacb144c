import { CommandRunner } from 'nest-commander';

/** A command that only holds others. It runs when none of them was named. */
export abstract class CommandGroup extends CommandRunner {
  run(words: string[]): Promise<void> {
    const [unknown] = words;
    if (unknown === undefined) this.command.help({ error: true });
    this.command.error(`error: unknown command '${this.command.name()} ${unknown}'`);
  }
}
