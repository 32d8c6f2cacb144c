import { jsonBodyOf, Operations, type Operation, type Outcome, type Write } from '#jobs';
import { Config, countOf, etagOf, Problem, requireMatch, Sequence, type InputError, type Queryable } from '#platform';
import { FeedWriter, idInUrl, ObjectService, pairsOf, type Became, type FeedObject, type ObjectRow } from '#warehouse';
import { Injectable, type OnModuleInit } from '@nestjs/common';
import { FACTORIES } from './factory.js';
import { readThing, readThings, type Thing } from './incoming.js';
import { canonicalNumber } from './number-text.js';
import { SPROCKETS } from './sprocket.js';
import { ofKind } from './thing-reader.js';
import type { Kind } from './thing.js';

/** What the routes that write factories and sprockets do, at once or as a job. */
@Injectable()
export class SprocketsOperations implements OnModuleInit {
  readonly createFactories: Operation = { name: 'factories.create', run: (write) => this.create(FACTORIES, write) };
  readonly createSprockets: Operation = { name: 'sprockets.create', run: (write) => this.create(SPROCKETS, write) };
  readonly replaceSprocket: Operation = { name: 'sprockets.replace', run: (write) => this.replace(write) };

  constructor(
    private readonly writer: FeedWriter,
    private readonly objects: ObjectService,
    private readonly operations: Operations,
    private readonly sequence: Sequence,
    private readonly config: Config,
  ) {}

  onModuleInit(): void {
    for (const one of [this.createFactories, this.createSprockets, this.replaceSprocket]) this.operations.add(one);
  }

  private async create(kind: Kind, write: Write): Promise<Outcome> {
    const { projectId, receipt } = write;
    const { things, digest } = readThings(kind, jsonBodyOf(write), this.config.limits.bodyLimitBytes);
    // An id made of content and place: three equal ones in a file stay three, and the same file again is the same three.
    const madeId = (index: number): string =>
      digest === undefined ? this.sequence.next().toString() : `${digest}-${String(index)}`;
    const objects = things.map(({ givenId, data }, index) => {
      const objectId = givenId ?? madeId(index);
      return { objectId, subject: objectId, observedAt: null, data };
    });
    const outcome = (became: Became[]): Outcome =>
      digest === undefined ? createdOf(kind, write.base, objects, became) : storedOf(became);
    const note = async (tx: Queryable, became: Became[]): Promise<void> => {
      await this.refuseOthers(tx, write.projectId, kind, things, became);
      await receipt?.(tx, outcome(became));
    };
    const isNoted = receipt !== undefined || things.some(({ givenId }) => givenId !== undefined);
    const feed = { projectId, batchId: kind.name, objects, ifExists: 'keep' } as const;
    return outcome(await this.writer.write(feed, isNoted ? note : undefined));
  }

  /** @throws Problem conflict where an id that was given is that of an object with other content */
  private async refuseOthers(
    tx: Queryable,
    projectId: number,
    kind: Kind,
    things: readonly Thing[],
    became: readonly Became[],
  ): Promise<void> {
    const errors: InputError[] = [];
    for (const [index, { givenId, pointer, data }] of things.entries()) {
      if (givenId === undefined || became[index] !== 'kept') continue;
      const stored = await this.objects.get(projectId, givenId, tx);
      if (stored.batch_id === kind.name && isSame(stored.data, data)) continue;
      errors.push({ pointer: `${pointer}/id`, detail: `"${givenId}" exists already, with other content` });
    }
    if (errors.length > 0) throw new Problem('conflict', { detail: countOf(errors.length), errors });
  }

  private async replace(write: Write): Promise<Outcome> {
    const { projectId, ifMatch, params, receipt } = write;
    const objectId = params.sprocket_id ?? '';
    const { givenId, data } = readThing(SPROCKETS, jsonBodyOf(write), this.config.limits.bodyLimitBytes);
    if (givenId !== undefined && givenId !== objectId) {
      const errors = [{ pointer: '/id', detail: `must be "${objectId}", as it is, or left out` }];
      throw new Problem('invalid-body', { detail: 'A sprocket keeps its id.', errors });
    }
    const changed = (row: ObjectRow): ReturnType<Parameters<ObjectService['change']>[1]> => {
      // The tag that the client read is the sprocket's, not the object's.
      requireMatch(ifMatch, etagOf(ofKind(SPROCKETS, row)));
      return { data, subject: row.subject, observedAt: row.observed_at };
    };
    const target = { projectId, objectId, ifMatch: ifMatch === undefined ? undefined : '*' };
    const note = receipt && ((tx: Queryable, row: ObjectRow) => receipt(tx, replacedOf(row)));
    return replacedOf(await this.objects.change(target, changed, note));
  }
}

/** What came of a file. */
function storedOf(became: readonly Became[]): Outcome {
  const stored = became.filter((one) => one === 'added').length;
  const text = JSON.stringify({ stored, unchanged: became.length - stored });
  return { status: stored > 0 ? 201 : 200, text, items: stored };
}

/** What came of one; 200 for one that was there, the same. */
function createdOf(kind: Kind, base: string, [object]: readonly FeedObject[], [became]: readonly Became[]): Outcome {
  const text = object && kind.fromObject({ object_id: object.objectId, data: object.data });
  if (object === undefined || text === undefined) throw new Error('what was checked and stored is none of its kind');
  const headers = { Location: `${base}/${kind.name}/${idInUrl(object.objectId)}` };
  return { status: became === 'kept' ? 200 : 201, text, headers, items: 1 };
}

/** With its ETag, so that it can be changed again without being read. */
function replacedOf(row: ObjectRow): Outcome {
  const text = ofKind(SPROCKETS, row);
  return { status: 200, text, headers: { ETag: etagOf(text) }, items: 1 };
}

/** Whether two lists of pairs say the same, their numbers written in one way or another. */
function isSame(stored: string, sent: string): boolean {
  const [left, right] = [stored, sent].map((data) =>
    JSON.stringify(pairsOf(data).map(({ key, valueText }) => [key, canonicalNumber(valueText) ?? valueText])),
  );
  return left === right;
}
