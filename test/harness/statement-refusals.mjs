/** What Citus refuses, by the form of a statement: see docs/decisions/042. */

/** Calls back for each node of a tree, with its type. @param see returns false where the nodes below are left out */
export function visit(node, see) {
  if (Array.isArray(node)) for (const each of node) visit(each, see);
  else if (typeof node === 'object' && node !== null) {
    for (const [type, value] of Object.entries(node)) {
      if (value === undefined || see(type, value) === false) continue;
      visit(value, see);
    }
  }
}

/** Of a statement that touches several shards. */
export function shardFaults(stmt, dataTables) {
  const found = new Set();
  visit(stmt, (type, node) => {
    if (type === 'SelectStmt' && node.lockingClause !== undefined && readsData(node.fromClause, dataTables))
      found.add('it locks rows on several shards');
    if (type === 'RangeSubselect' && node.lateral && hasLimit(node.subquery) && readsData(node.subquery, dataTables))
      found.add('it has a LIMIT in a LATERAL subquery');
    if (type === 'withClause' && node.recursive && readsData(node, dataTables)) found.add('it is recursive');
    if (type === 'GroupingSet') found.add('it has GROUPING SETS');
  });
  return [...found];
}

function readsData(node, dataTables) {
  let reads = false;
  visit(node, (type, { relname }) => {
    reads ||= type === 'RangeVar' && dataTables.has(relname);
  });
  return reads;
}

function hasLimit(query) {
  return query.SelectStmt?.limitCount !== undefined;
}

/**
 * Parts that are evaluated on their own, as the CTEs of a write: their result is a table, which Citus reads with a list of its columns.
 * @param isWrite whether the statement changes a table of data
 */
export function columnFaults(stmt, dataTables, isWrite) {
  const found = new Set();
  const requireColumns = (part, select) => {
    if (select?.op !== 'SETOP_NONE' || select.targetList !== undefined || select.valuesLists !== undefined) return;
    if (readsData(select.fromClause, dataTables)) found.add(`${part} has no columns`);
  };
  visit(stmt, (type, node) => {
    if (type === 'CommonTableExpr' && isWrite) requireColumns(`the CTE ${node.ctename}`, node.ctequery.SelectStmt);
    if (type === 'larg' || type === 'rarg') requireColumns('a part of a UNION', node);
  });
  return [...found];
}

/** Functions in a write of a table of data whose results the shards would have to agree on. */
export function functionFaults(stmt, dataTables, mutableFunctions) {
  const found = new Set();
  const requireImmutable = (place, part) => {
    for (const name of callsIn(part, mutableFunctions)) found.add(`${name}() is not immutable and in ${place}`);
    if (addsInterval(part)) found.add(`the sum of a timestamptz is not immutable and in ${place}`);
  };
  visit(stmt, (type, node) => {
    if (!WRITES.has(type) || !dataTables.has(node.relation.relname)) return;
    requireImmutable('RETURNING', node.returningClause);
    const { onConflictClause: conflict } = node;
    if (conflict !== undefined) requireImmutable('DO UPDATE', [conflict.targetList, conflict.whereClause]);
    if (type === 'InsertStmt') return;
    for (const name of callsOfColumns([node.targetList, node.whereClause], mutableFunctions))
      found.add(`${name}() is not immutable and gets a column`);
    if (addsIntervalToColumn([node.targetList, node.whereClause]))
      found.add('the sum of a column and an interval is not immutable');
  });
  return [...found];
}

const WRITES = new Set(['InsertStmt', 'UpdateStmt', 'DeleteStmt']);

/** Visits an expression without its subqueries, which are planned on their own. */
function visitExpression(node, see) {
  visit(node, (type, value) => (type === 'SubLink' ? false : see(type, value)));
}

function nameOf({ funcname }) {
  return funcname.at(-1).String.sval;
}

function callsIn(part, mutableFunctions) {
  const names = [];
  visitExpression(part, (type, node) => {
    if (type === 'FuncCall' && mutableFunctions.has(nameOf(node))) names.push(nameOf(node));
  });
  return names;
}

function callsOfColumns(part, mutableFunctions) {
  const names = [];
  visitExpression(part, (type, node) => {
    if (type === 'FuncCall' && mutableFunctions.has(nameOf(node)) && hasColumn(node.args)) names.push(nameOf(node));
  });
  return names;
}

function hasColumn(part) {
  let has = false;
  visitExpression(part, (type) => {
    has ||= type === 'ColumnRef';
  });
  return has;
}

function addsInterval(part) {
  return findsSum(part, () => true);
}

function addsIntervalToColumn(part) {
  return findsSum(part, hasColumn);
}

/** Whether a part contains the sum or difference of an interval and an operand of this kind. */
function findsSum(part, isOperand) {
  let finds = false;
  visitExpression(part, (type, node) => {
    if (type !== 'A_Expr' || !['+', '-'].includes(node.name?.[0]?.String?.sval)) return;
    const { lexpr: left, rexpr: right } = node;
    finds ||= (isInterval(right) && isOperand(left)) || (isInterval(left) && isOperand(right));
  });
  return finds;
}

function isInterval(operand) {
  if (operand?.FuncCall !== undefined) return nameOf(operand.FuncCall) === 'make_interval';
  if (operand?.A_Expr?.name?.[0]?.String?.sval === '*')
    return isInterval(operand.A_Expr.lexpr) || isInterval(operand.A_Expr.rexpr);
  return operand?.TypeCast?.typeName.names.at(-1).String.sval === 'interval';
}
