/** A node of EXPLAIN (FORMAT JSON), of which only these members are read. */
interface PlanNode {
  'Node Type'?: string;
  'Relation Name'?: string;
  'Index Name'?: string;
  'CTE Name'?: string;
  'Subplan Name'?: string;
  'Total Cost'?: number;
  'Plan Rows'?: number;
  Plans?: PlanNode[];
}

const LINES_MAX = 60;

/** The nodes of a plan, one a line, indented by their depth; without conditions, which contain values. @param json of EXPLAIN */
export function planLines(json: unknown): string[] {
  const [first] = json as [{ Plan?: PlanNode }?];
  const lines: string[] = [];
  if (first?.Plan !== undefined) addLines(lines, first.Plan, 0);
  return lines;
}

function addLines(lines: string[], node: PlanNode, depth: number): void {
  if (lines.length >= LINES_MAX) return;
  const [type = '?', relation, index] = [
    node['Node Type'],
    node['Relation Name'] ?? node['CTE Name'],
    node['Index Name'],
  ];
  const target = [relation && `on ${relation}`, index && `by ${index}`, node['Subplan Name']].filter(Boolean);
  const estimate = `(rows ${String(node['Plan Rows'])}, cost ${String(node['Total Cost'])})`;
  lines.push(`${'  '.repeat(depth)}${[type, ...target, estimate].join(' ')}`);
  for (const child of node.Plans ?? []) addLines(lines, child, depth + 1);
}
