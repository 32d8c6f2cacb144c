/** For a transaction whose statements may take longer than those of other requests. */
export const DISABLE_STATEMENT_TIMEOUT = {
  name: 'disable-statement-timeout',
  text: `SELECT set_config('statement_timeout', '0', true)`,
};
