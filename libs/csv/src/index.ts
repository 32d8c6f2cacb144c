/**
 * csv: reads CSV as a stream of rows, and cells as JSON values.
 * Imports json.
 */
export { cellJson } from './cell.js';
export { CsvError } from './csv-error.js';
export { csvRows, type CsvRow } from './csv-rows.js';
export { rowLengthError, encodingError } from './row-errors.js';
