import type { JSX } from 'preact';
import { useEffect, useMemo, useState } from 'preact/hooks';
import type { Query, Schemas } from '../api/client.js';
import { curlText, given, queryText, urlText } from '../api/parameters.js';
import { useGet } from '../api/use-get.js';
import { PAGE_SIZE, usePages, type Count } from '../api/use-pages.js';
import { textsOf, useQuery } from '../query.js';
import { CopyButton } from '../ui/copy-button.js';
import { CountText } from '../ui/count-text.js';
import { Empty, Loading, ProblemNote } from '../ui/states.js';
import { CellMenu } from './cell-menu.js';
import { ColumnsDialog } from './columns-dialog.js';
import { dataOf, isSame, type Condition } from './conditions.js';
import { ExportDialog } from './export-dialog.js';
import { Facets } from './facets.js';
import { FilterBar } from './filter-bar.js';
import { Histogram } from './histogram.js';
import { ObjectPanel } from './object-panel.js';
import { ObjectTable, type Cell } from './object-table.js';
import { conditionsOf, filterInData, filterParameters, OBJECTS_PARAMETERS } from './objects-query.js';

type KeyInUse = Schemas['ObjectKeyDto'];

/** Columns at first: the keys that most objects have, of those that match the filter. */
const COLUMNS = 6;

/** Objects of all batches: filter, values, time, table, and one object. */
export function ObjectsPage(): JSX.Element {
  const [query, change] = useQuery(OBJECTS_PARAMETERS);
  const [cell, setCell] = useState<Cell | null>(null);
  const [dialog, setDialog] = useState<'columns' | 'export' | null>(null);
  const keysInUse = useGet('/api/v1/objects/keys');
  const filter = filterParameters(query);
  const list = { ...filter, ...given({ sort: query.sort }) };
  const pages = usePages('/api/v1/objects', { query: list });
  const isFiltered = Object.keys(filter).length > 0;
  const keys = useMemo(
    () => shownKeys(keysInUse.data?.results ?? [], isFiltered ? pages.items : []),
    [keysInUse.data, isFiltered, pages.items],
  );
  const encryptedKeys = useMemo(() => new Set(keys.filter(({ encrypted }) => encrypted).map(({ key }) => key)), [keys]);
  const columns = textsOf(query.columns) ?? keys.slice(0, COLUMNS).map(({ key }) => key);
  // Without them the table would change its columns when the keys arrive.
  const hasColumns = query.columns !== undefined || !keysInUse.isLoading;
  const conditions = useMemo(() => conditionsOf(query.data), [query.data]);
  // Values and the chart have no parameter for a value of any key.
  const canSummarize = pages.problem?.status !== 400 && query.value === undefined;
  useEffect(() => {
    const changes = filterInData(query);
    if (changes !== null) change(changes, true);
  });

  const addCondition = (key: string, value: unknown, isExcluded: boolean): void => {
    const condition: Condition = { key, isLiteral: true, operator: isExcluded ? 'ne' : 'eq', value };
    if (conditions === null || conditions.some((known) => isSame(known, condition))) return;
    change({ data: dataOf([...conditions, condition]) });
  };

  return (
    <main id="main" class="objects">
      <FilterBar query={query} conditions={conditions} keys={keys} all="All objects" onChange={change} />
      {/* A filter that the server rejects is explained once, above the table. */}
      <Facets
        keys={canSummarize && !(isFiltered && pages.items.length === 0 && pages.isLoading) ? keys : []}
        filter={filter}
        onFilter={addCondition}
      />
      <section class="results" aria-label="Objects">
        <Histogram
          filter={canSummarize ? filter : null}
          onSelect={(observed_from, observed_until) => change({ observed_from, observed_until })}
        />
        <div class="toolbar">
          <ObjectCount count={pages.count} list={list} />
          <button type="button" onClick={() => setDialog('columns')}>
            Columns
          </button>
          <button type="button" onClick={() => setDialog('export')}>
            Download
          </button>
          <a href={`/browse/charts${queryText({ ...filter, key: null, value: null })}`}>Chart</a>
          <CopyButton label="Copy as curl" text={curlText('/api/v1/objects', list)} />
          <CopyButton label="Copy as URL" text={urlText('/api/v1/objects', list)} />
        </div>
        {pages.problem !== null && <ProblemNote problem={pages.problem} onRetry={pages.retry} />}
        {pages.problem === null && pages.items.length === 0 && !pages.isLoading && (
          <Empty title="No objects match">
            <p>{isFiltered ? 'Remove a condition of the filter.' : 'This project has no objects yet.'}</p>
          </Empty>
        )}
        {((pages.items.length === 0 && pages.isLoading) || (pages.items.length > 0 && !hasColumns)) && (
          <Loading label="Loading objects" />
        )}
        {pages.items.length > 0 && hasColumns && (
          <ObjectTable
            key={JSON.stringify(list)}
            objects={pages.items}
            columns={columns}
            encryptedKeys={encryptedKeys}
            sort={query.sort}
            hasMore={pages.hasMore}
            isLoading={pages.isLoading}
            onMore={pages.loadMore}
            onSort={(sort) => change({ sort })}
            onOpen={(object) => change({ object })}
            onCell={setCell}
          />
        )}
      </section>
      {query.object !== undefined && (
        <ObjectPanel
          objectId={query.object}
          onClose={() => change({ object: null })}
          onOpen={(object) => change({ object })}
          onBatch={(batch_id) => change({ batch_id, object: null })}
          onSubject={(subject) => change({ subject, object: null })}
        />
      )}
      {cell !== null && (
        <CellMenu
          cell={cell}
          onFilter={encryptedKeys.has(cell.key) ? null : (isExcluded) => addCondition(cell.key, cell.value, isExcluded)}
          onClose={() => setCell(null)}
        />
      )}
      {dialog === 'columns' && (
        <ColumnsDialog
          keys={keys}
          columns={columns}
          onChange={(next) => change({ columns: JSON.stringify(next) })}
          onClose={() => setDialog(null)}
        />
      )}
      {dialog === 'export' && <ExportDialog filter={filter} sort={query.sort} onClose={() => setDialog(null)} />}
    </main>
  );
}

/** The keys that most objects have first; where objects are given, those that they have before the others. */
function shownKeys(keys: readonly KeyInUse[], objects: readonly Schemas['ObjectDto'][]): readonly KeyInUse[] {
  const own = new Set(objects.slice(0, PAGE_SIZE).flatMap(({ data }) => data.map(({ key }) => key)));
  const isOwn = ({ key }: KeyInUse): boolean => own.has(key);
  return [...keys.filter(isOwn), ...keys.filter((known) => !isOwn(known))];
}

/** The number of matches, and how certain it is; a lower bound can be counted exactly. */
function ObjectCount({ count, list }: { count: Count | null; list: Query<'listObjects'> }): JSX.Element {
  const [exactOf, setExactOf] = useState<string | null>(null);
  const key = JSON.stringify(list);
  const exact = useGet(exactOf === key ? '/api/v1/objects' : null, {
    query: { ...list, count: 'exact', page_size: 1, fields: 'object_id' },
  });
  if (exactOf === key && exact.data !== null && !exact.isLoading)
    return <CountText count={exact.data} one="object" many="objects" />;
  return (
    <>
      <CountText count={count} one="object" many="objects" />
      {count?.count_is === 'at_least' && (
        <button type="button" disabled={exact.isLoading} onClick={() => setExactOf(key)}>
          {exact.isLoading ? 'Counting …' : 'Count all'}
        </button>
      )}
    </>
  );
}
