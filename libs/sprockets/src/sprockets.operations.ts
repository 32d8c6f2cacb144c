import { Operations, type Operation } from '#jobs';
import { KindService } from '#warehouse';
import { Injectable } from '@nestjs/common';
import { FACTORIES } from './factory.js';
import { SPROCKETS } from './sprocket.js';

/** What the routes that write factories and sprockets do, at once or as a job. */
@Injectable()
export class SprocketsOperations {
  readonly createFactories: Operation = {
    name: 'factories.create',
    run: (write) => this.kinds.create(FACTORIES, write),
  };
  readonly createSprockets: Operation = {
    name: 'sprockets.create',
    run: (write) => this.kinds.create(SPROCKETS, write),
  };
  readonly replaceSprocket: Operation = {
    name: 'sprockets.replace',
    run: (write) => this.kinds.replace(SPROCKETS, write.params.sprocket_id ?? '', write),
  };

  constructor(
    private readonly kinds: KindService,
    operations: Operations,
  ) {
    operations.add(this.createFactories, this.createSprockets, this.replaceSprocket);
  }
}
