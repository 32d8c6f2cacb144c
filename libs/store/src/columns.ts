/** Returns the names, which must be columns of the entity: a renamed column fails to compile. */
export function columns<Entity, const Names extends readonly (keyof Entity & string)[]>(
  _entity: new () => Entity,
  ...names: Names
): [...Names] {
  return [...names];
}

/** A column list in SQL: `seq, data`, or `o.seq, o.data` for the table alias `o`. */
export function columnListSql(names: readonly string[], alias?: string): string {
  return names.map((name) => (alias === undefined ? name : `${alias}.${name}`)).join(', ');
}
