import { errorCode } from '#database';
import { describeError } from '#platform';

/** More objects of a project that fail alone have a common cause: the run leaves the others to the next one. */
const FAILED_OBJECTS_MAX = 100;

/** Steps of a project that fail for longer, in all, keep the others waiting: two or three that take as long as a statement may. */
const FAILED_MS_MAX = 300_000;

const IDS_LOGGED = 10;

/** An object as the steps find it. */
export interface FoundObject {
  seq: string;
  object_id: string;
}

/** What one run could not delete of a project. */
export class RetentionFailures {
  /** The sequence numbers of these objects, which the rest of the run leaves out. */
  readonly seqs: string[] = [];
  /** How long all steps that failed took, in milliseconds. */
  tookMs = 0;
  private readonly ids: string[] = [];
  private readonly reasons = new Map<string, number>();
  private lastError: unknown;

  get count(): number {
    return this.seqs.length;
  }

  get hasError(): boolean {
    return this.reasons.size > 0;
  }

  /** Whether the rest of the project waits for the next run. */
  get isFull(): boolean {
    return this.count >= FAILED_OBJECTS_MAX || this.tookMs >= FAILED_MS_MAX;
  }

  /** @param object null where the error is of none */
  add(error: unknown, object: FoundObject | null): void {
    const reason = errorCode(error) ?? (error as Error).name;
    this.reasons.set(reason, (this.reasons.get(reason) ?? 0) + 1);
    this.lastError = error;
    if (object === null) return;
    this.seqs.push(object.seq);
    if (this.ids.length < IDS_LOGGED) this.ids.push(object.object_id);
  }

  /** How many objects, the SQLSTATEs or names of the errors, and the last of them. */
  toString(): string {
    const reasons = [...this.reasons].map(([reason, count]) => `${reason}: ${String(count)}`).join(', ');
    const objects = `${String(this.count)} ${this.count === 1 ? 'object' : 'objects'} could not be deleted`;
    const what = this.count === 0 ? 'objects wait for the next run' : objects;
    return `${what} (${reasons}); the last error: ${describeError(this.lastError)}`;
  }

  /** The ids of the first ones. */
  idsText(): string {
    if (this.count === 0) return '';
    const more = this.count > this.ids.length ? ', …' : '';
    return `; ids: ${this.ids.map((id) => JSON.stringify(id)).join(', ')}${more}`;
  }
}
