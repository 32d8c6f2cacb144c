import { EncryptionModule } from '#encryption';
import { JobsModule } from '#jobs';
import { Module } from '@nestjs/common';
import { ChangeController } from './change.controller.js';
import { ChangeFeed } from './change-feed.js';
import { ChangeMaintenance } from './change-maintenance.js';
import { ChangeReaders } from './change-readers.js';
import { ChangeStore } from './change.store.js';

/** What was created, changed and deleted, in the order of the commits. */
@Module({
  imports: [EncryptionModule, JobsModule],
  controllers: [ChangeController],
  providers: [ChangeStore, ChangeFeed, ChangeReaders, ChangeMaintenance],
  exports: [ChangeStore],
})
export class ChangesModule {}
