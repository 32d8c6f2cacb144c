/**
 * http: the Fastify and Nest set-up: request bodies, validation, problems, pages, ETags, route rules.
 * Imports json, zstd, platform, telemetry, database.
 */
export { type ConnectionTimes } from './connection-limits.js';
export { addVary, preferredCoding, preferredType } from './accept.js';
export { ApiPage, ApiPreconditions, ApiResult, JsonHeader, ProblemDto, ApiProblems } from './api-decorators.js';
export { type DtoClass, DtoValidator, type NestedContext, isValidDto, validateDto } from './dto-validator.js';
export { markChanges } from './change-marks.js';
export { clientAddressOf } from './client-address.js';
export { etagOf, etagOfJson } from './etag.js';
export {
  ChoiceField,
  DurationField,
  FINITE_RULE,
  FlagParameter,
  IdField,
  IntegerField,
  IntegerParameter,
  isTextOf,
  NumberField,
  ProjectNameField,
  RuleField,
  SubjectField,
  TextField,
  TIME_RULE,
  TimeField,
  TimeParameter,
  TimestampField,
} from './fields.js';
export { PROJECT_DELETED } from './database-problem.js';
export { type HttpContext, httpContextOf, Http } from './http-context.js';
export { createHttpAdapter, prepareHttp } from './http-server.js';
export { InputPipe, OptionalBody, readBody, requireBody } from './input.pipe.js';
export type { BodyLimit } from './body-limit.js';
export { invalidJson, isSyntaxError, JsonBody, MalformedJson, partErrors } from './json-body.js';
export { findList, JsonList, type ListChunk, type ListLimit } from './json-list.js';
export { isBlankLine, ndjsonLines } from './ndjson-lines.js';
export { isStreamType, RequestStream, type StreamSource } from './request-stream.js';
export { baseUrl, requestOrigin } from './origin.js';
export { encodeCursor, fingerprintOf, type ListOrder, NEWEST_FIRST, type SortKeyType } from './cursor.js';
export { type InputPlace, rejectInput } from './input-place.js';
export {
  bodyPageRequest,
  linkHeader,
  pageBody,
  pageOf,
  pageHead,
  PageQuery,
  pageRequest,
  type PageRequest,
  pageSizeOf,
  pageText,
} from './paging.js';
export { checkPreconditions, listPreconditionProblem, type Preconditions, preconditionsOf } from './preconditions.js';
export { hasPreference } from './prefer.js';
export { problemBody, ProblemFilter, toProblem } from './problem.filter.js';
export {
  chargedItemsOf,
  setObjectsRead,
  validationSummary,
  ERRORS_LISTED_MAX,
  type InputError,
  ValidationErrors,
  Problem,
  PROBLEMS,
  type ProblemSlug,
} from './problems.js';
export { type BodySource, type ReadPace, StreamedBody } from './streamed-body.js';
export { mediaTypeOf } from './request-body.js';
export { idsOfWrite } from './request-log.js';
export { Queries, RequestSlots } from './request-slots.js';
export { guardStorage, insufficientStorage } from './storage-guard.js';
export { CurrentPrincipal, type Principal, ProjectId, projectIdOf } from './principal.js';
export { API, BODY_LIMITS, isReadRequest, type Role, ROLES, Rules } from './route.js';
export { TlsHandshakes } from './tls-handshakes.js';
