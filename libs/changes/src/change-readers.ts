import { ChangeNotifier } from '#database';
import { Problem, projectIdOf, type HttpContext } from '#http';
import { Config } from '#platform';
import { Injectable, type OnModuleDestroy } from '@nestjs/common';
import { ChangeStore } from './change.store.js';

/** A process that stops between a commit and its notification wakes nobody, so waiting readers look this often. */
const POLL_MS = 1_000;
/** Of the connections of the process: the others are for requests that do not wait. */
const TOTAL_SHARE = 0.75;
const PROJECT_SHARE = 0.6;
const KEY_SHARE = 0.55;
const RETRY_AFTER_SECONDS = '5';

/** A reader that waits for changes. It holds no connection to the database. */
export class ChangeReader {
  private isWoken = false;
  private hasLeft = false;
  private resolve: (() => void) | undefined;

  /** Whether its client has left, or the server stops. */
  get hasEnded(): boolean {
    return this.hasLeft;
  }

  /** Call it before reading, so that a change after it is noticed by `wait`. */
  beginReading(): void {
    this.isWoken = false;
  }

  /** Resolves when there may be changes since `beginReading`, after a time, or when the reader ends. @returns whether there may be changes */
  async wait(ms: number): Promise<boolean> {
    if (!this.isWoken && !this.hasLeft) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, ms);
        this.resolve = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      this.resolve = undefined;
    }
    return this.isWoken;
  }

  wake(): void {
    this.isWoken = true;
    this.resolve?.();
  }

  end(): void {
    this.hasLeft = true;
    this.resolve?.();
  }
}

/** The readers of this process that wait for changes, by project. */
@Injectable()
export class ChangeReaders implements OnModuleDestroy {
  private readonly byProject = new Map<number, Set<ChangeReader>>();
  private readonly countByKey = new Map<string, number>();
  /** The last position of each project when it was looked up last. */
  private readonly positions = new Map<number, string>();
  private readonly max: Readonly<{ total: number; project: number; key: number }>;
  private total = 0;
  private timer: NodeJS.Timeout | undefined;
  private isPolling = false;
  private isStopped = false;

  constructor(
    private readonly notifier: ChangeNotifier,
    private readonly store: ChangeStore,
    { http: { maxConnections } }: Config,
  ) {
    const share = (part: number): number => Math.max(1, Math.floor(maxConnections * part));
    this.max = { total: share(TOTAL_SHARE), project: share(PROJECT_SHARE), key: share(KEY_SHARE) };
    notifier.onChange((projectIds) => {
      for (const projectId of projectIds) this.wake(projectId);
    });
  }

  /** Ends all readers, so that their responses end while the server still accepts connections of others. */
  onModuleDestroy(): void {
    this.isStopped = true;
    clearInterval(this.timer);
    for (const readers of this.byProject.values()) for (const reader of readers) reader.end();
  }

  /**
   * Adds a reader, which is removed when its response has ended.
   * @throws Problem rate-limited for too many readers of a key or project; unavailable for too many in all, and while the server stops
   */
  open({ request, reply }: HttpContext): ChangeReader {
    const projectId = projectIdOf(request);
    const keyId = request.principal?.keyId ?? '';
    this.requireRoom(projectId, keyId);
    const reader = new ChangeReader();
    const readers = this.byProject.get(projectId) ?? new Set();
    this.byProject.set(projectId, readers.add(reader));
    this.countByKey.set(keyId, (this.countByKey.get(keyId) ?? 0) + 1);
    this.total++;
    const onClose = (): void => {
      reader.end();
      this.remove(projectId, keyId, reader);
    };
    if (reply.raw.closed) onClose();
    else reply.raw.once('close', onClose);
    this.notifier.listen();
    this.timer ??= setInterval(() => void this.poll(), POLL_MS).unref();
    return reader;
  }

  private requireRoom(projectId: number, keyId: string): void {
    if (this.isStopped) throw new Problem('unavailable', { detail: 'The server stops; retry the request.' });
    const { key, project, total } = this.max;
    const limits = [
      ['key', this.countByKey.get(keyId) ?? 0, key],
      ['project', this.byProject.get(projectId)?.size ?? 0, project],
    ] as const;
    for (const [name, count, max] of limits) {
      if (count < max) continue;
      throw new Problem('rate-limited', {
        detail: `This ${name} has ${String(max)} readers that wait for changes, the most that it may have at a time.`,
        headers: { 'Retry-After': RETRY_AFTER_SECONDS },
      });
    }
    if (this.total >= total)
      throw new Problem('unavailable', { detail: 'Too many readers wait for changes; retry later.' });
  }

  private remove(projectId: number, keyId: string, reader: ChangeReader): void {
    const readers = this.byProject.get(projectId);
    readers?.delete(reader);
    if (readers?.size === 0) {
      this.byProject.delete(projectId);
      this.positions.delete(projectId);
    }
    const ofKey = (this.countByKey.get(keyId) ?? 1) - 1;
    if (ofKey === 0) this.countByKey.delete(keyId);
    else this.countByKey.set(keyId, ofKey);
    if (--this.total > 0) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private wake(projectId: number): void {
    for (const reader of this.byProject.get(projectId) ?? []) reader.wake();
  }

  /** Looks for changes of each project with readers, one after the other. */
  private async poll(): Promise<void> {
    if (this.isPolling) return;
    this.isPolling = true;
    try {
      for (const projectId of [...this.byProject.keys()]) {
        const head = await this.store.head(projectId);
        if (head?.is_old === true) await this.store.touch(projectId);
        if (head !== null && !head.has_pending && head.last_position === this.positions.get(projectId)) continue;
        if (head !== null && this.byProject.has(projectId)) this.positions.set(projectId, head.last_position);
        this.wake(projectId);
      }
    } catch {
      // Of the database, whose outage others log; the next poll tries again.
    } finally {
      this.isPolling = false;
    }
  }
}
