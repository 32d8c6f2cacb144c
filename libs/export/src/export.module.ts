import { Module } from '@nestjs/common';
import { ExportController } from './export.controller.js';
import { ExportReader } from './export-reader.js';

/** Exports of all objects that a filter matches. */
@Module({ controllers: [ExportController], providers: [ExportReader] })
export class ExportModule {}
