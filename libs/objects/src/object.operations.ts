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
import {
  BODY_LIMITS,
  checkPreconditions,
  etagOf,
  Problem,
  type JsonBody,
  type Preconditions,
  type Role,
  ValidationErrors,
} from '#http';
import { Config } from '#platform';
import { Database, isUniqueViolation, Sequence, type Queryable } from '#database';
import { dataBytes, listOfPairs, patchPairs, type ObjectRow } from '#store';
import { isShareUsedUp, QuotaStore } from '#usage';
import { Injectable } from '@nestjs/common';
import { v7 as uuidv7 } from 'uuid';
import { parseObject } from './object-body.js';
import { changeEntries } from './object-change.js';
import { CreateObjectDto, PatchObjectDto, ReplaceObjectDto } from './object.dto.js';
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

/**
 * The largest data that a patch may make, as pairs. An object of 1 MiB in shorthand has less. Patching reads and writes all of
 * it at once, which takes 25 ms for each MiB.
 */
const STORED_BYTES_MAX = 4 * BODY_LIMITS.object_limit_bytes;

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
   * @throws Problem malformed-request, invalid-body; not-found; precondition-failed, precondition-required; too-large where the
   *   object would exceed the limit of a body
   */
  async patch(target: ObjectTarget, role: Role, body: JsonBody): Promise<WriteResponse> {
    const { projectId, objectId, preconditions, actor } = target;
    const { dto, data } = parseObject(PatchObjectDto, body);
    const row = await this.database.transaction(async (tx) => {
      const current = await this.objects.lockForUpdate(tx, projectId, objectId);
      this.checkPreconditions(preconditions, current);
      requireSameIds(dto, current);
      const patched = data === undefined ? current.data : patchPairs(current.data, data);
      this.requireFits(patched);
      const changed = await this.store.update(tx, {
        projectId,
        objectId,
        data: patched,
        isSameData: data === undefined,
        subject: dto.subject === undefined ? current.subject : dto.subject,
        observedAt: dto.observed_at === undefined ? current.observed_at : dto.observed_at,
      });
      await this.audit.append(tx, ...changeEntries({ projectId, actor, action: 'object.update' }, current, changed));
      return changed;
    });
    const headers = { ETag: etagOf(objectText(row)) };
    // A producer reads no data, and the object has members that the patch did not contain.
    const text = role === 'producer' ? objectTextWithoutContent(row) : objectText(row);
    return { status: 200, text, headers, items: 1 };
  }

  /** @throws Problem not-found; precondition-failed, precondition-required */
  async delete({ projectId, objectId, preconditions, actor }: ObjectTarget): Promise<void> {
    await this.database.transaction(async (tx) => {
      const current = await this.objects.lockForDelete(tx, projectId, objectId);
      this.checkPreconditions(preconditions, current);
      await this.store.delete(tx, projectId, objectId);
      const target = { type: 'object', id: objectId } as const;
      const details = { batch_id: current.batch_id };
      await this.audit.append(tx, { projectId, actor, action: 'object.delete', target, details });
    });
  }

  private async runCreate(request: WriteRequest, receipt: Receipt | undefined): Promise<WriteResponse> {
    const { projectId, baseUrl } = request;
    const { dto, data } = parseObject(CreateObjectDto, jsonBody(request));
    const object: NewObject = {
      projectId,
      batchId: dto.batch_id,
      objectId: dto.object_id ?? uuidv7(),
      seq: this.sequence.next(),
      subject: dto.subject ?? null,
      observedAt: dto.observed_at ?? null,
      data: listOfPairs(required(data)),
    };
    if (receipt === undefined && !this.quotas.isNearLimit(projectId)) {
      try {
        return createdResponse(baseUrl, await this.database.retrying(() => this.insert(object)));
      } catch (error) {
        // The project may be near its limit: a transaction finds out.
        if (!isShareUsedUp(error)) throw error;
      }
    }
    return this.database.transaction(async (tx) => {
      await this.requireRoom(tx, object);
      const response = createdResponse(baseUrl, await this.insert(object, tx));
      await receipt?.(tx, response);
      return response;
    });
  }

  private async runReplace(request: WriteRequest, receipt: Receipt | undefined): Promise<WriteResponse> {
    const { projectId, preconditions, actor } = request;
    const objectId = pathParam(request, 'object_id');
    const { dto, data } = parseObject(ReplaceObjectDto, jsonBody(request));
    return this.database.transaction(async (tx) => {
      const current = await this.objects.lockForUpdate(tx, projectId, objectId);
      this.checkPreconditions(preconditions, current);
      requireSameIds(dto, current);
      const row = await this.store.update(tx, {
        projectId,
        objectId,
        data: listOfPairs(required(data)),
        subject: dto.subject ?? null,
        observedAt: dto.observed_at ?? null,
      });
      const response = replacedResponse(row);
      await receipt?.(tx, response);
      await this.audit.append(tx, ...changeEntries({ projectId, actor, action: 'object.replace' }, current, row));
      return response;
    });
  }

  /** Rejects an object before it is inserted, unless its id exists, which is another error. @throws Problem quota-exceeded */
  private async requireRoom(tx: Queryable, { projectId, objectId, data }: NewObject): Promise<void> {
    if (!this.quotas.isNearLimit(projectId)) return;
    if ((await this.store.find(projectId, objectId, tx)) !== null) return;
    await this.quotas.requireRoom(tx, projectId, { objects: 1, bytes: dataBytes(data) });
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
    const errors = new ValidationErrors({
      pointer: '/batch_id',
      detail: `"${batchId}" does not exist; create it first`,
    });
    throw errors.problem('invalid-body');
  }

  private checkPreconditions(preconditions: Preconditions, current: ObjectRow): void {
    checkPreconditions(preconditions, etagOf(objectText(current)), this.config.rules);
  }

  private requireFits(data: string): void {
    if (Buffer.byteLength(data) <= STORED_BYTES_MAX) return;
    throw new Problem('too-large', {
      detail: `The data of the object would have more than ${String(STORED_BYTES_MAX)} bytes.`,
    });
  }
}

/** @throws Problem invalid-body where the body has another id than the object */
function requireSameIds(sent: { object_id?: string; batch_id?: string }, current: ObjectRow): void {
  for (const name of ['object_id', 'batch_id'] as const) {
    if (sent[name] === undefined || sent[name] === current[name]) continue;
    const detail = `must equal the current value "${current[name]}", or be omitted`;
    throw new Problem('invalid-body', {
      detail: `The id and the batch of an object cannot change: ${name} ${detail}.`,
      errors: [{ pointer: `/${name}`, detail }],
    });
  }
}

function createdResponse(baseUrl: string, row: ObjectRow): WriteResponse {
  const { text, headers } = replacedResponse(row);
  const url = `${baseUrl}/objects/${encodeURIComponent(row.object_id)}`;
  return { status: 201, text, headers: { ...headers, Location: url }, items: 1 };
}

/** The object with its ETag, so that a client can change it again without reading it. */
function replacedResponse(row: ObjectRow): WriteResponse {
  const text = objectText(row);
  return { status: 200, text, headers: { ETag: etagOf(text) }, items: 1 };
}

function required(data: string | undefined): string {
  if (data === undefined) throw new Error('a body without data passed the validation that requires it');
  return data;
}
