import { Config } from '#platform';
import { Database, isUniqueViolation, Sequence, type Queryable } from '#database';
import { etagOf, Problem, requireMatch, type JsonBody } from '#http';
import { Injectable } from '@nestjs/common';
import { parseObject } from './object-body.js';
import { CreateObjectDto, PatchObjectDto, ReplaceObjectDto } from './object.dto.js';
import { ObjectStore, type NewObject } from './object.store.js';
import { listOfPairs, type Note, type ObjectRow, patchPairs } from '#store';
import { objectText } from './object-wire.js';

/** Whose object, and the state that a change of it was made for. */
export interface ObjectTarget {
  projectId: number;
  objectId: string;
  ifMatch: string | undefined;
}

/** What can be changed of an object; `observedAt` is null for when it arrived. */
export type Content = Pick<ObjectRow, 'data' | 'subject'> & { observedAt: string | null };

@Injectable()
export class ObjectService {
  constructor(
    private readonly objects: ObjectStore,
    private readonly database: Database,
    private readonly sequence: Sequence,
    private readonly config: Config,
  ) {}

  /** @throws Problem as ObjectBodies.readObject; invalid-body for an unknown batch; conflict for an id that exists */
  async create(projectId: number, body: JsonBody, note?: Note<ObjectRow>): Promise<ObjectRow> {
    const { dto, data } = parseObject(CreateObjectDto, body);
    const object = {
      projectId,
      batchId: dto.batch_id,
      objectId: dto.object_id,
      seq: this.sequence.next(),
      subject: dto.subject ?? null,
      observedAt: dto.observed_at ?? null,
      data: listOfPairs(required(data)),
    };
    if (note === undefined) return this.database.retrying(() => this.insert(object));
    return this.database.transaction(async (tx) => {
      const row = await this.insert(object, tx);
      await note(tx, row);
      return row;
    });
  }

  /** @throws Problem not-found */
  async get(projectId: number, objectId: string, on?: Queryable): Promise<ObjectRow> {
    const row = await this.objects.find(projectId, objectId, on);
    if (row === null) throw noSuchObject();
    return row;
  }

  /** @throws Problem as ObjectBodies.readObject; not-found; precondition-failed; precondition-required */
  replace(target: ObjectTarget, body: JsonBody, note?: Note<ObjectRow>): Promise<ObjectRow> {
    const { dto, data } = parseObject(ReplaceObjectDto, body);
    const content = {
      data: listOfPairs(required(data)),
      subject: dto.subject ?? null,
      observedAt: dto.observed_at ?? null,
    };
    return this.update(target, dto, () => content, note);
  }

  /** @throws Problem as replace; too-large when the object would grow over the limit of a body */
  patch(target: ObjectTarget, body: JsonBody): Promise<ObjectRow> {
    const { dto, data } = parseObject(PatchObjectDto, body);
    return this.update(target, dto, (row) => {
      const patched = data === undefined ? row.data : patchPairs(row.data, data);
      this.refuseTooLarge(patched);
      return {
        data: patched,
        subject: dto.subject === undefined ? row.subject : dto.subject,
        observedAt: dto.observed_at === undefined ? row.observed_at : dto.observed_at,
      };
    });
  }

  /** @throws Problem not-found; precondition-failed; precondition-required */
  async delete(target: ObjectTarget): Promise<void> {
    await this.changing(target, 1, async (tx) => {
      await this.objects.delete(tx, target.projectId, target.objectId);
    });
  }

  private update(
    target: ObjectTarget,
    ids: { object_id?: string; batch_id?: string },
    contentFor: (row: ObjectRow) => Content,
    note?: Note<ObjectRow>,
  ): Promise<ObjectRow> {
    if (ids.object_id !== undefined && ids.object_id !== target.objectId) refuseId('/object_id', target.objectId);
    const checked = (row: ObjectRow): Content => {
      if (ids.batch_id !== undefined && ids.batch_id !== row.batch_id) refuseId('/batch_id', row.batch_id);
      return contentFor(row);
    };
    return this.change(target, checked, note);
  }

  /**
   * Puts other content into an object.
   * @param contentFor may throw, where the object that is there cannot be changed so
   * @throws Problem not-found; precondition-failed; precondition-required
   */
  change(target: ObjectTarget, contentFor: (row: ObjectRow) => Content, note?: Note<ObjectRow>): Promise<ObjectRow> {
    const { projectId, objectId } = target;
    return this.changing(target, 0, async (tx, row) => {
      const updated = await this.objects.update(tx, { projectId, objectId, ...contentFor(row) });
      if (updated === null) throw new Error('an object vanished under the lock of its batch');
      await note?.(tx, updated);
      return updated;
    });
  }

  /** Runs a change of an object under the lock of its batch, once the object is there and as the client has seen it. */
  private changing<T>(
    { projectId, objectId, ifMatch }: ObjectTarget,
    removes: 0 | 1,
    change: (tx: Parameters<ObjectStore['update']>[0], row: ObjectRow) => Promise<T>,
  ): Promise<T> {
    if (ifMatch === undefined && this.config.rules.requireIfMatch) {
      throw new Problem('precondition-required', { detail: 'Send If-Match with the ETag that you read.' });
    }
    const revision = this.sequence.next();
    return this.database.transaction(async (tx) => {
      const batchId = await this.objects.lockBatchOf(tx, projectId, objectId, revision, removes);
      const row = batchId === null ? null : await this.objects.find(projectId, objectId, tx);
      // While we waited for the lock it may have been deleted, and posted again into a batch that we hold no lock of.
      // Throwing rolls the batch's count back.
      if (row === null || row.batch_id !== batchId) throw noSuchObject();
      requireMatch(ifMatch, etagOf(objectText(row)));
      return change(tx, row);
    });
  }

  private async insert(object: NewObject, tx?: Queryable): Promise<ObjectRow> {
    let row: ObjectRow | null;
    try {
      row = await this.objects.insert(object, tx);
    } catch (error) {
      if (!isUniqueViolation(error)) throw error;
      // An earlier attempt may have stored it and lost its connection before the response of the database.
      const isRetry = tx === undefined && (await this.objects.isStored(object));
      if (isRetry) return this.get(object.projectId, object.objectId);
      throw new Problem('conflict', {
        detail: `There is an object "${object.objectId}" already.`,
        errors: [{ pointer: '/object_id', detail: `"${object.objectId}" exists already` }],
      });
    }
    if (row !== null) return row;
    throw new Problem('invalid-body', {
      detail: 'There is no such batch; post it first.',
      errors: [{ pointer: '/batch_id', detail: `"${object.batchId}" does not exist` }],
    });
  }

  private refuseTooLarge(data: string): void {
    const max = this.config.limits.bodyLimitBytes;
    if (Buffer.byteLength(data) <= max) return;
    throw new Problem('too-large', {
      detail: `The object would be over BODY_LIMIT_BYTES, ${String(max)}; see /api/v1/limits.`,
    });
  }
}

function noSuchObject(): Problem {
  return new Problem('not-found', { detail: 'There is no such object.' });
}

function refuseId(pointer: string, id: string): never {
  throw new Problem('invalid-body', {
    detail: 'An object keeps its id and its batch.',
    errors: [{ pointer, detail: `must be "${id}", as it is, or left out` }],
  });
}

function required(data: string | undefined): string {
  if (data === undefined) throw new Error('a body without data passed the schema that requires it');
  return data;
}
