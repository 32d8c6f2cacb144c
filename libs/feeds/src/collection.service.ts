import { createHash } from 'node:crypto';
import { AuditLog } from '#audit';
import { hasKey } from '#filter';
import { canonicalNumber } from '#json';
import {
  jsonBody,
  WriteOperations,
  pathParam,
  type Receipt,
  type WriteOperation,
  type WriteResponse,
  type WriteRequest,
} from '#jobs';
import { EventLoopYield, Config } from '#platform';
import { checkPreconditions, type HttpContext, projectIdOf, ValidationErrors, Problem, type JsonList } from '#http';
import { Database, Sequence, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { FeedOperations, type FeedInput } from './feed-operations.js';
import type { FeedList } from './feed-reader.js';
import type { FeedWriteResult } from './feed-write.js';
import { parseItem, parseItems, type TypedCollection, type CollectionItem } from './typed-collection.js';
import { changeEntries, ObjectEtags, ObjectService, ObjectStore } from '#objects';
import { pairsOf, type NewObjectRow, type ObjectRow } from '#store';

/** The items of a request, and the objects that store them. */
interface CollectionInput extends FeedInput {
  items: CollectionItem[];
  isFile: boolean;
}

/** Stores and reads the items of typed collections. Objects of another shape in the same batch are skipped. */
@Injectable()
export class CollectionService {
  constructor(
    private readonly feeds: FeedOperations,
    private readonly operations: WriteOperations,
    private readonly objects: ObjectService,
    private readonly store: ObjectStore,
    private readonly etags: ObjectEtags,
    private readonly audit: AuditLog,
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly config: Config,
  ) {}

  /** The item, and sets its ETag. @throws Problem not-found */
  async get(collection: TypedCollection, id: string, { request, reply }: HttpContext, on: Queryable): Promise<string> {
    const projectId = projectIdOf(request);
    const text = itemText(collection, await this.objects.get(projectId, id, on));
    reply.header('ETag', this.etags.etagOf(projectId, text));
    return text;
  }

  /**
   * Registers the operation that stores one item, or a file of items, each once. It throws the Problems of `parseItems`, and
   * conflict.
   */
  registerCreate(collection: TypedCollection): WriteOperation {
    return this.feeds.register<CollectionInput>({
      name: `${collection.name}.create`,
      parse: (request) => this.parseCreate(collection, request),
      verify: (tx, { items }, results, { projectId }) =>
        this.requireSameContent(tx, projectId, collection, items, results),
      respond: ({ objects, isFile }, results, { baseUrl }) =>
        isFile ? fileResponse(objects, results) : createdResponse(collection, baseUrl, objects, results),
    });
  }

  /**
   * Registers the operation that replaces the item whose id is in the path. It throws the Problems of `parseItem`, and
   * not-found, precondition-failed, precondition-required.
   */
  registerReplace(collection: TypedCollection): WriteOperation {
    const operation = {
      name: `${collection.name}.replace`,
      run: (request: WriteRequest, receipt?: Receipt) => this.replace(collection, request, receipt),
    };
    this.operations.register(operation);
    return operation;
  }

  private async parseCreate(collection: TypedCollection, request: WriteRequest): Promise<CollectionInput> {
    const { items, list } = await parseItems(collection, jsonBody(request), this.config.limits.bodyLimitBytes);
    // Equal items of one file get different ids; sending the file again gets the same ids.
    const digest = list === null ? undefined : await digestOf(list);
    const newId = (index: number): string =>
      digest === undefined ? this.sequence.next().toString() : `${digest}-${String(index)}`;
    const objects = items.map(({ givenId, data }, index) => {
      const objectId = givenId ?? newId(index);
      return { objectId, subject: objectId, observedAt: null, data };
    });
    const needsVerification = items.some(({ givenId }) => givenId !== undefined);
    return {
      batchId: collection.name,
      objects,
      ifExists: 'keep',
      needsVerification,
      items,
      isFile: list !== null,
    };
  }

  private async replace(
    collection: TypedCollection,
    request: WriteRequest,
    receipt: Receipt | undefined,
  ): Promise<WriteResponse> {
    const { projectId, preconditions, actor } = request;
    const objectId = pathParam(request, collection.idParam);
    const { givenId, data } = await parseItem(collection, jsonBody(request), this.config.limits.bodyLimitBytes);
    if (givenId !== undefined && givenId !== objectId) {
      const errors = [{ pointer: '/id', detail: `must equal the current value "${objectId}", or be omitted` }];
      throw new Problem('invalid-body', { detail: `The id of a ${collection.singular} cannot change.`, errors });
    }
    return this.database.transaction(async (tx) => {
      const current = await this.objects.lockForUpdate(tx, projectId, objectId);
      // The ETag that the client read is that of the item, not of its object.
      checkPreconditions(preconditions, this.etags.etagOf(projectId, itemText(collection, current)), this.config.rules);
      const { subject, observed_at: observedAt } = current;
      const row = await this.store.update(tx, { projectId, objectId, data, subject, observedAt });
      const text = itemText(collection, row);
      // With its ETag, so that a client can change it again without reading it.
      const headers = { ETag: this.etags.etagOf(projectId, text) };
      const response = { status: 200, text, headers, items: 1 };
      await receipt?.(tx, response);
      await this.audit.append(tx, ...changeEntries({ projectId, actor, action: 'object.replace' }, current, row));
      return response;
    });
  }

  /** @throws Problem conflict where a given id belongs to an object with other content */
  private async requireSameContent(
    tx: Queryable,
    projectId: number,
    collection: TypedCollection,
    items: readonly CollectionItem[],
    results: readonly FeedWriteResult[],
  ): Promise<void> {
    const kept = items.flatMap(({ givenId, ...item }, index) =>
      givenId === undefined || results[index] !== 'kept' ? [] : { ...item, id: givenId },
    );
    if (kept.length === 0) return;
    const ids = [...new Set(kept.map(({ id }) => id))];
    const stored = new Map((await this.store.findAll(projectId, ids, tx)).map((row) => [row.object_id, row]));
    const errors = new ValidationErrors();
    for (const { id, pointer, data } of kept)
      if (!isSame(collection, stored.get(id), data))
        errors.add({ pointer: `${pointer}/id`, detail: `"${id}" exists already with other content` });
    if (errors.count > 0) throw errors.problem('conflict');
  }
}

/** Every item of a collection. */
export function collectionList(collection: TypedCollection): FeedList<string> {
  const batch = { kind: 'batch', batchId: collection.name } as const;
  const filter = { kind: 'and', of: [batch, hasKey(collection.key)] } as const;
  return { scope: [collection.name], filter, read: (row) => collection.fromObject(row) };
}

/** The JSON of the item that an object stores. @throws Problem not-found for an object of another shape */
function itemText(collection: TypedCollection, row: ObjectRow): string {
  const text = row.batch_id === collection.name ? collection.fromObject(row) : undefined;
  // The same response as for an object that does not exist.
  if (text === undefined) throw new Problem('not-found', { detail: 'Object not found.' });
  return text;
}

/** The response to a file. */
function fileResponse(objects: readonly NewObjectRow[], results: readonly FeedWriteResult[]): WriteResponse {
  const stored = results.filter((one) => one === 'added').length;
  const text = JSON.stringify({ stored, unchanged: results.length - stored });
  const ids = objects.map(({ objectId }) => objectId);
  return { status: stored > 0 ? 201 : 200, text, items: stored, chargedItems: results.length, ids };
}

/** The response to one item; 200 where the same item exists already. */
function createdResponse(
  collection: TypedCollection,
  base: string,
  [object]: readonly NewObjectRow[],
  [results]: readonly FeedWriteResult[],
): WriteResponse {
  const text = object && collection.fromObject({ object_id: object.objectId, data: object.data });
  if (object === undefined || text === undefined)
    throw new Error('a validated item does not have the shape of its collection');
  const headers = { Location: `${base}/${collection.name}/${encodeURIComponent(object.objectId)}` };
  return { status: results === 'kept' ? 200 : 201, text, headers, items: 1 };
}

/** Whether a stored item equals one that was sent; different notations of a number are equal. */
function isSame(collection: TypedCollection, stored: ObjectRow | undefined, sent: string): boolean {
  if (stored?.batch_id !== collection.name) return false;
  const [left, right] = [stored.data, sent].map((data) =>
    JSON.stringify(pairsOf(data).map(({ key, valueText }) => [key, canonicalNumber(valueText) ?? valueText])),
  );
  return left === right;
}

/** A digest of the list without insignificant white space; with 128 bits a collision is improbable. */
async function digestOf(list: JsonList): Promise<string> {
  const digest = createHash('sha256');
  const pause = new EventLoopYield(list.body.projectId);
  for (const chunk of list.chunks) {
    if (pause.isDue) await pause.yield();
    digest.update(`${list.textOf(chunk).replace(/("[^"\\]*(?:\\.[^"\\]*)*")|\s+/g, '$1')},`);
  }
  return digest.digest('hex').slice(0, 32);
}
