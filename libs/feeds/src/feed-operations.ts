import { Operations, type Operation, type Outcome, type Write } from '#jobs';
import type { Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { FeedWriter, type Became, type FeedWrite } from './feed-writer.js';

/** What a feed wants to store, and what it then answers. */
export interface FeedPlan extends Omit<FeedWrite, 'projectId'> {
  /** @param became what became of each object, in their order */
  outcome: (became: readonly Became[]) => Outcome;
  /** A last look, in the same transaction. @throws Problem for what must not be stored after all */
  check?: ((tx: Queryable, became: readonly Became[]) => Promise<void>) | undefined;
}

/** What the routes of feeds that write do: read what was sent, store it, answer. */
@Injectable()
export class FeedOperations {
  constructor(
    private readonly writer: FeedWriter,
    private readonly operations: Operations,
  ) {}

  /**
   * An operation that its route runs at once, and a worker later.
   * @param name kept with its jobs, so it never changes
   * @param plan reads what was sent; throws a Problem for what the client has to mend
   */
  add(name: string, plan: (write: Write) => FeedPlan | Promise<FeedPlan>): Operation {
    const operation: Operation = { name, run: async (write) => this.run(write, await plan(write)) };
    this.operations.add(operation);
    return operation;
  }

  private async run({ projectId, receipt }: Write, { outcome, check, ...objects }: FeedPlan): Promise<Outcome> {
    const note = async (tx: Queryable, became: Became[]): Promise<void> => {
      await check?.(tx, became);
      await receipt?.(tx, outcome(became));
    };
    const isNoted = check !== undefined || receipt !== undefined;
    return outcome(await this.writer.write({ projectId, ...objects }, isNoted ? note : undefined));
  }
}
