/**
 * events: what happens in a project, queued for its webhooks in the transaction in which it happens.
 * Imports platform, telemetry, database.
 */
export { EVENTS, type EventName, EventStore, QUEUED_MAX, TEST_EVENT } from './event.store.js';
export { EventsModule } from './events.module.js';
export { messageText, signedHeaders } from './message.js';
