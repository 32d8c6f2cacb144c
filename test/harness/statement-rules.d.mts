export function violationsOf(
  sql: string,
  dataTables: ReadonlySet<string>,
  volatileFunctions?: ReadonlySet<string>,
): Promise<string[]>;
