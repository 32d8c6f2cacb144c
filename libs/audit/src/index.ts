/**
 * audit: a log of who deleted, replaced and managed what, append-only, with a hash chain for each project.
 * Imports platform, database, http.
 */
export { type Actor, actorOf, COMMAND_LINE, CurrentActor, FIRST_START, RETENTION, REENCRYPTION } from './actor.js';
export { INSTALLATION } from './audit-entry.js';
export { AuditEntryEntity } from './audit-entry.entity.js';
export { AuditQuery } from './audit.dto.js';
export { AuditLog, boundedIds, IDS_MAX, type NewAuditEntry } from './audit-log.js';
export { AuditModule } from './audit.module.js';
export { AuditReadStore } from './audit-read.store.js';
export { AuditVerifier, type ChainReport, type KnownHead } from './audit-verifier.js';
export { DeniedRequests } from './denied-requests.js';
