import { AuditModule } from '#audit';
import { EncryptionModule } from '#encryption';
import { InvertedIndexModule } from '#inverted-index';
import { JobsModule } from '#jobs';
import { ObjectsModule } from '#objects';
import { BatchEntity } from '#store';
import { UndeleteModule } from '#undelete';
import { UsageModule } from '#usage';
import { Module } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { BatchController } from './batch.controller.js';
import { BatchDeleter } from './batch-deleter.js';
import { BatchOperations } from './batch.operations.js';
import { BatchParser } from './batch-parser.js';
import { BatchReader } from './batch-reader.js';
import { BatchReadStore } from './batch-read.store.js';
import { BatchWriteStore } from './batch-write.store.js';
import { BatchWriter } from './batch-writer.js';
import { OpenedBatch } from './opened-batch.js';
import { StagedBatchWriter } from './staged-batch-writer.js';

/** Whole batches: created, replaced, listed, read and deleted. */
@Module({
  imports: [
    AuditModule,
    EncryptionModule,
    InvertedIndexModule,
    JobsModule,
    ObjectsModule,
    UndeleteModule,
    UsageModule,
    TypeOrmModule.forFeature([BatchEntity]),
  ],
  controllers: [BatchController],
  providers: [
    BatchParser,
    BatchReadStore,
    BatchReader,
    BatchWriteStore,
    OpenedBatch,
    StagedBatchWriter,
    BatchWriter,
    BatchDeleter,
    BatchOperations,
  ],
})
export class BatchesModule {}
