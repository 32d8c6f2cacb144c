import { setTimeout as sleep } from 'node:timers/promises';
import { isConnectionLoss } from '#database';
import { EncryptedKeys } from '#encryption';
import { Maintenance } from '#jobs';
import { describeError } from '#platform';
import { Injectable, Logger, type BeforeApplicationShutdown } from '@nestjs/common';
import { SealedProjectStore } from './sealed-project.store.js';
import { ReencryptionStep } from './reencryption-step.js';
import { startWalk, type Walk } from './walk.js';

/** How often it is looked up which projects have to be sealed. */
const EVERY_MS = 2_000;
/** The pause before objects whose batch was locked, or segments of the index, are looked at again. */
const LOCKED_PAUSE_MS = 1_000;

/** Listed among the tasks of the maintenance. */
const TASK = 'encrypt and decrypt stored values';

/** Seals and opens the stored values of projects whose list, or whose data key, has changed, in steps; projects take turns. */
@Injectable()
export class Reencryption implements BeforeApplicationShutdown {
  private readonly log = new Logger('encryption');
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;
  /** The last error of the current run. */
  private failure: string | undefined;

  constructor(
    private readonly projects: SealedProjectStore,
    private readonly step: ReencryptionStep,
    private readonly encryption: EncryptedKeys,
    private readonly maintenance: Maintenance,
  ) {
    const { current } = encryption;
    if (current === null) return;
    maintenance.addBackground(TASK);
    maintenance.whenStarted(() => {
      this.running ??= this.runAlways(current.id);
    });
  }

  async beforeApplicationShutdown(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async runAlways(keyId: string): Promise<void> {
    while (!this.stopping.signal.aborted) {
      try {
        await this.run(keyId);
      } catch (error) {
        this.maintenance.record(TASK, true, describeError(error));
        // The heartbeat of the job runner logs an outage of the database.
        if (!isConnectionLoss(error)) this.log.warn(`encrypting failed; it is tried again: ${describeError(error)}`);
      }
      await this.pause(EVERY_MS);
    }
  }

  /** Does everything that is due. Each step is followed by a pause of its duration, so that other work has half of the time. */
  private async run(keyId: string): Promise<void> {
    this.failure = undefined;
    let waiting = await this.findDue(keyId, []);
    let foundAtMs = performance.now();
    while (waiting.length > 0) {
      this.maintenance.record(TASK, true);
      const unfinished: Walk[] = [];
      for (const walk of waiting) {
        if (this.stopping.signal.aborted) return;
        const startMs = performance.now();
        const next = await this.attempt(walk);
        const workedMs = performance.now() - startMs;
        if (next !== null) unfinished.push({ ...next, workedMs: walk.workedMs + workedMs });
        const isAgain = next !== null && (next.seq < walk.seq || next.isBusy);
        await this.pause(isAgain ? LOCKED_PAUSE_MS : workedMs);
      }
      waiting = unfinished;
      // A long walk does not keep projects waiting whose list has changed meanwhile.
      if (performance.now() - foundAtMs < EVERY_MS) continue;
      waiting.push(...(await this.findDue(keyId, waiting)));
      foundAtMs = performance.now();
    }
    this.maintenance.record(TASK, false, this.failure);
  }

  /** @returns walks of the projects that are due, and not among the others */
  private async findDue(keyId: string, others: readonly Walk[]): Promise<Walk[]> {
    await this.encryption.requireLists();
    // What is sealed with a key that is not here would be sealed again, and its key forgotten.
    if (this.encryption.missingKeys.length > 0) return [];
    for (const projectId of await this.projects.beginRotation(keyId)) {
      this.log.log(`the values of project ${String(projectId)} are encrypted with the data key ${keyId} from now on`);
    }
    for (const id of await this.projects.forgetKeys(keyId)) this.log.log(`the data key ${id} is not needed any more`);
    const known = new Set(others.map(({ project }) => project.projectId));
    return (await this.projects.listDue(keyId)).filter(({ projectId }) => !known.has(projectId)).map(startWalk);
  }

  /** A project whose step fails does not stop the others; it is tried again in the next run. */
  private async attempt(walk: Walk): Promise<Walk | null> {
    const projectId = String(walk.project.projectId);
    try {
      const next = await this.step.take(walk);
      if (walk.phase === 'finish' && next === null) {
        const seconds = (walk.workedMs / 1_000).toFixed(1);
        this.log.log(
          `the values of project ${projectId} are encrypted; ${String(walk.changed)} objects were changed in ${seconds} s of work`,
        );
      }
      return next;
    } catch (error) {
      if (isConnectionLoss(error)) throw error;
      this.failure = describeError(error);
      this.log.warn(`encrypting the values of project ${projectId} failed; it is tried again: ${describeError(error)}`);
      return null;
    }
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal, ref: false }).catch(() => undefined);
  }
}
