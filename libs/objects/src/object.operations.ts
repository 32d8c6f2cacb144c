import { jsonBodyOf, Operations, type Operation, type Outcome, type Write } from '#jobs';
import { etagOf, encodeIdForUrl } from '#http';
import { Injectable } from '@nestjs/common';
import type { Note } from '#store';
import { ObjectService } from './object.service.js';
import type { ObjectRow } from '#store';
import { objectText } from './object-wire.js';

/** What the routes that store and replace an object do, at once or as a job. */
@Injectable()
export class ObjectOperations {
  readonly create: Operation = { name: 'object.create', run: (write) => this.runCreate(write) };
  readonly replace: Operation = { name: 'object.replace', run: (write) => this.runReplace(write) };

  constructor(
    private readonly objects: ObjectService,
    operations: Operations,
  ) {
    operations.add(this.create, this.replace);
  }

  private async runCreate(write: Write): Promise<Outcome> {
    const outcome = (row: ObjectRow): Outcome => created(write.base, row);
    return outcome(await this.objects.create(write.projectId, jsonBodyOf(write), noteOf(write, outcome)));
  }

  private async runReplace(write: Write): Promise<Outcome> {
    const target = { projectId: write.projectId, objectId: write.params.object_id ?? '', ifMatch: write.ifMatch };
    return replaced(await this.objects.replace(target, jsonBodyOf(write), noteOf(write, replaced)));
  }
}

function noteOf({ receipt }: Write, outcome: (row: ObjectRow) => Outcome): Note<ObjectRow> | undefined {
  return receipt && ((tx, row) => receipt(tx, outcome(row)));
}

function created(base: string, row: ObjectRow): Outcome {
  const { text, headers } = replaced(row);
  return {
    status: 201,
    text,
    headers: { ...headers, Location: `${base}/objects/${encodeIdForUrl(row.object_id)}` },
    items: 1,
  };
}

/** The object with its ETag, so that it can be changed again without being read. */
function replaced(row: ObjectRow): Outcome {
  const text = objectText(row);
  return { status: 200, text, headers: { ETag: etagOf(text) }, items: 1 };
}
