/** The table locks of PostgreSQL, from weak to strong. From `SHARE` on, they block everything that writes the table. */
const LOCK_MODES = [
  'ACCESS SHARE',
  'ROW EXCLUSIVE',
  'SHARE UPDATE EXCLUSIVE',
  'SHARE',
  'SHARE ROW EXCLUSIVE',
  'ACCESS EXCLUSIVE',
] as const;
type LockMode = (typeof LOCK_MODES)[number];

/** What a statement of a migration does to a table. */
export interface StatementEffect {
  /** Such as `ALTER TABLE objects ADD COLUMN measure`. */
  command: string;
  table: string;
  /** The lock of the table; null for a new one. */
  lock: LockMode | null;
  /** What it does with the rows of the table while it holds the lock; null where it takes a moment, however large the table is. */
  work: 'reads' | 'rewrites' | 'changes' | null;
  /** Whether servers that do not know it may fail: it removes what they use, or rejects what they write. */
  breaks: boolean;
  /** Whether it can run again after an interruption outside of a transaction. */
  repeatable: boolean;
}

/** Part of the tree of libpg-query: an object with one member, the type of the node. */
type Tree = Record<string, unknown>;

/** Whether a lock blocks everything that writes the table. */
export function blocksWrites({ lock }: StatementEffect): boolean {
  return lock !== null && LOCK_MODES.indexOf(lock) >= LOCK_MODES.indexOf('SHARE');
}

/** What SQL text does; statements without an effect on tables are left out. @throws Error for a statement that is not known here */
export async function effectsOf(sql: string): Promise<StatementEffect[]> {
  // Only now: a server never needs it.
  const { parse } = await import('libpg-query');
  const { stmts = [] } = (await parse(sql)) as unknown as { stmts?: { stmt: Tree }[] };
  return stmts.flatMap(({ stmt }) => {
    const [[type, node] = ['', {}]] = Object.entries(stmt) as [string, Tree][];
    const effects = EFFECTS[type];
    if (effects === undefined) throw new Error(`${type} is not known; add it to statement-effect.ts`);
    return effects(node);
  });
}

const QUICK = { work: null, breaks: false, repeatable: false } as const;

const none = (): StatementEffect[] => [];

const EFFECTS: Readonly<Record<string, (node: Tree) => StatementEffect[]>> = {
  SelectStmt: none,
  VariableSetStmt: none,
  CreateExtensionStmt: none,
  CreateSeqStmt: none,
  AlterSeqStmt: none,
  CreateStmt: (node) => {
    const table = nameOf(node.relation);
    const create = {
      ...QUICK,
      command: `CREATE TABLE ${table}`,
      table,
      lock: null,
      repeatable: node.if_not_exists === true,
    };
    return [create, ...listOf(node.tableElts).flatMap((element) => referenceEffects(element, table))];
  },
  IndexStmt: (node) => {
    const table = nameOf(node.relation);
    const isConcurrent = node.concurrent === true;
    const command = `CREATE INDEX ${isConcurrent ? 'CONCURRENTLY ' : ''}${String(node.idxname)} ON ${table}`;
    const lock = isConcurrent ? 'SHARE UPDATE EXCLUSIVE' : 'SHARE';
    return [{ ...QUICK, command, table, lock, work: 'reads', breaks: node.unique === true, repeatable: isConcurrent }];
  },
  DropStmt: (node) => {
    const what = String(node.removeType).replace('OBJECT_', '');
    return listOf(node.objects).map((object) => {
      const table = lastName(object);
      const isConcurrent = node.concurrent === true;
      const lock = isConcurrent ? 'SHARE UPDATE EXCLUSIVE' : 'ACCESS EXCLUSIVE';
      const command = `DROP ${what} ${isConcurrent ? 'CONCURRENTLY ' : ''}${table}`;
      return { ...QUICK, command, table, lock, breaks: what !== 'INDEX', repeatable: isConcurrent };
    });
  },
  RenameStmt: (node) => {
    const table = nameOf(node.relation);
    return [{ ...QUICK, command: `ALTER TABLE ${table} RENAME`, table, lock: 'ACCESS EXCLUSIVE', breaks: true }];
  },
  AlterTableStmt: (node) => {
    const table = nameOf(node.relation);
    return listOf(node.cmds).flatMap((command) => alterEffects(command.AlterTableCmd as Tree, table));
  },
  InsertStmt: (node) => [rowsEffect('INSERT INTO', node)],
  UpdateStmt: (node) => [rowsEffect('UPDATE', node)],
  DeleteStmt: (node) => [rowsEffect('DELETE FROM', node)],
};

function rowsEffect(verb: string, node: Tree): StatementEffect {
  const table = nameOf(node.relation);
  return { ...QUICK, command: `${verb} ${table}`, table, lock: 'ROW EXCLUSIVE', work: 'changes' };
}

