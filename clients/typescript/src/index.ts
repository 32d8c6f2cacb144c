/** TypeScript client of Stowage for Node.js and browsers. */
export {
  StowageClient,
  type ClientOptions,
  type GetData,
  type GetInit,
  type GetPath,
  type Item,
  type ListPath,
  type Page,
  type Result,
  type WaitOptions,
} from './client.js';
export { StowageError, type Problem, type ProblemError } from './errors.js';
export type { Json } from './json.js';
export type { NewObject, UploadOptions, UploadProgress, UploadSource } from './upload.js';
export type { components, operations, paths } from './schema.js';
