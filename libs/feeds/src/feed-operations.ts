import {
  WriteOperations,
  WriteSlots,
  type Receipt,
  type WriteOperation,
  type WriteRequest,
  type WriteResponse,
} from '#jobs';
import type { Queryable } from '#database';
import { RequestStream, setObjectsRead } from '#http';
import type { NewObjectRow } from '#store';
import { Injectable } from '@nestjs/common';
import { FeedStreamWriter, type StreamCounts } from './feed-stream-writer.js';
import type { FeedWrite, FeedWriteResult } from './feed-write.js';
import { FeedWriter } from './feed-writer.js';

/** The objects of a request to a feed. A feed adds the members that its response needs. */
export interface FeedInput extends Omit<FeedWrite, 'projectId' | 'actor'> {
  /** Whether `verify` has to be called. It costs a transaction of several statements. */
  needsVerification?: boolean;
}

/** The stages of a write of a stream, whose objects replace those that exist. */
export interface FeedStreamStages {
  /** A batch that gets only the objects of this stream. */
  batchIdOf(request: WriteRequest): string;
  /** Parses and validates the objects, some at a time. @throws Problem for errors of the client */
  read(request: WriteRequest, stream: RequestStream): AsyncIterable<readonly NewObjectRow[]>;
  respond(request: WriteRequest, counts: StreamCounts): WriteResponse;
}

/** The stages of a write to a feed: parse, store, verify, respond. */
export interface FeedStages<Input extends FeedInput> {
  /** Name of the operation. It is stored with each job, so it never changes. */
  name: string;
  /** Parses and validates the request. @throws Problem for errors of the client */
  parse(request: WriteRequest): Input | Promise<Input>;
  /** Checks the stored objects in the same transaction. @throws Problem to roll it back */
  verify?(tx: Queryable, input: Input, results: readonly FeedWriteResult[], request: WriteRequest): Promise<void>;
  /** @param results one for each object, in their order */
  respond(input: Input, results: readonly FeedWriteResult[], request: WriteRequest): WriteResponse;
  /** For a feed that takes NDJSON. */
  stream?: FeedStreamStages;
}

/** Registers the operations of the feeds. */
@Injectable()
export class FeedOperations {
  constructor(
    private readonly writer: FeedWriter,
    private readonly streams: FeedStreamWriter,
    private readonly operations: WriteOperations,
    private readonly slots: WriteSlots,
  ) {}

  /** Registers an operation that a route runs at once, and a worker later. */
  register<Input extends FeedInput>(stages: FeedStages<Input>): WriteOperation {
    const operation: WriteOperation = {
      name: stages.name,
      run: (request, receipt) => this.run(stages, request, receipt),
    };
    this.operations.register(operation);
    return operation;
  }

  private async run<Input extends FeedInput>(
    stages: FeedStages<Input>,
    request: WriteRequest,
    receipt: Receipt | undefined,
  ): Promise<WriteResponse> {
    if (request.body instanceof RequestStream) return this.runStream(stages.stream, request, request.body, receipt);
    const input = await stages.parse(request);
    try {
      return await this.store(stages, input, request, receipt);
    } catch (error) {
      setObjectsRead(error, input.objects.length);
      throw error;
    }
  }

  private async runStream(
    stages: FeedStreamStages | undefined,
    request: WriteRequest,
    stream: RequestStream,
    receipt: Receipt | undefined,
  ): Promise<WriteResponse> {
    if (stages === undefined) throw new Error('the route of a feed accepts streams that the feed cannot read');
    const { projectId, actor } = request;
    const write = { projectId, actor, batchId: stages.batchIdOf(request), ifExists: 'replace' } as const;
    // The stored parts of a stream that has arrived are read by another connection than that of its transaction.
    const releaseWriteSlot = stream.source === 'received' ? await this.slots.acquire(request) : null;
    const read = countObjects(stages.read(request, stream));
    try {
      return await this.streams.write(write, read.parts, async (tx, counts) => {
        const response = stages.respond(request, counts);
        await receipt?.(tx, response);
        return response;
      });
    } catch (error) {
      setObjectsRead(error, read.count());
      throw error;
    } finally {
      releaseWriteSlot?.();
    }
  }

  private async store<Input extends FeedInput>(
    stages: FeedStages<Input>,
    input: Input,
    request: WriteRequest,
    receipt: Receipt | undefined,
  ): Promise<WriteResponse> {
    const { batchId, objects, ifExists, needsVerification = false } = input;
    const { projectId, actor } = request;
    const write: FeedWrite = { projectId, actor, batchId, objects, ifExists };
    if (receipt === undefined && !needsVerification) {
      return stages.respond(input, await this.writer.write(write), request);
    }
    return this.writer.transaction([write], async (tx, results) => {
      if (needsVerification) await stages.verify?.(tx, input, results, request);
      const response = stages.respond(input, results, request);
      await receipt?.(tx, response);
      return response;
    });
  }
}

/** The same parts, with the number of objects that were read from them. */
function countObjects(parts: AsyncIterable<readonly NewObjectRow[]>): {
  parts: AsyncIterable<readonly NewObjectRow[]>;
  count: () => number;
} {
  let count = 0;
  async function* counted(): AsyncGenerator<readonly NewObjectRow[]> {
    for await (const part of parts) {
      count += part.length;
      yield part;
    }
  }
  return { parts: counted(), count: () => count };
}
