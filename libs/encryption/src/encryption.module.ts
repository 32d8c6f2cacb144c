import { Module } from '@nestjs/common';
import { ClearTextKeys } from './clear-text-keys.js';
import { EncryptedKeys } from './encrypted-keys.js';
import { SealedJobs } from './sealed-jobs.js';

/** Encrypts values before they are stored. */
@Module({ providers: [ClearTextKeys, EncryptedKeys, SealedJobs], exports: [ClearTextKeys, EncryptedKeys, SealedJobs] })
export class EncryptionModule {}
