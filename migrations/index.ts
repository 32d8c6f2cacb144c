/** Every migration, oldest first. Append only: what has run on somebody's data is never changed. */
import { FirstTables1764000000000 } from './001-first-tables.js';

export const MIGRATIONS = [FirstTables1764000000000];
