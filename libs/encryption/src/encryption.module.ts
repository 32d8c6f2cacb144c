import { Module } from '@nestjs/common';
import { EncryptedKeys } from './encrypted-keys.js';
import { SealedJobs } from './sealed-jobs.js';

/** Encrypts values before they are stored. */
@Module({ providers: [EncryptedKeys, SealedJobs], exports: [EncryptedKeys, SealedJobs] })
export class EncryptionModule {}
