/** The option that names a project. Its default is DEFAULT_PROJECT of #access, which is slow to import for a help text. */
export const PROJECT_OPTION = {
  flags: '--project <name or id>',
  description: 'the project (default: the one that the first start created)',
} as const;
