/**
 * The filters of `questions`: the name, the query parameters, and the same condition as SQL in one form or two. The bare handler
 * runs the form that is quicker.
 */
export const FILTERS = [
  filter('no filter', {}, 'TRUE'),
  pairs('rare pair (100 objects)', { rare: 'yes' }),
  pairs('pair of 5 %', { status: 'held' }),
  pairs('pair of 50 %', { status: 'open' }),
  pairs('pair of the oldest 5 % only', { era: 'old' }),
  filter('key only', { key: 'serial' }, has([{ key: 'serial' }])),
  filter('value only', { value: 's42' }, has([{ value: 's42' }])),
  pairs('two pairs', { type: 't3', status: 'open' }),
  pairs('three pairs, one rare', { type: 't3', status: 'open', rare: 'yes' }),
  filter(
    '$or',
    data({ $or: [{ type: 't3' }, { color: 'c7' }] }),
    `(${has([{ key: 'type', value: 't3' }])} OR ${has([{ key: 'color', value: 'c7' }])})`,
  ),
  filter(
    '$in',
    data({ supplier: { $in: ['s1', 's2', 's3'] } }),
    `(${['s1', 's2', 's3'].map((value) => has([{ key: 'supplier', value }])).join(' OR ')})`,
    `data @? '$[*] ? (@.key == "supplier" && (@.value == "s1" || @.value == "s2" || @.value == "s3"))'`,
  ),
  filter(
    '$not',
    data({ type: 't3', $not: { status: 'open' } }),
    `${has([{ key: 'type', value: 't3' }])} AND NOT ${has([{ key: 'status', value: 'open' }])}`,
  ),
  range('range in the middle', 'price', { $gte: 40, $lt: 50 }),
  range('range at the tail', 'price', { $gte: 99.9 }),
  filter(
    'prefix',
    data({ shipped: { $prefix: '2025-03' } }),
    `data @? '$[*] ? (@.key == "shipped" && @.value starts with "2025-03")'`,
    `${has([{ key: 'shipped' }])} AND EXISTS (SELECT FROM jsonb_array_elements(data) AS pair
       WHERE pair ->> 'key' = 'shipped' AND pair ->> 'value' LIKE '2025-03%' AND jsonb_typeof(pair -> 'value') = 'string')`,
  ),
  pairs('nothing matches', { type: 'none' }),
  pairs('nothing matches two common pairs', { type: 't0', status: 'held' }),
];

function filter(name, parameters, ...conditions) {
  return { name, parameters, conditions };
}

function data(value) {
  return { data: JSON.stringify(value) };
}

function has(elements) {
  return `data @> '${JSON.stringify(elements)}'`;
}

function pairs(name, values) {
  return filter(name, data(values), has(Object.entries(values).map(([key, value]) => ({ key, value }))));
}

/** A range of numbers: the lower bound is inclusive, the upper one exclusive. */
function range(name, key, { $gte, $lt }) {
  const upperPath = $lt === undefined ? '' : ` && @.value < ${$lt}`;
  const upperSql = $lt === undefined ? '' : ` AND pair -> 'value' < '${$lt}'`;
  return filter(
    name,
    data({ [key]: { $gte, $lt } }),
    `data @? '$[*] ? (@.key == "${key}" && @.value >= ${$gte}${upperPath})'`,
    `${has([{ key }])} AND EXISTS (SELECT FROM jsonb_array_elements(data) AS pair
       WHERE pair ->> 'key' = '${key}' AND jsonb_typeof(pair -> 'value') = 'number'
         AND pair -> 'value' >= '${$gte}'${upperSql})`,
  );
}

const COLUMNS = 'seq, object_id, batch_id, subject, observed_at, data';

/** SQL of the page of 10: the planner decides, or all matches are found and sorted. `$1` is the project. */
export function pageForms({ conditions }) {
  return conditions.flatMap((condition) => [
    `SELECT ${COLUMNS} FROM objects WHERE project_id = $1 AND ${condition} ORDER BY seq DESC LIMIT 11`,
    `WITH found AS MATERIALIZED (SELECT seq FROM objects WHERE project_id = $1 AND ${condition}),
       newest AS (SELECT seq FROM found ORDER BY seq DESC LIMIT 11)
     SELECT ${COLUMNS} FROM newest JOIN objects USING (seq) WHERE project_id = $1 ORDER BY seq DESC`,
  ]);
}

/** SQL of the count up to 1,000. Without a filter also the exact one, from the counts of the batches. */
export function countForms({ conditions }) {
  const forms = conditions.flatMap((condition) => {
    const all = `FROM objects WHERE project_id = $1 AND ${condition}`;
    return [
      `SELECT count(*) FROM (SELECT ${all} LIMIT 1001) AS found`,
      `WITH found AS MATERIALIZED (SELECT ${all}) SELECT count(*) FROM (SELECT FROM found LIMIT 1001) AS counted`,
    ];
  });
  if (conditions[0] !== 'TRUE') return forms;
  return [...forms, 'SELECT sum(object_count) AS count FROM batches WHERE project_id = $1'];
}
