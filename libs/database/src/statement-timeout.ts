/** For a transaction whose statements may take $1 milliseconds each. */
export const LIMIT_STATEMENTS = {
  name: 'limit-statements',
  text: `SELECT set_config('statement_timeout', $1, true)`,
};

/** For a transaction whose statements may take longer than those of other requests. */
export const DISABLE_STATEMENT_TIMEOUT = {
  name: 'disable-statement-timeout',
  text: `SELECT set_config('statement_timeout', '0', true)`,
};
