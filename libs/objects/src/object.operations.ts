import { AuditLog, type Actor } from '#audit';
import {
  jsonBody,
  pathParam,
  WriteOperations,
  type Receipt,
  type WriteOperation,
  type WriteRequest,
  type WriteResponse,
} from '#jobs';
import { checkPreconditions, Problem, type Preconditions, type Role, ValidationErrors } from '#http';
import { EncryptedKeys } from '#encryption';
import { Config, ID_RULE, isId } from '#platform';
import { Database, isUniqueViolation, Sequence, type Queryable } from '#database';
import { listOfPairs, type ObjectRow } from '#store';
import { DeletionIds } from '#undelete';
import { isShareUsedUp, QuotaStore } from '#usage';
import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import { parseObject, requireSameIds } from './object-body.js';
import { changeEntries } from './object-change.js';
import { ObjectEtags } from './object-etags.js';
import { patchedContent, type ObjectPatch } from './object-patch.js';
import { CreateObjectDto, isReservedId, ReplaceObjectDto, RESERVED_RULE } from './object.dto.js';
import { ObjectService } from './object.service.js';
import { ObjectStore, type NewObject } from './object.store.js';
import { objectText, objectTextWithoutContent } from './object-wire.js';

/** Identifies the object of a PATCH or DELETE request. */
export interface ObjectTarget {
  projectId: number;
  objectId: string;
  preconditions: Preconditions;
  actor: Actor;
}

/** Attempts of a PUT while other requests create and delete the object. */
const PUT_ATTEMPTS = 3;

