import { AccessModule } from '#access';
import { AuditModule } from '#audit';
import { EncryptionModule } from '#encryption';
import { InvertedIndexModule } from '#inverted-index';
import { JobsModule } from '#jobs';
import { ObjectEntity } from '#store';
import { UndeleteModule } from '#undelete';
import { UsageModule } from '#usage';
import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { ObjectController } from './object.controller.js';
import { ObjectCountStore } from './object-count.store.js';
import { ObjectDeletion } from './object-deletion.js';
import { ObjectDeletionStore } from './object-deletion.store.js';
import { ObjectEtags } from './object-etags.js';
import { ObjectIndexStore } from './object-index.store.js';
import { ObjectListStore } from './object-list.store.js';
import { ObjectOperations } from './object.operations.js';
import { ObjectService } from './object.service.js';
import { ObjectSortStore } from './object-sort.store.js';
import { ObjectStore } from './object.store.js';
import { SortedListStore } from './sorted-list.store.js';

/** Single objects and lists of objects. */
@Module({
  imports: [
    AccessModule,
    AuditModule,
    EncryptionModule,
    InvertedIndexModule,
    JobsModule,
    UndeleteModule,
    UsageModule,
    TypeOrmModule.forFeature([ObjectEntity]),
  ],
  controllers: [ObjectController],
  providers: [
    ObjectStore,
    ObjectCountStore,
    ObjectIndexStore,
    ObjectListStore,
    ObjectSortStore,
    SortedListStore,
    ObjectDeletionStore,
    ObjectDeletion,
    ObjectService,
    ObjectOperations,
    ObjectEtags,
  ],
  exports: [ObjectDeletionStore, ObjectEtags, ObjectStore, ObjectIndexStore, ObjectListStore, ObjectService],
})
export class ObjectsModule {}