/** Subcommands of ALTER TABLE that take a moment, under a lock against everything. */
const SHORT = new Set([
  'AT_ColumnDefault',
  'AT_DropNotNull',
  'AT_DropConstraint',
  'AT_DropExpression',
  'AT_SetStorage',
  'AT_SetCompression',
]);
/** Those that block neither reads nor writes. */
const SHARED = new Set(['AT_SetRelOptions', 'AT_ResetRelOptions', 'AT_SetStatistics', 'AT_ValidateConstraint']);

function alterEffects(node: Tree, table: string): StatementEffect[] {
  const subtype = String(node.subtype);
  const what = subtype
    .replace('AT_', '')
    .replace(/(?<=[a-z])(?=[A-Z])/g, ' ')
    .toUpperCase();
  const column = (node.def as Tree | undefined)?.ColumnDef as Tree | undefined;
  const name = (node.name ?? column?.colname ?? constraintOf(node.def)?.conname) as string | undefined;
  const command = `ALTER TABLE ${table} ${what}${name === undefined ? '' : ` ${name}`}`;
  const exclusive = { ...QUICK, command, table, lock: 'ACCESS EXCLUSIVE' } as const;
  if (SHORT.has(subtype)) return [exclusive];
  if (SHARED.has(subtype)) {
    const work = subtype === 'AT_ValidateConstraint' ? 'reads' : null;
    return [{ ...exclusive, lock: 'SHARE UPDATE EXCLUSIVE', work }];
  }
  switch (subtype) {
    case 'AT_AddColumn':
      return addColumnEffects(column ?? {}, { ...exclusive, repeatable: node.missing_ok === true });
    case 'AT_AddConstraint':
      return addConstraintEffects(node.def, exclusive);
    case 'AT_DropColumn':
      return [{ ...exclusive, breaks: true }];
    case 'AT_SetNotNull':
      return [{ ...exclusive, work: 'reads', breaks: true }];
    case 'AT_AlterColumnType':
      return [{ ...exclusive, work: 'rewrites', breaks: true }];
    default:
      throw new Error(`${subtype} is not known; add it to statement-effect.ts`);
  }
}

function addColumnEffects(column: Tree, effect: StatementEffect): StatementEffect[] {
  const constraints = listOf(column.constraints).map((each) => constraintOf(each) ?? {});
  const find = (type: string): Tree | undefined => constraints.find(({ contype }) => contype === type);
  const fallback = find('CONSTR_DEFAULT');
  // A constant default is stored once; the value of a function is written into every row.
  const isComputed = find('CONSTR_GENERATED') ?? find('CONSTR_IDENTITY');
  const isVolatile = JSON.stringify(fallback?.raw_expr ?? {}).includes('"FuncCall"');
  const isUnfilled = find('CONSTR_NOTNULL') !== undefined && fallback === undefined && isComputed === undefined;
  const isChecked = find('CONSTR_CHECK') !== undefined || find('CONSTR_UNIQUE') !== undefined;
  const work = isComputed !== undefined || isVolatile ? 'rewrites' : isChecked ? 'reads' : null;
  return [{ ...effect, work, breaks: isUnfilled }];
}

function addConstraintEffects(definition: unknown, effect: StatementEffect): StatementEffect[] {
  const constraint = constraintOf(definition) ?? {};
  const isValidated = constraint.skip_validation !== true;
  const work = isValidated && constraint.indexname === undefined ? 'reads' : null;
  if (constraint.contype !== 'CONSTR_FOREIGN') return [{ ...effect, work, breaks: true }];
  const own = { ...effect, lock: 'SHARE ROW EXCLUSIVE', work, breaks: true } as const;
  return [own, ...referenceEffects(definition, effect.table)];
}

/** The lock of a table that a foreign key refers to. */
function referenceEffects(definition: unknown, table: string): StatementEffect[] {
  const constraint = constraintOf(definition);
  if (constraint?.contype !== 'CONSTR_FOREIGN') return [];
  const target = nameOf(constraint.pktable);
  const command = `a foreign key of ${table} to ${target}`;
  return [{ ...QUICK, command, table: target, lock: 'SHARE ROW EXCLUSIVE', repeatable: true }];
}

function constraintOf(node: unknown): Tree | undefined {
  return (node as { Constraint?: Tree } | undefined)?.Constraint;
}

function nameOf(relation: unknown): string {
  return String((relation as Tree).relname);
}

/** The name of a table, an index or a sequence, without its schema. */
function lastName(object: Tree): string {
  const parts = listOf((object.List as Tree).items);
  return String((parts.at(-1)?.String as Tree).sval);
}

function listOf(value: unknown): Tree[] {
  return (value as Tree[] | undefined) ?? [];
}
