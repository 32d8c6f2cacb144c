import type { Telemetry } from '#telemetry';
import { Logger } from '@nestjs/common';

const LOGGED_EVERY_MS = 60_000;

/** Reports encrypted values that do not open, because they were damaged or moved, and are shown as they are stored. */
export class UnopenedValues {
  private readonly log = new Logger('encryption');
  private unlogged = 0;
  private silentUntilMs = -Infinity;

  constructor(private readonly telemetry: Telemetry) {}

  /** Called for each value, whenever it is read. One of them is logged in a minute, by the ids of its object. */
  add(projectId: number, objectId: string): void {
    this.telemetry.metrics?.encryptionUnopened.inc();
    this.unlogged++;
    const nowMs = performance.now();
    if (nowMs < this.silentUntilMs) return;
    this.log.error(
      `a value of the object ${JSON.stringify(objectId)} of the project ${String(projectId)} is encrypted and cannot be decrypted: it was ` +
        `damaged or moved; ${String(this.unlogged)} such values were read since the last message`,
    );
    this.unlogged = 0;
    this.silentUntilMs = nowMs + LOGGED_EVERY_MS;
  }
}
