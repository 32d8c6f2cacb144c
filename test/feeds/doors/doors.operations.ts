import { jsonBodyOf, Operations, type Operation, type Outcome, type Write } from '#jobs';
import { readBody } from '#platform';
import { FeedWriter } from '#warehouse';
import { Injectable } from '@nestjs/common';
import { NewVisitDto } from './doors.dto.js';
import { toObject } from './visit.js';

/** What the route that writes does, at once or as a job. */
@Injectable()
export class DoorOperations {
  readonly count: Operation = { name: 'doors.count', run: (write) => this.runCount(write) };

  constructor(
    private readonly writer: FeedWriter,
    operations: Operations,
  ) {
    operations.add(this.count);
  }

  private async runCount(write: Write): Promise<Outcome> {
    const { projectId, params, receipt } = write;
    const { dto } = readBody(NewVisitDto, jsonBodyOf(write));
    const visit = { door: params.door ?? '', ...dto };
    const outcome = { status: 201, text: JSON.stringify(visit), items: 1 };
    await this.writer.write(
      { projectId, batchId: 'visits', objects: [toObject(visit)], ifExists: 'replace' },
      receipt && ((tx) => receipt(tx, outcome)),
    );
    return outcome;
  }
}
