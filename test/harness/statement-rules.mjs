/**
 * What a statement must keep so that it runs on a cluster, on the shard of one project: every table of data in it is bound to one and
 * the same `project_id`. See docs/decisions/042.
 */
import { parse } from 'libpg-query';
import { columnFaults, functionFaults, shardFaults, visit } from './statement-refusals.mjs';

/** The name under which the one value of `project_id` of a statement is collected, for each parameter and constant. */
const VALUE = 'value';

/** Sets of terms that are equal. */
class Equalities {
  parents = new Map();

  rootOf(term) {
    let root = term;
    for (let parent = this.parents.get(root); parent !== undefined; parent = this.parents.get(root)) root = parent;
    return root;
  }

  unite(a, b) {
    const [rootA, rootB] = [this.rootOf(a), this.rootOf(b)];
    // The root of a set with a value is its value; two values stay two.
    if (rootA === rootB) return;
    if (rootA.startsWith(VALUE) && rootB.startsWith(VALUE)) return;
    if (rootA.startsWith(VALUE)) this.parents.set(rootB, rootA);
    else this.parents.set(rootA, rootB);
  }
}

/** One statement while it is read. */
class Reading {
  equalities = new Equalities();
  /** The term of `project_id` of each table of data, with its name. */
  tables = [];
  /** The tables that the statement changes. */
  changed = new Set();
  /** CTEs that are evaluated where they are used, by the tables that they read. */
  inlined = [];
  /** Parts that read a table which an earlier part has changed. */
  late = [];
  terms = 0;

  constructor(dataTables) {
    this.dataTables = dataTables;
  }

  newTerm() {
    return `term ${this.terms++}`;
  }
}

/** Relations that a query can name: each with the term of its `project_id`, null where it has none. */
class Scope {
  relations = new Map();

  constructor(outer, ctes) {
    this.outer = outer;
    this.ctes = ctes;
  }

  add(name, term) {
    this.relations.set(name, term);
  }

  /** The term of a column reference; null where it is not `project_id`. */
  resolve({ fields = [] }) {
    const names = fields.map((field) => field.String?.sval ?? '*');
    if (names.at(-1) !== 'project_id') return null;
    return names.length === 1 ? this.onlyTerm() : this.termOf(names.at(-2));
  }

  termOf(relation) {
    if (this.relations.has(relation)) return this.relations.get(relation);
    return this.outer?.termOf(relation) ?? null;
  }

  onlyTerm() {
    const terms = [...this.relations.values()].filter((term) => term !== null);
    return terms[0] ?? this.outer?.onlyTerm() ?? null;
  }
}

/**
 * @param sql one or more statements
 * @param dataTables the names of the tables that are distributed
 * @param volatileFunctions names of functions that are not immutable
 * @returns a sentence for each rule that it breaks
 */
export async function violationsOf(sql, dataTables, volatileFunctions = new Set()) {
  return (await readAll(sql, dataTables)).flatMap(({ reading, stmt }) => [
    ...scatteredTables(reading),
    ...refusals(reading, stmt, volatileFunctions),
  ]);
}

/** The same for a statement that may touch several shards: what a cluster refuses there, or runs otherwise. */
export async function refusalsOf(sql, dataTables, volatileFunctions = new Set()) {
  return (await readAll(sql, dataTables)).flatMap(({ reading, stmt }) => [
    ...(scatteredTables(reading).length > 0 ? shardFaults(stmt, dataTables) : []),
    ...refusals(reading, stmt, volatileFunctions),
  ]);
}

async function readAll(sql, dataTables) {
  const { stmts = [] } = await parse(sql);
  return stmts.map(({ stmt }) => {
    const reading = new Reading(dataTables);
    readStatement(reading, stmt, new Scope(null, new Map()));
    if (reading.ctes !== undefined) noteLateReads(reading, 'the last part', reading.ctes.end, reading.ctes.changed);
    return { reading, stmt };
  });
}

function changesData({ changed, dataTables }) {
  return [...changed].some((name) => dataTables.has(name));
}

function refusals(reading, stmt, volatileFunctions) {
  return [
    ...mixedWrites(reading),
    ...inlinedReads(reading),
    ...lateReads(reading),
    ...volatileChoices(reading, stmt, volatileFunctions),
    ...columnFaults(stmt, reading.dataTables, changesData(reading)),
    ...functionFaults(stmt, reading.dataTables, volatileFunctions),
  ];
}

