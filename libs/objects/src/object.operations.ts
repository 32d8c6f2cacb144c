import {
  jsonBody,
  WriteOperations,
  type Receipt,
  type WriteOperation,
  type WriteResponse,
  type WriteRequest,
} from '#jobs';
import { etagOf, encodeIdForUrl } from '#http';
import { Injectable } from '@nestjs/common';
import type { Note } from '#store';
import { ObjectService } from './object.service.js';
import type { ObjectRow } from '#store';
import { objectText } from './object-wire.js';

/** What the routes that store and replace an object do, at once or as a job. */
@Injectable()
export class ObjectOperations {
  readonly create: WriteOperation = {
    name: 'object.create',
    run: (request, receipt) => this.runCreate(request, receipt),
  };
  readonly replace: WriteOperation = {
    name: 'object.replace',
    run: (request, receipt) => this.runReplace(request, receipt),
  };

  constructor(
    private readonly objects: ObjectService,
    operations: WriteOperations,
  ) {
    operations.register(this.create, this.replace);
  }

  private async runCreate(write: WriteRequest, receipt: Receipt | undefined): Promise<WriteResponse> {
    const outcome = (row: ObjectRow): WriteResponse => created(write.baseUrl, row);
    return outcome(await this.objects.create(write.projectId, jsonBody(write), noteOf(receipt, outcome)));
  }

  private async runReplace(write: WriteRequest, receipt: Receipt | undefined): Promise<WriteResponse> {
    const target = {
      projectId: write.projectId,
      objectId: write.params.object_id ?? '',
      ifMatch: write.preconditions.ifMatch,
    };
    return replaced(await this.objects.replace(target, jsonBody(write), noteOf(receipt, replaced)));
  }
}

function noteOf(receipt: Receipt | undefined, outcome: (row: ObjectRow) => WriteResponse): Note<ObjectRow> | undefined {
  return receipt && ((tx, row) => receipt(tx, outcome(row)));
}

function created(base: string, row: ObjectRow): WriteResponse {
  const { text, headers } = replaced(row);
  return {
    status: 201,
    text,
    headers: { ...headers, Location: `${base}/objects/${encodeIdForUrl(row.object_id)}` },
    items: 1,
  };
}

/** The object with its ETag, so that it can be changed again without being read. */
function replaced(row: ObjectRow): WriteResponse {
  const text = objectText(row);
  return { status: 200, text, headers: { ETag: etagOf(text) }, items: 1 };
}
