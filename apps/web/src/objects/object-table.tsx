import type { JSX } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import type { Schemas } from '../api/client.js';
import { displayText } from '../api/json.js';

const ROW_HEIGHT = 32;
/** Rows that are rendered above and below the visible ones. */
const MARGIN_ROWS = 12;

/** The columns that every object has. */
const FIXED_COLUMNS = ['object_id', 'batch_id', 'observed_at'] as const;
type FixedColumn = (typeof FIXED_COLUMNS)[number];

export interface Cell {
  object: Schemas['ObjectDto'];
  /** A key of the data. */
  key: string;
  value: unknown;
  /** Where the cell is on the screen. */
  place: DOMRect;
}

interface Props {
  objects: readonly Schemas['ObjectDto'][];
  columns: readonly string[];
  /** Those of the columns whose values are encrypted, by which objects cannot be sorted. */
  encryptedKeys: ReadonlySet<string>;
  sort: string | undefined;
  hasMore: boolean;
  isLoading: boolean;
  onMore: () => void;
  onSort: (sort: string | null) => void;
  onOpen: (objectId: string) => void;
  onCell: (cell: Cell) => void;
}

/**
 * A table of any number of rows, of which only the visible ones are rendered. The arrow keys move between the cells.
 */
export function ObjectTable(props: Props): JSX.Element {
  const { objects, columns, hasMore, isLoading, onMore } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const [range, setRange] = useState({ first: 0, last: 40 });
  const [active, setActive] = useState({ row: 0, column: 0 });
  const isMoving = useRef(false);

  const measure = (): void => {
    const element = scroller.current;
    if (element === null) return;
    const first = Math.max(0, Math.floor(element.scrollTop / ROW_HEIGHT) - MARGIN_ROWS);
    const last = Math.ceil((element.scrollTop + element.clientHeight) / ROW_HEIGHT) + MARGIN_ROWS;
    setRange((range) => (range.first === first && range.last === last ? range : { first, last }));
  };
  useLayoutEffect(measure, [objects.length]);
  useEffect(() => {
    if (hasMore && range.last >= objects.length) onMore();
  }, [range, objects.length, hasMore, isLoading]);
  useLayoutEffect(() => {
    if (!isMoving.current) return;
    isMoving.current = false;
    const name = `[data-cell="${String(active.row)} ${String(active.column)}"]`;
    scroller.current?.querySelector<HTMLElement>(name)?.focus();
  }, [active, range]);

  const move = (event: KeyboardEvent): void => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const row = Math.min(Math.max(active.row + (step[0] ?? 0), 0), objects.length - 1);
    const column = Math.min(Math.max(active.column + (step[1] ?? 0), 0), FIXED_COLUMNS.length + columns.length - 1);
    isMoving.current = true;
    setActive({ row, column });
    const element = scroller.current;
    if (element === null) return;
    const top = row * ROW_HEIGHT;
    if (top < element.scrollTop) element.scrollTop = top;
    const below = top + 2 * ROW_HEIGHT - element.scrollTop - element.clientHeight;
    if (below > 0) element.scrollTop += below;
  };

  const first = Math.min(range.first, objects.length);
  const visible = objects.slice(first, range.last);
  return (
    <div class="table-scroller" ref={scroller} onScroll={measure} aria-busy={isLoading}>
      <table
        aria-rowcount={hasMore ? -1 : objects.length + 1}
        onKeyDown={move}
        style={{ minWidth: tableWidth(columns) }}
      >
        <colgroup>
          {FIXED_COLUMNS.map((column) => (
            <col key={column} style={{ width: `${String(FIXED_WIDTH)}px` }} />
          ))}
          <col span={Math.max(columns.length, 1)} />
        </colgroup>
        <thead>
          <tr>
            {FIXED_COLUMNS.map((column) => (
              <Heading key={column} name={column} sortKey={column} {...props} />
            ))}
            {columns.map((column) =>
              props.encryptedKeys.has(column) ? (
                <th key={column} scope="col">
                  {column} <span class="muted">encrypted</span>
                </th>
              ) : (
                <Heading key={column} name={column} sortKey={`data.${column}`} {...props} />
              ),
            )}
          </tr>
        </thead>
        <tbody>
          <tr aria-hidden="true" style={{ height: `${String(first * ROW_HEIGHT)}px` }} />
          {visible.map((object, index) => (
            <Row key={object.object_id} row={first + index} object={object} active={active} {...props} />
          ))}
          <tr
            aria-hidden="true"
            style={{ height: `${String((objects.length - first - visible.length) * ROW_HEIGHT)}px` }}
          />
        </tbody>
      </table>
    </div>
  );
}

/** In pixels. */
const FIXED_WIDTH = 175;
const KEY_WIDTH = 120;

function tableWidth(columns: readonly string[]): string {
  return `${String(FIXED_WIDTH * FIXED_COLUMNS.length + KEY_WIDTH * columns.length)}px`;
}

/** `2026-11-26 21:00:12`: a time in UTC, to the second. */
function timeText(time: string): string {
  return time.replace('T', ' ').replace(/(\.\d+)?Z$/, '');
}

function Heading({ name, sortKey, sort, onSort }: Props & { name: string; sortKey: string }): JSX.Element {
  const direction = sort === sortKey ? 'ascending' : sort === `-${sortKey}` ? 'descending' : undefined;
  const next = direction === undefined ? sortKey : direction === 'ascending' ? `-${sortKey}` : null;
  return (
    <th scope="col" aria-sort={direction}>
      <button type="button" class="plain" title={`Sort by ${name}`} onClick={() => onSort(next)}>
        {name} {direction === undefined ? '' : direction === 'ascending' ? '↑' : '↓'}
      </button>
    </th>
  );
}

interface RowProps extends Props {
  row: number;
  object: Schemas['ObjectDto'];
  active: { row: number; column: number };
}

function Row({ row, object, columns, active, onOpen, onCell }: RowProps): JSX.Element {
  const attributes = (column: number): Record<string, string | number> => ({
    'data-cell': `${String(row)} ${String(column)}`,
    tabIndex: row === active.row && column === active.column ? 0 : -1,
  });
  const fixed = (column: FixedColumn): JSX.Element | string => {
    if (column === 'observed_at') return timeText(object.observed_at);
    if (column !== 'object_id') return object[column];
    return (
      <button type="button" class="plain link" {...attributes(0)} onClick={() => onOpen(object.object_id)}>
        {object.object_id}
      </button>
    );
  };
  return (
    <tr aria-rowindex={row + 2}>
      {FIXED_COLUMNS.map((column, index) => (
        <td key={column} title={object[column]} {...(index === 0 ? {} : attributes(index))}>
          {fixed(column)}
        </td>
      ))}
      {columns.map((key, index) => {
        const values = object.data.filter((pair) => pair.key === key).map((pair) => pair.value);
        const [value] = values;
        const at = attributes(FIXED_COLUMNS.length + index);
        if (value === undefined) return <td key={key} {...at} />;
        const text = values.map(displayText).join(', ');
        return (
          <td key={key} class={typeof value === 'string' ? undefined : 'exact'} title={text}>
            <button
              type="button"
              class="plain"
              aria-haspopup="menu"
              {...at}
              onClick={(event) => onCell({ object, key, value, place: event.currentTarget.getBoundingClientRect() })}
            >
              {text}
            </button>
          </td>
        );
      })}
    </tr>
  );
}
