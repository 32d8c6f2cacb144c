import { Injectable } from '@nestjs/common';
import type { Operation } from './operation.js';

/** Every operation that a job can be made of, by name. Libs above add theirs as they are made. */
@Injectable()
export class Operations {
  private readonly byName = new Map<string, Operation>();

  add(...operations: readonly Operation[]): void {
    for (const operation of operations) {
      if (this.byName.has(operation.name)) throw new Error(`there are two operations ${operation.name}`);
      this.byName.set(operation.name, operation);
    }
  }

  /** What this process can run; a job of another version, with another name, is left to a worker of that. */
  names(): string[] {
    return [...this.byName.keys()];
  }

  /** @throws Error for a name that is not among `names` */
  get(name: string): Operation {
    const operation = this.byName.get(name);
    if (operation === undefined) throw new Error(`there is no operation ${name}`);
    return operation;
  }
}