function scatteredTables({ tables, equalities }) {
  const roots = tables.map(({ name, term }) => ({ name, root: equalities.rootOf(term) }));
  const loose = roots.filter(({ root }) => !root.startsWith(VALUE));
  if (loose.length > 0)
    return [...new Set(loose.map(({ name }) => `${name} is not bound to the project_id of one project`))];
  const values = new Set(roots.map(({ root }) => root));
  return values.size > 1 ? [`it names ${[...values].join(' and ')} as project_id`] : [];
}

function mixedWrites({ changed, dataTables }) {
  const permanent = [...changed].filter((name) => name !== 'staged');
  const data = permanent.filter((name) => dataTables.has(name));
  const local = permanent.filter((name) => !dataTables.has(name));
  return data.length > 0 && local.length > 0 ? [`it changes ${data[0]} and ${local[0]}, which is not distributed`] : [];
}

function inlinedReads({ changed, inlined }) {
  return inlined.flatMap(({ name, tables }) =>
    tables
      .filter((table) => changed.has(table))
      .map((table) => `the CTE ${name} reads ${table}, which the statement changes, and is not MATERIALIZED`),
  );
}

/** On a cluster the parts of a statement are evaluated one after the other, and each sees the changes of those before it. */
function lateReads({ late }) {
  return [
    ...new Set(late.map(({ part, table }) => `${part} reads ${table}, which an earlier part of the statement changes`)),
  ];
}

function noteLateReads(reading, part, from, changed) {
  for (const { name, isTarget } of reading.tables.slice(from))
    if (!isTarget && changed.has(name)) reading.late.push({ part, table: name });
}

function volatileChoices(reading, stmt, volatileFunctions) {
  if (!changesData(reading)) return [];
  const found = new Set();
  visit(stmt, (type, change) => {
    if (!WRITES.has(type)) return;
    // A CTE is a query of its own.
    visit({ ...change, withClause: undefined }, (kind, choice) => {
      if (kind !== 'CaseExpr' && kind !== 'CoalesceExpr') return;
      visit(choice, (inner, node) => {
        const name = inner === 'FuncCall' ? node.funcname.at(-1).String.sval : null;
        if (name !== null && volatileFunctions.has(name))
          found.add(`${name}() is not immutable and in CASE or COALESCE`);
        if (inner === 'A_Expr' && [node.lexpr, node.rexpr].some(isTimestamptz)) {
          found.add('the sum of a timestamptz is not immutable and in CASE or COALESCE');
        }
      });
    });
  });
  return [...found];
}

const WRITES = new Set(['InsertStmt', 'UpdateStmt', 'DeleteStmt']);

/** Whether an operand is a literal of the type timestamptz. */
function isTimestamptz(operand) {
  return (
    operand?.TypeCast?.arg?.A_Const !== undefined &&
    operand.TypeCast.typeName.names.at(-1).String.sval === 'timestamptz'
  );
}

/** @returns the terms of `project_id` that the rows of the statement have, by the names of their columns; `*` of all columns */
function readStatement(reading, stmt, scope) {
  const [[type, node]] = Object.entries(stmt);
  if (type === 'SelectStmt') return readSelect(reading, node, scope);
  if (type === 'InsertStmt') return readInsert(reading, node, scope);
  if (type === 'UpdateStmt') return readChange(reading, node, scope, node.fromClause);
  if (type === 'DeleteStmt') return readChange(reading, node, scope, node.usingClause);
  if (type === 'DeclareCursorStmt' || type === 'ExplainStmt') return readStatement(reading, node.query, scope);
  if (type === 'CopyStmt' && node.query !== undefined) return readStatement(reading, node.query, scope);
  return new Map();
}

