import type { Queryable } from '#database';
import { ClearTextKeys, EncryptedKeys } from '#encryption';
import { Problem, ValidationErrors } from '#http';
import { Injectable } from '@nestjs/common';
import { ENCRYPTED_KEYS_MAX } from './project.dto.js';
import type { ProjectEntity } from './project.entity.js';

export type EncryptionColumns = Pick<
  ProjectEntity,
  'encrypted_keys' | 'encryption_removed_keys' | 'encryption_key_id' | 'encryption_cursor'
>;
type ProjectRow = EncryptionColumns & Pick<ProjectEntity, 'project_id'>;

/** The rules of the list of encrypted keys of a project. */
@Injectable()
export class ProjectEncryption {
  constructor(
    private readonly encryption: EncryptedKeys,
    private readonly clearText: ClearTextKeys,
  ) {}

  /** @throws Problem invalid-body; unavailable where a data key is missing */
  async requireEncryptable(keys: readonly string[] | null): Promise<void> {
    if (keys === null) return;
    const errors = new ValidationErrors();
    if (this.encryption.current === null) {
      const detail = 'requires the setting STOWAGE_DATA_KEY, which this server does not have';
      errors.add({ pointer: '/encrypted_keys', detail });
    }
    for (const [index, key] of keys.entries()) {
      if (!this.clearText.reserved.has(key)) continue;
      const detail = `"${key}" cannot be encrypted: a feed stores and queries it`;
      errors.add({ pointer: `/encrypted_keys/${String(index)}`, detail });
    }
    if (errors.count > 0) throw errors.problem('invalid-body');
    // Servers with different data keys would not read each other's values.
    await this.encryption.read();
    if (this.encryption.missingKeys.length > 0) {
      throw new Problem('unavailable', {
        detail: 'This server does not have all data keys that are in use; retry later.',
      });
    }
  }

  /** @throws Problem invalid-body where something of the project needs the values of a key that is added to the list */
  async requireUnused(tx: Queryable, project: ProjectRow, keys: readonly string[]): Promise<void> {
    const added = keys.filter((key) => project.encrypted_keys?.includes(key) !== true);
    if (added.length === 0) return;
    const errors = new ValidationErrors();
    for (const { key, by } of await this.clearText.findUses(tx, project.project_id, added)) {
      const detail = `"${key}" cannot be encrypted: ${by} needs its values`;
      errors.add({ pointer: `/encrypted_keys/${String(keys.indexOf(key))}`, detail });
    }
    if (errors.count > 0) throw errors.problem('invalid-body');
  }

  /**
   * The columns of a list. With another list than before, all stored objects have to be looked at.
   * @throws Problem conflict where more keys were removed than a list may have, and their values are not decrypted yet
   */
  columnsOf(before: EncryptionColumns | null, keys: string[] | null): EncryptionColumns {
    const { encrypted_keys = null, encryption_key_id = null, encryption_cursor = null } = before ?? {};
    const { encryption_removed_keys = null } = before ?? {};
    if (areSameKeys(encrypted_keys, keys))
      return { encrypted_keys, encryption_removed_keys, encryption_key_id, encryption_cursor };
    const former = new Set([...(encryption_removed_keys ?? []), ...(encrypted_keys ?? [])]);
    const removed = [...former].filter((key) => keys?.includes(key) !== true);
    if (removed.length > ENCRYPTED_KEYS_MAX) throw tooManyRemoved(removed.length);
    return {
      encrypted_keys: keys,
      encryption_removed_keys: removed.length === 0 ? null : removed,
      encryption_key_id: encryption_key_id ?? this.encryption.current?.id ?? null,
      encryption_cursor: '0',
    };
  }

  /** Whether stored values are still to be encrypted or decrypted. */
  isPending({ encryption_key_id: keyId, encryption_cursor: cursor }: EncryptionColumns): boolean {
    return cursor !== null || (keyId !== null && keyId !== this.encryption.current?.id);
  }
}

function areSameKeys(a: readonly string[] | null, b: readonly string[] | null): boolean {
  return JSON.stringify(a?.toSorted()) === JSON.stringify(b?.toSorted());
}

/** Each process has the removed keys in memory, and compares every condition with them. */
function tooManyRemoved(count: number): Problem {
  const most = String(ENCRYPTED_KEYS_MAX);
  const detail = `would leave ${String(count)} removed keys whose values are still to be decrypted; at most ${most} are allowed`;
  return new Problem('conflict', {
    detail: 'Too many encrypted keys were removed; try again when encryption_pending is false.',
    errors: [{ pointer: '/encrypted_keys', detail }],
  });
}
