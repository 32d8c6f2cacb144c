/**
 * Whether a program could not be run because it is not installed. It need not be, except in the job of the workflow for these tests,
 * which sets DEPLOY_TOOLS=required.
 */
export function isMissingTool(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT' && process.env.DEPLOY_TOOLS !== 'required';
}
