import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { Logger, type OnApplicationShutdown } from '@nestjs/common';
import type { Database } from './database.js';
import { NotificationListener } from './notification-listener.js';

const CHANNEL = 'stowage_changes';
/** Several commits of a project within this time wake its readers once. */
const WAKE_EVERY_MS = 10;
/** The pause between two notifications: each is a transaction, which takes a lock that all notifying transactions share. */
const SEND_EVERY_MS = 25;
/** A payload has at most 8,000 bytes. */
const IDS_OF_PAYLOAD = 500;

/** Not durable: a lost notification delays a reader until its next poll. Without this, each would wait for the disk. */
const NOTIFY = {
  name: 'changes.notify',
  text: `SELECT set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`,
};

/**
 * Tells this process and the others which projects may have new changes. Notifications are hints, sent after the commit and outside
 * of its transaction: NOTIFY inside it would make commits wait for each other.
 */
export class ChangeNotifier implements OnApplicationShutdown {
  private readonly processId = randomUUID();
  private readonly receivers: ((projectIds: readonly number[]) => void)[] = [];
  private readonly listener: NotificationListener;
  private isListening = false;
  private readonly unseen = new Set<number>();
  private readonly unsent = new Set<number>();
  private timer: NodeJS.Timeout | undefined;
  private wokenAtMs = -Infinity;
  private sending: Promise<void> | undefined;
  private isStopped = false;

  constructor(private readonly database: Database) {
    this.listener = new NotificationListener(
      database,
      CHANNEL,
      (payload) => {
        this.receive(payload);
      },
      new Logger('changes'),
    );
  }

  /** Calls back with the projects that may have new changes; those of other processes after `listen`. */
  onChange(receiver: (projectIds: readonly number[]) => void): void {
    this.receivers.push(receiver);
  }

  /** Receives the notifications of other processes from now on, on a connection of its own. Idempotent. */
  listen(): void {
    if (this.isListening || this.isStopped) return;
    this.isListening = true;
    this.listener.start();
  }

  /** Call it after a commit that may have changed objects of the project. */
  mark(projectId: number): void {
    if (this.isStopped) return;
    this.unseen.add(projectId);
    this.unsent.add(projectId);
    const dueInMs = this.wokenAtMs + WAKE_EVERY_MS - performance.now();
    this.timer ??= setTimeout(
      () => {
        this.wake();
      },
      Math.max(0, dueInMs),
    ).unref();
  }

  async onApplicationShutdown(): Promise<void> {
    this.isStopped = true;
    clearTimeout(this.timer);
    await Promise.all([this.sending, this.isListening ? this.listener.stop() : undefined]);
  }

  private wake(): void {
    this.timer = undefined;
    this.wokenAtMs = performance.now();
    const projectIds = [...this.unseen];
    this.unseen.clear();
    for (const receiver of this.receivers) receiver(projectIds);
    this.sending ??= this.send().finally(() => (this.sending = undefined));
  }

  private async send(): Promise<void> {
    while (this.unsent.size > 0 && !this.isStopped) {
      const ids = [...this.unsent].slice(0, IDS_OF_PAYLOAD);
      for (const id of ids) this.unsent.delete(id);
      // Readers of other processes find the changes at their next poll.
      await this.database.reserved.query(NOTIFY, [CHANNEL, `${this.processId}:${ids.join()}`]).catch(() => undefined);
      await sleep(SEND_EVERY_MS, undefined, { ref: false });
    }
  }

  private receive(payload: string): void {
    const [processId, ids = ''] = payload.split(':');
    if (processId === this.processId) return;
    const projectIds = ids.split(',').map(Number);
    for (const receiver of this.receivers) receiver(projectIds);
  }
}