function withCtes(reading, node, scope) {
  const inner = new Scope(scope, new Map(scope.ctes));
  for (const { CommonTableExpr: cte } of node.withClause?.ctes ?? []) {
    const before = reading.tables.length;
    const changed = new Set(reading.changed);
    // A recursive part may name the CTE itself.
    const own = reading.newTerm();
    inner.ctes.set(cte.ctename, own);
    const columns = readStatement(reading, cte.ctequery, inner);
    const index = (cte.aliascolnames ?? []).findIndex((name) => name.String.sval === 'project_id');
    const term = index >= 0 ? [...columns.values()][index] : columns.get('project_id');
    if (term != null) reading.equalities.unite(own, term);
    inner.ctes.set(cte.ctename, term == null ? null : own);
    const isSelect = cte.ctequery.SelectStmt !== undefined;
    if (isSelect && cte.ctematerialized !== 'CTEMaterializeAlways') {
      reading.inlined.push({ name: cte.ctename, tables: reading.tables.slice(before).map(({ name }) => name) });
    }
    noteLateReads(reading, `the CTE ${cte.ctename}`, before, changed);
  }
  if (scope.outer === null) reading.ctes = { end: reading.tables.length, changed: new Set(reading.changed) };
  return inner;
}

function readSelect(reading, node, scope) {
  const inner = withCtes(reading, node, scope);
  if (node.op !== undefined && node.op !== 'SETOP_NONE') {
    const left = readSelect(reading, node.larg, inner);
    const right = readSelect(reading, node.rarg, inner);
    const [leftTerm, rightTerm] = [left.get('project_id'), [...right.values()][[...left.keys()].indexOf('project_id')]];
    // Rows of either side: it is bound where both are bound to the same value.
    const { equalities } = reading;
    const isSame =
      leftTerm != null && rightTerm != null && equalities.rootOf(leftTerm) === equalities.rootOf(rightTerm);
    return isSame ? left : new Map([...left, ['project_id', null]]);
  }
  for (const item of node.fromClause ?? []) readFrom(reading, item, inner);
  readCondition(reading, node.whereClause, inner);
  for (const part of [node.havingClause, node.groupClause, node.sortClause, node.limitCount, node.valuesLists]) {
    readExpressions(reading, part, inner);
  }
  return readTargets(reading, node.targetList, inner);
}

function readTargets(reading, targets, scope) {
  const columns = new Map();
  for (const [index, { ResTarget: target }] of (targets ?? []).entries()) {
    readExpressions(reading, target.val, scope);
    const column = target.val?.ColumnRef;
    const isStar = column?.fields.at(-1).A_Star !== undefined;
    if (isStar) {
      const relation = column.fields.at(-2)?.String.sval;
      const term = relation === undefined ? scope.onlyTerm() : scope.termOf(relation);
      if (term !== null) columns.set('project_id', term);
    } else {
      const name = target.name ?? column?.fields.at(-1).String?.sval ?? `column ${index}`;
      columns.set(name, termOf(reading, target.val, scope));
    }
  }
  return columns;
}

/** The term of an expression that is a `project_id`, a parameter or a constant; null for others. */
function termOf(reading, expression, scope) {
  if (expression === undefined) return null;
  if (expression.TypeCast !== undefined) return termOf(reading, expression.TypeCast.arg, scope);
  if (expression.ParamRef !== undefined) return `${VALUE} $${expression.ParamRef.number}`;
  if (expression.A_Const !== undefined)
    return `${VALUE} ${JSON.stringify(expression.A_Const.ival ?? expression.A_Const.sval)}`;
  if (expression.ColumnRef !== undefined) return scope.resolve(expression.ColumnRef);
  return null;
}

function readFrom(reading, item, scope) {
  if (item.RangeVar !== undefined) addTable(reading, item.RangeVar, scope);
  else if (item.RangeSubselect !== undefined) {
    const { subquery, alias } = item.RangeSubselect;
    const columns = readStatement(reading, subquery, new Scope(scope, scope.ctes));
    scope.add(alias?.aliasname ?? reading.newTerm(), columns.get('project_id') ?? null);
  } else if (item.RangeFunction !== undefined) {
    readExpressions(reading, item.RangeFunction.functions, scope);
  } else if (item.JoinExpr !== undefined) {
    const { larg, rarg, quals, usingClause } = item.JoinExpr;
    const before = new Set(scope.relations.keys());
    readFrom(reading, larg, scope);
    readFrom(reading, rarg, scope);
    readCondition(reading, quals, scope);
    if (usingClause?.some((name) => name.String.sval === 'project_id')) {
      const joined = [...scope.relations].filter(([name, term]) => !before.has(name) && term !== null);
      for (const [, term] of joined.slice(1)) reading.equalities.unite(joined[0][1], term);
    }
  }
}

