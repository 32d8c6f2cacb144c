export function violationsOf(
  sql: string,
  dataTables: ReadonlySet<string>,
  volatileFunctions?: ReadonlySet<string>,
): Promise<string[]>;

export function refusalsOf(
  sql: string,
  dataTables: ReadonlySet<string>,
  volatileFunctions?: ReadonlySet<string>,
): Promise<string[]>;
