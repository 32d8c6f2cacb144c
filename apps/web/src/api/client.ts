// eslint-disable-next-line no-restricted-imports -- a package of its own, whose source is bundled
import { StowageClient, type components, type operations } from '../../../../clients/typescript/src/index.js';
import { parseJson, toJson } from './json.js';

// eslint-disable-next-line no-restricted-imports -- a package of its own, whose source is bundled
export * from '../../../../clients/typescript/src/index.js';

/** The JSON of requests and responses. */
export type Schemas = components['schemas'];
/** The query parameters of an operation. */
export type Query<Name extends keyof operations> = NonNullable<operations[Name]['parameters']['query']>;
export type Role = Schemas['MeDto']['role'];

/** The API with one key. An error is shown at once, with a button to try again. Numbers keep all digits. */
export function clientOf(key: string): StowageClient {
  return new StowageClient({ key, retries: 0, json: { parse: parseJson, stringify: toJson } });
}
