/**
 * filter: the query language of lists, in two stages: `parseFilter` turns parameters into a typed tree, `filterSql` turns the
 * tree into an SQL condition with parameters. Pure: no Nest, no I/O.
 * Imports json only.
 */
export { type EncryptedKeyList, encryptionError } from './encrypted-values.js';
export { filterSql, type FilterColumns } from './filter-sql.js';
export {
  allOf,
  conjunctsOf,
  hasKey,
  isEverything,
  type Filter,
  type JsonText,
  type ValueFilter,
  type ValueTest,
} from './filter.js';
export { valuePaths } from './json-path.js';
export { KEY_LENGTH_MAX, keyPaths, type KeyPath } from './key-paths.js';
export { FilterError, type FilterParameters } from './filter-parameters.js';
export { parseFilter } from './parse-filter.js';
