import { EncryptionModule } from '#encryption';
import { ObjectsModule } from '#objects';
import { Module } from '@nestjs/common';
import { ExportController } from './export.controller.js';
import { ExportReader } from './export-reader.js';

/** Exports of all objects that a filter matches. */
@Module({ imports: [EncryptionModule, ObjectsModule], controllers: [ExportController], providers: [ExportReader] })
export class ExportModule {}
