/**
 * platform: what every part stands on: settings, the database (embedded or not), problems, pages, entity tags, the HTTP
 * server, logs, sequence numbers.
 * Imports json, zstd and the migrations.
 */
export { Clock } from './clock.js';
export { Config, type LogLevel } from './config.js';
export type { CopyIn } from './copy-in.js';
export { Database, type Queryable, type Statement, type Transaction } from './database.js';
export { secondsIn } from './duration.js';
export { startEmbeddedPostgres, type EmbeddedPostgres, type PostgresAddress } from './embedded-postgres.js';
export { etagOf, requireMatch } from './etag.js';
export { exchangeOf, Http, type Exchange } from './exchange.js';
export {
  ChoiceField,
  DurationField,
  FlagParameter,
  ID_RULE,
  IdField,
  isId,
  IntegerField,
  IntegerParameter,
  NumberField,
  RuleField,
  TextField,
  TIME_RULE,
  TimeField,
  TimestampField,
} from './fields.js';
export { createHttpAdapter, prepareHttp } from './http-server.js';
export { InputPipe, mistakesIn, readBody, requireBody } from './input.pipe.js';
export { JsonBody, type ReadJson } from './json-body.js';
export { NdjsonBody } from './ndjson-body.js';
export { createLog, nestLog } from './logging.js';
export { Answer, JsonHeader, ProblemDto, Problems } from './answer.js';
export { openInstallation, type Installation } from './installation.js';
export { projectFile } from './project-file.js';
export { baseUrl, idInUrl, originOf } from './origin.js';
export {
  beyondSql,
  cappedCount,
  countRows,
  isAscending,
  readSlice,
  sliceSql,
  toSlice,
  type ListSql,
} from './page-sql.js';
export {
  fingerprintOf,
  encodeCursor,
  linkHeader,
  pageBody,
  pageOpening,
  pageOf,
  PageQuery,
  pageRequest,
  pageText,
  type Count,
  type PageRequest,
  type Place,
  type Slice,
} from './paging.js';
export { prefers } from './prefer.js';
export { problemBody, ProblemFilter, problemOf } from './problem.filter.js';
export {
  countOf,
  ERRORS_LISTED_MAX,
  Mistakes,
  Problem,
  PROBLEMS,
  type InputError,
  type ProblemSlug,
} from './problems.js';
export { API, ROLES, Rules, type Principal, type Role } from './route.js';
export { SEQ_STEP, Sequence, sqlTimeOf, timeOf } from './sequence.js';
export { StartupError } from './startup-error.js';
export { isConnectionLoss, isDataError, isUniqueViolation } from './sqlstates.js';
export { EPOCH_SECONDS_MAX, isTime, utcOf, utcOfMicros, utcOfTimestamp } from './time.js';