/** @returns the term of its `project_id`; null where it has none */
function addTable(reading, { relname, schemaname, alias }, scope, isTarget = false) {
  const name = alias?.aliasname ?? relname;
  let term;
  if (schemaname === undefined && scope.ctes.has(relname)) term = scope.ctes.get(relname);
  else {
    // Tables that are not distributed may bind others.
    term = schemaname === undefined ? reading.newTerm() : null;
    if (reading.dataTables.has(relname) && schemaname !== 'graphile_worker')
      reading.tables.push({ name: relname, term, isTarget });
  }
  if (relname === 'staged') term = null;
  scope.add(name, term);
  return term;
}

function readInsert(reading, node, scope) {
  const inner = withCtes(reading, node, scope);
  const select = node.selectStmt?.SelectStmt;
  const names = (node.cols ?? []).map(({ ResTarget: target }) => target.name);
  const index = names.indexOf('project_id');
  const target = new Scope(inner, inner.ctes);
  const term = addTable(reading, node.relation, target, true);
  reading.changed.add(node.relation.relname);
  if (select !== undefined) {
    const source = new Scope(inner, inner.ctes);
    const rows = select.valuesLists;
    if (rows !== undefined) {
      for (const { List: row } of rows) {
        readExpressions(reading, row.items, source);
        unite(reading, term, termOf(reading, row.items[index], source));
      }
    } else {
      const columns = readSelect(reading, select, source);
      unite(reading, term, [...columns.values()][index] ?? columns.get('project_id'));
    }
  }
  readExpressions(reading, node.onConflictClause, target);
  return readTargets(reading, node.returningClause?.exprs, target);
}

function readChange(reading, node, scope, from) {
  const inner = withCtes(reading, node, scope);
  const own = new Scope(inner, inner.ctes);
  addTable(reading, node.relation, own, true);
  reading.changed.add(node.relation.relname);
  for (const item of from ?? []) readFrom(reading, item, own);
  readCondition(reading, node.whereClause, own);
  readExpressions(reading, node.targetList, own);
  return readTargets(reading, node.returningClause?.exprs, own);
}

/** Learns equalities from a condition that must hold. */
function readCondition(reading, condition, scope) {
  if (condition === undefined) return;
  const { BoolExpr: bool, A_Expr: comparison, SubLink: link } = condition;
  if (bool?.boolop === 'AND_EXPR') {
    for (const each of bool.args) readCondition(reading, each, scope);
    return;
  }
  if (comparison?.kind === 'AEXPR_OP' && comparison.name[0].String.sval === '=') {
    const [left, right] = [comparison.lexpr, comparison.rexpr].map((side) => termOf(reading, side, scope));
    const isProject = [comparison.lexpr, comparison.rexpr].some(
      (side) => side.ColumnRef && scope.resolve(side.ColumnRef) !== null,
    );
    if (isProject) unite(reading, left, right);
  }
  if (link?.subLinkType === 'ANY_SUBLINK' && link.operName === undefined) {
    const columns = [...readStatement(reading, link.subselect, new Scope(scope, scope.ctes)).values()];
    const tested = link.testexpr.RowExpr?.args ?? [link.testexpr];
    for (const [index, expression] of tested.entries()) {
      if (expression.ColumnRef && scope.resolve(expression.ColumnRef) !== null) {
        unite(reading, termOf(reading, expression, scope), columns[index]);
      }
    }
    return;
  }
  readExpressions(reading, condition, scope);
}

function unite({ equalities }, a, b) {
  if (a != null && b != null) equalities.unite(a, b);
}

/** Reads the queries inside of expressions. */
function readExpressions(reading, node, scope) {
  if (Array.isArray(node)) for (const each of node) readExpressions(reading, each, scope);
  else if (typeof node === 'object' && node !== null) {
    for (const [type, value] of Object.entries(node)) {
      if (type === 'SubLink') {
        readExpressions(reading, value.testexpr, scope);
        readStatement(reading, value.subselect, new Scope(scope, scope.ctes));
      } else if (type === 'SelectStmt') readSelect(reading, value, new Scope(scope, scope.ctes));
      else readExpressions(reading, value, scope);
    }
  }
}
