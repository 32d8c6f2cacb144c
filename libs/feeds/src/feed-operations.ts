import { WriteOperations, type Receipt, type WriteOperation, type WriteResponse, type WriteRequest } from '#jobs';
import type { Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { FeedWriter, type FeedWriteResult, type FeedWrite } from './feed-writer.js';

/** What a feed wants to store, and what it then answers. */
export interface FeedPlan extends Omit<FeedWrite, 'projectId'> {
  /** @param became what became of each object, in their order */
  respond: (became: readonly FeedWriteResult[]) => WriteResponse;
  /** A last look, in the same transaction. @throws Problem for what must not be stored after all */
  check?: ((tx: Queryable, became: readonly FeedWriteResult[]) => Promise<void>) | undefined;
}

/** What the routes of feeds that write do: read what was sent, store it, answer. */
@Injectable()
export class FeedOperations {
  constructor(
    private readonly writer: FeedWriter,
    private readonly operations: WriteOperations,
  ) {}

  /**
   * An operation that its route runs at once, and a worker later.
   * @param name kept with its jobs, so it never changes
   * @param plan reads what was sent; throws a Problem for what the client has to mend
   */
  register(name: string, plan: (write: WriteRequest) => FeedPlan | Promise<FeedPlan>): WriteOperation {
    const operation: WriteOperation = {
      name,
      run: async (request, receipt) => this.run(request, await plan(request), receipt),
    };
    this.operations.register(operation);
    return operation;
  }

  private async run(
    { projectId }: WriteRequest,
    { respond: outcome, check, ...objects }: FeedPlan,
    receipt: Receipt | undefined,
  ): Promise<WriteResponse> {
    const note = async (tx: Queryable, became: FeedWriteResult[]): Promise<void> => {
      await check?.(tx, became);
      await receipt?.(tx, outcome(became));
    };
    const isNoted = check !== undefined || receipt !== undefined;
    return outcome(await this.writer.write({ projectId, ...objects }, isNoted ? note : undefined));
  }
}
