/**
 * filter: the query language of lists, in two stages: `parseFilter` turns query parameters into a typed tree, `filterSql`
 * turns the tree into an SQL condition with parameters. Pure: no Nest, no I/O.
 * Imports json only.
 */
export { filterSql, type FilterColumns } from './filter-sql.js';
export { FilterError, parseFilter, type FilterParameters } from './parse-filter.js';
export { conjunctsOf, isEverything, type Filter, type JsonScalarText } from './filter.js';