/** Writes of one object: parse and validate, lock, check the preconditions, store, respond. */
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
    private readonly store: ObjectStore,
    private readonly quotas: QuotaStore,
    private readonly encryption: EncryptedKeys,
    private readonly etags: ObjectEtags,
    private readonly deletionIds: DeletionIds,
    private readonly audit: AuditLog,
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly config: Config,
    operations: WriteOperations,
  ) {
    operations.register(this.create, this.replace);
  }

  /**
   * Changes some members of an object.
   * @throws Problem not-found; precondition-failed, precondition-required; and those of `patchedContent`
   */
  async patch(target: ObjectTarget, role: Role, patch: ObjectPatch): Promise<WriteResponse> {
    const { projectId, objectId, preconditions, actor } = target;
    await this.encryption.requireLists();
    const row = await this.database.transaction(async (tx) => {
      const current = await this.objects.lockForUpdate(tx, projectId, objectId);
      this.checkPreconditions(projectId, preconditions, current);
      const changed = await this.store.update(tx, { projectId, objectId, ...patchedContent(current, patch) });
      await this.audit.append(tx, ...changeEntries({ projectId, actor, action: 'object.update' }, current, changed));
      return changed;
    });
    const headers = { ETag: this.etagOf(projectId, row) };
    // A producer reads no data, and the object has members that the patch did not contain.
    const text = role === 'producer' ? objectTextWithoutContent(row) : objectText(row);
    return { status: 200, text, headers, items: 1 };
  }

  /** @throws Problem not-found; precondition-failed, precondition-required */
  async delete({ projectId, objectId, preconditions, actor }: ObjectTarget): Promise<void> {
    await this.database.transaction(async (tx) => {
      const current = await this.objects.lockForDelete(tx, projectId, objectId);
      this.checkPreconditions(projectId, preconditions, current);
      await this.store.delete(tx, projectId, objectId, await this.deletionIds.next(tx, projectId));
      const target = { type: 'object', id: objectId } as const;
      const details = { batch_id: current.batch_id };
      await this.audit.append(tx, { projectId, actor, action: 'object.delete', target, details });
    });
  }

  private async runCreate(request: WriteRequest, receipt: Receipt | undefined): Promise<WriteResponse> {
    const { projectId, baseUrl } = request;
    await this.encryption.requireLists();
    const { dto, data } = parseObject(CreateObjectDto, jsonBody(request));
    const object: NewObject = {
      projectId,
      batchId: dto.batch_id,
      objectId: dto.object_id ?? uuidv7(),
      seq: this.sequence.next(),
      ...contentOf(dto, data),
    };
    if (receipt === undefined && !this.quotas.isNearLimit(projectId)) {
      try {
        return this.createdResponse(projectId, baseUrl, await this.database.retrying(() => this.insert(object)));
      } catch (error) {
        // The project may be near its limit: a transaction finds out.
        if (!isShareUsedUp(error)) throw error;
      }
    }
    return this.database.transaction(async (tx) => {
      await this.requireRoom(tx, object);
      const response = this.createdResponse(projectId, baseUrl, await this.insert(object, tx));
      await receipt?.(tx, response);
      return response;
    });
  }

  private async runReplace(request: WriteRequest, receipt: Receipt | undefined): Promise<WriteResponse> {
    await this.encryption.requireLists();
    const { dto, data } = parseObject(ReplaceObjectDto, jsonBody(request));
    const content = contentOf(dto, data);
    for (let attempt = 1; attempt <= PUT_ATTEMPTS; attempt++) {
      try {
        return await this.database.transaction((tx) => this.putIn(tx, request, dto, content, receipt));
      } catch (error) {
        // Another request has created the object in the meantime.
        if (!isUniqueViolation(error)) throw error;
      }
    }
    throw new Problem('unavailable', { detail: 'The object was created and deleted meanwhile; retry the request.' });
  }

  /** Replaces the object, or creates it in the batch that the body names. @throws a unique violation where it exists now */
  private async putIn(
    tx: Queryable,
    { projectId, baseUrl, preconditions, actor, params }: WriteRequest,
    dto: ReplaceObjectDto,
    content: ObjectContent,
    receipt: Receipt | undefined,
  ): Promise<WriteResponse> {
    const objectId = pathParam({ params }, 'object_id');
    const current = await this.objects.findForUpdate(tx, projectId, objectId);
    if (current === null) {
      const batchId = batchToCreateIn(objectId, dto);
      const object = { projectId, objectId, batchId, seq: this.sequence.next(), ...content };
      await this.requireRoom(tx, object);
      const row = await this.store.insert(object, tx);
      if (row === null) throw unknownBatch(batchId);
      checkPreconditions(preconditions, null, this.config.rules);
      const response = this.createdResponse(projectId, baseUrl, row);
      await receipt?.(tx, response);
      return response;
    }
    this.checkPreconditions(projectId, preconditions, current);
    requireSameIds(dto, current);
    const row = await this.store.update(tx, { projectId, objectId, ...content });
    const response = this.replacedResponse(projectId, row);
    await receipt?.(tx, response);
    await this.audit.append(tx, ...changeEntries({ projectId, actor, action: 'object.replace' }, current, row));
    return response;
  }

  /** Rejects an object before it is inserted, unless its id exists, which is another error. @throws Problem quota-exceeded */
  private async requireRoom(tx: Queryable, object: NewObject): Promise<void> {
    const { projectId, objectId } = object;
    if (!this.quotas.isNearLimit(projectId)) return;
    if ((await this.store.find(projectId, objectId, tx)) !== null) return;
    await this.quotas.requireRoom(tx, projectId, { objects: 1, bytes: await this.store.storedBytes(object) });
  }

  /**
   * @throws Problem conflict for an id that exists; invalid-body for a batch that does not exist
   */
  private async insert(object: NewObject, tx?: Queryable): Promise<ObjectRow> {
    const { projectId, objectId, batchId } = object;
    try {
      const row = await this.store.insert(object, tx);
      if (row !== null) return row;
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      // An earlier attempt may have stored it and lost its connection before the acknowledgement.
      const isRetry = tx === undefined && (await this.store.isStored(object));
      if (isRetry) return this.objects.get(projectId, objectId);
      const detail = `"${objectId}" exists already`;
      throw new Problem('conflict', {
        detail: `${detail}; nothing was stored.`,
        errors: [{ pointer: '/object_id', detail }],
      });
    }
    throw unknownBatch(batchId);
  }

  private checkPreconditions(projectId: number, preconditions: Preconditions, current: ObjectRow): void {
    checkPreconditions(preconditions, this.etagOf(projectId, current), this.config.rules);
  }

  private createdResponse(projectId: number, baseUrl: string, row: ObjectRow): WriteResponse {
    const { text, headers } = this.replacedResponse(projectId, row);
    const url = `${baseUrl}/objects/${encodeURIComponent(row.object_id)}`;
    return { status: 201, text, headers: { ...headers, Location: url }, items: 1 };
  }

  /** The object with its ETag, so that a client can change it again without reading it. */
  private replacedResponse(projectId: number, row: ObjectRow): WriteResponse {
    return { status: 200, text: objectText(row), headers: { ETag: this.etagOf(projectId, row) }, items: 1 };
  }

  private etagOf(projectId: number, row: ObjectRow): string {
    return this.etags.etagOf(projectId, objectText(row));
  }
}

type ObjectContent = Pick<NewObject, 'data' | 'subject' | 'observedAt'>;

/** @param data the text of `data` as sent */
function contentOf(
  { subject = null, observed_at: observedAt = null }: CreateObjectDto | ReplaceObjectDto,
  data: string | undefined,
): ObjectContent {
  return { subject, observedAt, data: listOfPairs(required(data)) };
}

function unknownBatch(batchId: string): Problem {
  const error = { pointer: '/batch_id', detail: `"${batchId}" does not exist; create it first` };
  return new ValidationErrors(error).problem('invalid-body');
}

/**
 * The batch of an object that a PUT creates.
 * @throws Problem invalid-path for an id that no object can have; not-found without a batch; invalid-body for another object_id
 */
function batchToCreateIn(objectId: string, dto: ReplaceObjectDto): string {
  if (!isId(objectId)) throw new Problem('invalid-path', { detail: `The id of an object ${ID_RULE}.` });
  if (isReservedId(objectId)) throw new Problem('invalid-path', { detail: `The id of an object ${RESERVED_RULE}.` });
  const { batch_id: batchId } = dto;
  if (batchId === undefined)
    throw new Problem('not-found', { detail: 'Object not found. To create it, send its batch_id.' });
  requireSameIds(dto, { object_id: objectId, batch_id: batchId });
  return batchId;
}

function required(data: string | undefined): string {
  if (data === undefined) throw new Error('a body without data passed the validation that requires it');
  return data;
}
