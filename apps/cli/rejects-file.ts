import { closeSync, openSync, writeSync } from 'node:fs';
import type { BatchFile } from './batch-file.js';
import { readLines } from './read-lines.js';
import type { LoadError, LoadErrors } from './problem-response.js';
import { UsageError } from './usage-error.js';

/** The pointer of an object, and the rest of the pointer. */
const OBJECT_POINTER = /^(\/lines\/(\d+)|(?:\/(?:objects|factories|sprockets|features))?\/\d+)(.*)$/s;

/** The file of rejected objects and files, one JSON line each. The first one creates or overwrites it. */
export class RejectsFile {
  private file: number | undefined;

  constructor(readonly path: string) {}

  get isWritten(): boolean {
    return this.file !== undefined;
  }

  /** @param batch undefined for a source that is not a batch; otherwise the rejected lines are copied from it */
  async add(name: string, { errors, unlistedCount }: LoadErrors, batch: BatchFile | undefined): Promise<void> {
    const parts = groupByObject(errors);
    const numbers = parts.flatMap(({ line }) => (line === undefined ? [] : [line]));
    const lines = batch === undefined || numbers.length === 0 ? undefined : await readLines(batch, new Set(numbers));
    const batchId = batch?.content.batchId ?? null;
    const written = parts.map(({ pointer, detail, line }) =>
      JSON.stringify({ file: name, batch_id: batchId, pointer, detail, line: lines?.get(line ?? 0) }),
    );
    if (unlistedCount > 0) {
      const detail = `${String(unlistedCount)} more errors, which the server does not list`;
      written.push(JSON.stringify({ file: name, batch_id: batchId, pointer: '', detail }));
    }
    this.write(`${written.join('\n')}\n`);
  }

  close(): void {
    if (this.file !== undefined) closeSync(this.file);
  }

  private write(text: string): void {
    try {
      this.file ??= openSync(this.path, 'w');
      // Synchronous: a signal or the rejects of another file cannot interrupt it.
      writeSync(this.file, text);
    } catch (error) {
      throw new UsageError(`cannot write ${this.path}: ${(error as Error).message}`);
    }
  }
}

/** Returns one entry for each object, also if it has several errors, so that its line can be corrected and sent again. */
function groupByObject(errors: readonly LoadError[]): (LoadError & { line?: number })[] {
  const entries = new Map<string, LoadError & { line?: number }>();
  for (const { pointer, detail } of errors) {
    const [, part = pointer, number, rest = ''] = OBJECT_POINTER.exec(pointer) ?? [];
    const known = entries.get(part);
    if (known === undefined) entries.set(part, { pointer, detail, ...(number && { line: Number(number) }) });
    else {
      const before = known.pointer === part ? known.detail : `${known.pointer.slice(part.length)}: ${known.detail}`;
      entries.set(part, {
        ...known,
        pointer: part,
        detail: `${before}; ${rest === '' ? detail : `${rest}: ${detail}`}`,
      });
    }
  }
  return [...entries.values()];
}
