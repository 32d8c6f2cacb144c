import { Module } from '@nestjs/common';
import { EncryptedKeys } from './encrypted-keys.js';

/** Encrypts values before they are stored. */
@Module({ providers: [EncryptedKeys], exports: [EncryptedKeys] })
export class EncryptionModule {}
