/** Reads and writes the JSON of requests and responses. */
export interface Json {
  parse: (text: string) => unknown;
  /** @returns undefined for what is no JSON, such as a function */
  stringify: (value: unknown) => string | undefined;
}
