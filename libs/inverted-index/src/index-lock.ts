/** The first key of the advisory locks of indexes; the second one is the project. An arbitrary number. */
const INDEX_LOCK = 71_027;

/**
 * Locks the index of a project against a rebuild until the transaction ends. It is taken, as a statement of its own, by transactions
 * that move entries of objects that others may have stored: a rebuild that discarded only some of the rows that they read and write
 * would leave outdated entries valid. Segments of new objects need no lock: a rebuild sees all of their rows or none.
 */
export const SHARE_INDEX = {
  name: 'index.share',
  text: `SELECT pg_advisory_xact_lock_shared(${String(INDEX_LOCK)}, $1)`,
};

/** Locks the index of a project for a rebuild until the transaction ends. */
export const LOCK_INDEX = `SELECT pg_advisory_xact_lock(${String(INDEX_LOCK)}, $1)`;
