/** The option that names a project. */
export const PROJECT_OPTION = {
  flags: '--project <name or id>',
  description: 'the project (default: the one of the first start, also if it was renamed)',
} as const;
