import { hash } from 'node:crypto';
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
import { Config } from '#platform';
import { etagOf, encodeIdForUrl, ValidationErrors, Problem, requireMatch } from '#http';
import { Sequence, type Queryable } from '#database';
import { Injectable } from '@nestjs/common';
import { FeedOperations, type FeedPlan } from './feed-operations.js';
import type { FeedList } from './feed-reader.js';
import type { NewObjectRow } from '#store';
import type { Became } from './feed-writer.js';
import { readThing, readThings, type Kind, type Thing } from './kind.js';
import { ObjectService, type Content } from '#objects';
import { ObjectStore } from '#objects';
import type { ObjectRow } from '#store';
import { pairsOf } from '#store';

/** Stores and reads things of a kind. What other doors put among them and is none of the kind is passed over. */
@Injectable()
export class KindService {
  constructor(
    private readonly feeds: FeedOperations,
    private readonly operations: WriteOperations,
    private readonly objects: ObjectService,
    private readonly store: ObjectStore,
    private readonly sequence: Sequence,
    private readonly config: Config,
  ) {}

  /** @throws Problem not-found */
  async get(kind: Kind, projectId: number, id: string): Promise<string> {
    return textOf(kind, await this.objects.get(projectId, id));
  }

  /** Stores one, or a file of them, each once. Its run throws the Problems of readThings, and conflict. */
  creating(kind: Kind): WriteOperation {
    return this.feeds.add(`${kind.name}.create`, (write) => this.toCreate(kind, write));
  }

  /**
   * Puts one in the place of another, the id of which stands in the address.
   * Its run throws the Problems of readThing, and not-found, precondition-failed, precondition-required.
   */
  replacing(kind: Kind): WriteOperation {
    const operation = {
      name: `${kind.name}.replace`,
      run: (request: WriteRequest, receipt?: Receipt) => this.replace(kind, request, receipt),
    };
    this.operations.register(operation);
    return operation;
  }

  private async toCreate(kind: Kind, write: WriteRequest): Promise<FeedPlan> {
    const { projectId, baseUrl: base } = write;
    const { things, list } = await readThings(kind, jsonBody(write), this.config.limits.bodyLimitBytes);
    // An id made of content and place: three equal ones in a file stay three, and the same file again is the same three.
    const digest = list === undefined ? undefined : digestOf(list);
    const madeId = (index: number): string =>
      digest === undefined ? this.sequence.next().toString() : `${digest}-${String(index)}`;
    const objects = things.map(({ givenId, data }, index) => {
      const objectId = givenId ?? madeId(index);
      return { objectId, subject: objectId, observedAt: null, data };
    });
    const hasIds = things.some(({ givenId }) => givenId !== undefined);
    return {
      batchId: kind.name,
      objects,
      ifExists: 'keep',
      check: hasIds ? (tx, became) => this.refuseOthers(tx, projectId, kind, things, became) : undefined,
      outcome: (became) => (digest === undefined ? createdOf(kind, base, objects, became) : storedOf(became)),
    };
  }

  private async replace(kind: Kind, write: WriteRequest, receipt: Receipt | undefined): Promise<WriteResponse> {
    const {
      projectId,
      preconditions: { ifMatch },
    } = write;
    const objectId = pathParam(write, kind.param);
    const { givenId, data } = await readThing(kind, jsonBody(write), this.config.limits.bodyLimitBytes);
    if (givenId !== undefined && givenId !== objectId) {
      const errors = [{ pointer: '/id', detail: `must be "${objectId}", as it is, or left out` }];
      throw new Problem('invalid-body', { detail: `A ${kind.one} keeps its id.`, errors });
    }
    const contentFor = (row: ObjectRow): Content => {
      // The tag that the client read is of the thing, not of its object.
      requireMatch(ifMatch, etagOf(textOf(kind, row)));
      return { data, subject: row.subject, observedAt: row.observed_at };
    };
    const target = { projectId, objectId, ifMatch: ifMatch === undefined ? undefined : '*' };
    const note = receipt && ((tx: Queryable, row: ObjectRow) => receipt(tx, replacedOf(kind, row)));
    return replacedOf(kind, await this.objects.change(target, contentFor, note));
  }

