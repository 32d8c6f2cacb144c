import { Problem, type PageRequest, type Slice } from '#platform';
import { ObjectListStore, ObjectService, type ObjectRow } from '#warehouse';
import { Injectable } from '@nestjs/common';
import type { Kind } from './thing.js';

/** A page of a kind: the objects of its batch that look like it, and as JSON those of them that are. */
interface ThingPage extends Awaited<ReturnType<ObjectListStore['page']>> {
  slice: Slice<ObjectRow>;
  texts: string[];
}

/** Reads factories and sprockets. What other doors put among them and is none is passed over. */
@Injectable()
export class ThingReader {
  constructor(
    private readonly objects: ObjectService,
    private readonly lists: ObjectListStore,
  ) {}

  /** @throws Problem not-found */
  async get(kind: Kind, projectId: number, id: string): Promise<string> {
    return ofKind(kind, await this.objects.get(projectId, id));
  }

  async page(kind: Kind, projectId: number, page: PageRequest): Promise<ThingPage> {
    const batch = { kind: 'batch', batchId: kind.name } as const;
    const filter = { kind: 'and', of: [batch, { kind: 'pair', key: kind.key, value: null }] } as const;
    const found = await this.lists.page(projectId, filter, page);
    return { ...found, texts: found.slice.items.flatMap((row) => kind.fromObject(row) ?? []) };
  }
}

/** The object as one of this kind. @throws Problem not-found where it is none */
export function ofKind(kind: Kind, row: ObjectRow): string {
  const text = row.batch_id === kind.name ? kind.fromObject(row) : undefined;
  // In the words of an object that is not there: it is no secret, but to this address the same.
  if (text === undefined) throw new Problem('not-found', { detail: 'There is no such object.' });
  return text;
}
