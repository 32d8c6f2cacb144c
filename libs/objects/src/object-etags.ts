import { hkdfSync } from 'node:crypto';
import { KeySecret } from '#access';
import { etagOf } from '#http';
import { Injectable } from '@nestjs/common';

/**
 * The ETags of single objects and of the items of feeds. A producer gets the tag of what it changes, with members that it did not send: it
 * could try values until a digest of them is the same. So tags are keyed with a secret that all servers derive from the key secret.
 */
@Injectable()
export class ObjectEtags {
  private readonly secret: Buffer;

  constructor({ value }: KeySecret) {
    this.secret = Buffer.from(hkdfSync('sha256', value, '', 'stowage etags', 32));
  }

  /** Equal objects of two projects have different tags: nobody can try values in a project of their own. */
  etagOf(projectId: number, representation: string): string {
    return etagOf(`${String(projectId)} ${representation}`, this.secret);
  }
}