  /** @throws Problem conflict where an id that was given is that of an object with other content */
  private async refuseOthers(
    tx: Queryable,
    projectId: number,
    kind: Kind,
    things: readonly Thing[],
    became: readonly Became[],
  ): Promise<void> {
    const kept = things.flatMap(({ givenId, ...thing }, index) =>
      givenId === undefined || became[index] !== 'kept' ? [] : { ...thing, id: givenId },
    );
    if (kept.length === 0) return;
    const ids = [...new Set(kept.map(({ id }) => id))];
    const stored = new Map((await this.store.findAll(projectId, ids, tx)).map((row) => [row.object_id, row]));
    const mistakes = new ValidationErrors();
    for (const { id, pointer, data } of kept)
      if (!isSame(kind, stored.get(id), data))
        mistakes.add({ pointer: `${pointer}/id`, detail: `"${id}" exists already, with other content` });
    if (mistakes.count > 0) throw mistakes.problem('conflict');
  }
}

/** All of a kind. */
export function listOf(kind: Kind): FeedList<string> {
  const batch = { kind: 'batch', batchId: kind.name } as const;
  const filter = { kind: 'and', of: [batch, { kind: 'pair', key: kind.key, value: null }] } as const;
  return { is: [kind.name], filter, read: (row) => kind.fromObject(row) };
}

/** The object as one of this kind. @throws Problem not-found where it is none */
function textOf(kind: Kind, row: ObjectRow): string {
  const text = row.batch_id === kind.name ? kind.fromObject(row) : undefined;
  // In the words of an object that is not there: it is no secret, but to this address the same.
  if (text === undefined) throw new Problem('not-found', { detail: 'There is no such object.' });
  return text;
}

/** What came of a file. */
function storedOf(became: readonly Became[]): WriteResponse {
  const stored = became.filter((one) => one === 'added').length;
  const text = JSON.stringify({ stored, unchanged: became.length - stored });
  return { status: stored > 0 ? 201 : 200, text, items: stored };
}

/** What came of one; 200 for one that was there, the same. */
function createdOf(
  kind: Kind,
  base: string,
  [object]: readonly NewObjectRow[],
  [became]: readonly Became[],
): WriteResponse {
  const text = object && kind.fromObject({ object_id: object.objectId, data: object.data });
  if (object === undefined || text === undefined) throw new Error('what was checked and stored is none of its kind');
  const headers = { Location: `${base}/${kind.name}/${encodeIdForUrl(object.objectId)}` };
  return { status: became === 'kept' ? 200 : 201, text, headers, items: 1 };
}

/** With its ETag, so that it can be changed again without being read. */
function replacedOf(kind: Kind, row: ObjectRow): WriteResponse {
  const text = textOf(kind, row);
  return { status: 200, text, headers: { ETag: etagOf(text) }, items: 1 };
}

/** Whether what is stored says what was sent, their numbers written in one way or another. */
function isSame(kind: Kind, stored: ObjectRow | undefined, sent: string): boolean {
  if (stored?.batch_id !== kind.name) return false;
  const [left, right] = [stored.data, sent].map((data) =>
    JSON.stringify(pairsOf(data).map(({ key, valueText }) => [key, canonicalNumber(valueText) ?? valueText])),
  );
  return left === right;
}

/** Of the text without the white space that means nothing; 128 bits are enough never to meet by chance. */
function digestOf(list: string): string {
  const compact = list.replace(/("[^"\\]*(?:\\.[^"\\]*)*")|\s+/g, '$1');
  return hash('sha256', compact, 'hex').slice(0, 32);
}
