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
/** The pause before objects whose batch was locked, or segments of the index, are looked at again. It doubles while nothing can be done. */
const RETRY_AFTER_MS = 1_000;
const RETRY_AFTER_MAX_MS = 5_000;
/** The walks that this process has at a time: so few that each usually has its turn before the lease of its project expires. */
const WALKS_MAX = 100;

/** Listed among the tasks of the maintenance. */
const TASK = 'encrypt and decrypt stored values';

/** A walk that this process has. */
interface Turn {
  walk: Walk;
  /** The time that all steps took. */
  workedMs: number;
  /** Until then others work on what is left. */
  readyAtMs: number;
}

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
    let turns = await this.findDue(keyId, []);
    let foundAtMs = performance.now();
    while (turns.length > 0) {
      this.maintenance.record(TASK, true);
      const unfinished: Turn[] = [];
      for (const turn of turns) {
        if (this.stopping.signal.aborted) return this.projects.giveBack(idsOf(turns));
        const next = turn.readyAtMs > performance.now() ? turn : await this.take(turn);
        if (next !== null) unfinished.push(next);
      }
      turns = unfinished;
      await this.pause(untilReadyMs(turns));
      // A long walk does not keep projects waiting whose list has changed meanwhile.
      if (performance.now() - foundAtMs < EVERY_MS) continue;
      turns.push(...(await this.findDue(keyId, turns)));
      foundAtMs = performance.now();
    }
    this.maintenance.record(TASK, false, this.failure);
  }

  /** @returns walks of more projects that are due, and that no other process has */
  private async findDue(keyId: string, turns: readonly Turn[]): Promise<Turn[]> {
    await this.encryption.requireLists();
    // What is sealed with a key that is not here would be sealed again, and its key forgotten.
    if (this.encryption.missingKeys.length > 0) return [];
    for (const projectId of await this.projects.beginRotation(keyId)) {
      this.log.log(`the values of project ${String(projectId)} are encrypted with the data key ${keyId} from now on`);
    }
    for (const id of await this.projects.forgetKeys(keyId)) this.log.log(`the data key ${id} is not needed any more`);
    const taken = await this.projects.take(keyId, idsOf(turns), WALKS_MAX - turns.length);
    return taken.map((project) => ({ walk: startWalk(project), workedMs: 0, readyAtMs: 0 }));
  }

  /** Takes a step, and rests. @returns null where the walk has ended */
  private async take({ walk, workedMs: before }: Turn): Promise<Turn | null> {
    const startMs = performance.now();
    const next = await this.attempt(walk);
    if (next === null) await this.projects.giveBack([walk.project.projectId]);
    const tookMs = performance.now() - startMs;
    const workedMs = before + tookMs;
    await this.pause(tookMs);
    if (next === null) return null;
    if (next.phase === 'done') {
      this.logEnd(next, workedMs);
      return null;
    }
    const retryMs = Math.min(RETRY_AFTER_MS * 2 ** (next.retries - 1), RETRY_AFTER_MAX_MS);
    return { walk: next, workedMs, readyAtMs: next.retries > walk.retries ? performance.now() + retryMs : 0 };
  }

  /** A project whose step fails does not stop the others; it is tried again in the next run. */
  private async attempt(walk: Walk): Promise<Walk | null> {
    const { projectId } = walk.project;
    try {
      return await this.step.take(walk);
    } catch (error) {
      if (isConnectionLoss(error)) throw error;
      this.failure = describeError(error);
      this.log.warn(
        `encrypting the values of project ${String(projectId)} failed; it is tried again: ${describeError(error)}`,
      );
      return null;
    }
  }

  private logEnd({ project: { projectId }, changed }: Walk, workedMs: number): void {
    const seconds = (workedMs / 1_000).toFixed(1);
    this.log.log(
      `the values of project ${String(projectId)} are encrypted; ${String(changed)} objects were changed in ${seconds} s of work`,
    );
  }

  private async pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.stopping.signal, ref: false }).catch(() => undefined);
  }
}

function idsOf(turns: readonly Turn[]): number[] {
  return turns.map(({ walk }) => walk.project.projectId);
}

/** Until one of the walks can go on; at most until it is looked up again which projects are due. */
function untilReadyMs(turns: readonly Turn[]): number {
  if (turns.length === 0) return 0;
  const readyAtMs = turns.reduce((least, turn) => Math.min(least, turn.readyAtMs), Infinity);
  return Math.min(Math.max(0, readyAtMs - performance.now()), EVERY_MS);
}
