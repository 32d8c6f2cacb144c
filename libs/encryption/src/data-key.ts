import { createHmac, hkdfSync } from 'node:crypto';
import type { Config } from '#platform';
import { KeyedHash } from './keyed-hash.js';

const KEY_BYTES = 32;
const ID_BYTES = 6;
/** The keys of as many projects are kept; deriving those of one takes some microseconds. */
const PROJECTS_MAX = 1_000;

/** The keys with which the values of one project are encrypted. */
export interface ProjectKeys {
  projectId: number;
  /** AES-256-GCM. */
  cipher: Buffer;
  /** From which the nonce of a value is computed. */
  nonce: KeyedHash;
}

/** The key of STOWAGE_DATA_KEY, from which the keys of each project are derived. */
export class DataKey {
  /** Identifies the key in sealed values and does not reveal it: 8 characters. */
  readonly id: string;
  private readonly projects = new Map<number, ProjectKeys>();

  constructor(private readonly bytes: Buffer) {
    const digest = createHmac('sha256', bytes).update('stowage data key id').digest();
    this.id = digest.toString('base64url', 0, ID_BYTES);
  }

  keysOf(projectId: number): ProjectKeys {
    const known = this.projects.get(projectId);
    if (known !== undefined) return known;
    if (this.projects.size >= PROJECTS_MAX) this.projects.clear();
    const keys = {
      projectId,
      cipher: this.derive(`values ${String(projectId)}`),
      nonce: new KeyedHash(this.derive(`nonces ${String(projectId)}`)),
    };
    this.projects.set(projectId, keys);
    return keys;
  }

  /** A key for another purpose than the values of a project. */
  derive(purpose: string): Buffer {
    return Buffer.from(hkdfSync('sha256', this.bytes, '', `stowage data ${purpose}`, KEY_BYTES));
  }
}

/** The data keys of the settings, the current one first; none without STOWAGE_DATA_KEY. */
export function dataKeysOf({ encryption: { dataKey, previousDataKey } }: Pick<Config, 'encryption'>): DataKey[] {
  return [dataKey, previousDataKey].flatMap((bytes) => (bytes === null ? [] : new DataKey(bytes)));
}
