import { useSession } from '../session.js';
import type { GetData, GetInit, GetPath } from './client.js';
import { useLoad, type Loaded } from './use-load.js';

/** The path, query and header parameters of a GET request. */
export type GetParameters<Path extends GetPath> =
  GetInit<Path> extends { params?: infer Parameters } | undefined ? Parameters : never;

/**
 * Loads a resource, and again whenever its path or a parameter changes.
 * @param path null to load nothing
 */
export function useGet<Path extends GetPath>(
  path: Path | null,
  parameters?: GetParameters<Path>,
): Loaded<GetData<Path>> {
  const { client } = useSession();
  return useLoad(path === null ? null : JSON.stringify([path, parameters]), async (signal) => {
    const { data } = await client.GET(path as Path, { params: parameters, signal } as unknown as GetInit<Path>);
    return data as GetData<Path>;
  });
}
