const PATH = '/api/v1/projects/{project_id}/keys';

/** The keys of a project, or the operator keys. */
export interface ListOfKeys {
  path: typeof PATH;
  parameters: { project_id: string };
}

/** @param projectId null for the operator keys */
export function listOfKeys(projectId: string | null): ListOfKeys {
  // The requests for operator keys are the same, without the parameter: one that a path does not have is not sent.
  const path = projectId === null ? '/api/v1/operator-keys' : PATH;
  return { path: path as typeof PATH, parameters: { project_id: projectId ?? '' } };
}
