import { Injectable } from '@nestjs/common';
import { EncryptedKeys } from './encrypted-keys.js';
import { openBodyPart, sealBodyPart, type BodyPlace } from './sealed-body-part.js';
import { openValue, sealValue, type ValuePlace } from './sealed-value.js';

/**
 * Encrypts what jobs store of a project with encrypted keys: their bodies, which contain the values, and their results, which may. As a
 * whole: the values are found when the job runs.
 */
@Injectable()
export class SealedJobs {
  constructor(private readonly encryption: EncryptedKeys) {}

  /** Seals a part of a body, where the project has encrypted keys. */
  async sealBody(place: BodyPlace, bytes: Buffer): Promise<Buffer> {
    const { current } = this.encryption;
    await this.encryption.requireLists();
    this.encryption.requireReadable(place.projectId);
    if (current === null) return bytes;
    return this.encryption.listOf(place.projectId) === null ? bytes : sealBodyPart(current, place, bytes);
  }

  /** Opens a part of a body, where it is sealed. */
  async openBody(place: BodyPlace, bytes: Buffer): Promise<Buffer> {
    const { dataKeys } = this.encryption;
    this.encryption.requireReadable(place.projectId);
    return dataKeys.length === 0 ? bytes : openBodyPart(dataKeys, place, bytes);
  }

  /** Seals the result of a job, JSON, where the project has encrypted keys. The sealed text is JSON too. */
  async sealResult(projectId: number, jobId: string, result: string): Promise<string> {
    const { current } = this.encryption;
    await this.encryption.requireLists();
    this.encryption.requireReadable(projectId);
    if (current === null) return result;
    return this.encryption.listOf(projectId) === null
      ? result
      : sealValue(current, resultPlace(projectId, jobId), result);
  }

  /** Opens the result of a job, where it is sealed. */
  openResult(projectId: number, jobId: string, result: string): string {
    this.encryption.requireReadable(projectId);
    return openValue(this.encryption.dataKeys, resultPlace(projectId, jobId), result) ?? result;
  }
}

/** Different from the places of all values of objects, whose keys are not empty. */
export function resultPlace(projectId: number, jobId: string): ValuePlace {
  return { projectId, objectId: jobId, key: '' };
}
