import { Injectable } from '@nestjs/common';
import type { WriteOperation } from './write-operation.js';

/** The registry of every operation that a job can run, by name. The libs above register theirs when they are constructed. */
@Injectable()
export class WriteOperations {
  private readonly byName = new Map<string, WriteOperation>();

  register(...operations: readonly WriteOperation[]): void {
    for (const operation of operations) {
      if (this.byName.has(operation.name)) throw new Error(`two operations are named ${operation.name}`);
      this.byName.set(operation.name, operation);
    }
  }

  /** The operations of this version. A job of any other operation is left to a worker of another version. */
  names(): string[] {
    return [...this.byName.keys()];
  }

  /** @throws Error for an unknown name */
  get(name: string): WriteOperation {
    const operation = this.byName.get(name);
    if (operation === undefined) throw new Error(`unknown operation ${name}`);
    return operation;
  }
}
