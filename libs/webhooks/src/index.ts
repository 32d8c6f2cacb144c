/**
 * webhooks: tells other systems what happens in a project, signed, with retries, and never inside the network.
 * Imports filter, platform, database, http, audit, events, access, jobs, analytics, changes.
 */
export { WebhooksModule } from './webhooks.module.js';
