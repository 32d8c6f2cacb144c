import { closeSync, openSync, writeSync } from 'node:fs';
import type { BatchFile } from './batch-file.js';
import { linesOf } from './lines-of.js';
import type { Mistake, Mistakes } from './problem-answer.js';
import { UsageError } from './usage-error.js';

const PART = /^(\/lines\/(\d+)|\/(?:objects|factories|sprockets)\/\d+)(.*)$/s;

/** The file of what was rejected, one JSON line each. It is begun anew with the first of them, and not made without. */
export class Rejects {
  private file: number | undefined;

  constructor(readonly path: string) {}

  get isWritten(): boolean {
    return this.file !== undefined;
  }

  /** @param batch undefined for a source that was none; its lines are copied where it can be read again */
  async add(name: string, { mistakes, unlisted }: Mistakes, batch: BatchFile | undefined): Promise<void> {
    const parts = byObject(mistakes);
    const numbers = parts.flatMap(({ line }) => (line === undefined ? [] : [line]));
    const lines = batch === undefined || numbers.length === 0 ? undefined : await linesOf(batch, new Set(numbers));
    const batchId = batch?.content.batchId ?? null;
    const written = parts.map(({ pointer, detail, line }) =>
      JSON.stringify({ file: name, batch_id: batchId, pointer, detail, line: lines?.get(line ?? 0) }),
    );
    if (unlisted > 0) {
      const detail = `${String(unlisted)} more mistakes, which the server does not list`;
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
      // At once: nothing that a signal or another file's rejects could come between.
      writeSync(this.file, text);
    } catch (error) {
      throw new UsageError(`cannot write ${this.path}: ${(error as Error).message}`);
    }
  }
}

/** One entry for each object, though it has several mistakes: so that its line stands there once, to be mended and sent. */
function byObject(mistakes: readonly Mistake[]): (Mistake & { line?: number })[] {
  const entries = new Map<string, Mistake & { line?: number }>();
  for (const { pointer, detail } of mistakes) {
    const [, part = pointer, number, rest = ''] = PART.exec(pointer) ?? [];
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
