/**
 * deletion: deletes a project with everything that belongs to it, in a job.
 * Imports platform, database, http, usage, audit, access, jobs.
 */
export { DeletionModule } from './deletion.module.js';
export { contentsText, ProjectDeletion, type DeletionResult } from './project-deletion.js';
