import { Module } from '@nestjs/common';
import { AuditController } from './audit.controller.js';
import { AuditLog } from './audit-log.js';
import { AuditReadStore } from './audit-read.store.js';
import { AuditVerifier } from './audit-verifier.js';
import { DeniedRequests } from './denied-requests.js';

/** The audit log: who deleted, replaced and managed what. */
@Module({
  controllers: [AuditController],
  providers: [AuditLog, AuditReadStore, AuditVerifier, DeniedRequests],
  exports: [AuditLog, AuditReadStore, AuditVerifier, DeniedRequests],
})
export class AuditModule {}
