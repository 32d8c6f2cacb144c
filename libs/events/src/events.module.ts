import { Module } from '@nestjs/common';
import { EventStore } from './event.store.js';

/** What happens in a project, for its webhooks. */
@Module({ providers: [EventStore], exports: [EventStore] })
export class EventsModule {}
