/** A named statement is prepared once per connection: planning is a third of the cost of a lookup by key. */
export interface Statement {
  name?: string;
  text: string;
  /** Milliseconds to wait for the response; then the query fails and its connection is closed. Default: no limit. */
  query_timeout?: number;
  /**
   * The project whose requests prepare the statement where its text is frequent: for one without a name whose best plan does not depend on
   * its values. Default: it is not prepared.
   */
  preparedFor?: number | undefined;
  /** `extended` also for a statement without values, so that a text of several statements is rejected. */
  queryMode?: 'extended';
}

/** Runs SQL: the pool, or one transaction. */
export interface Queryable {
  query<Row extends object>(statement: Statement | string, values?: readonly unknown[]): Promise<Row[]>;
}
