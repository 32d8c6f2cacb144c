import type { JSX } from 'preact';
import type { Schemas } from '../api/client.js';
import { displayText } from '../api/json.js';
import { queryText } from '../api/parameters.js';
import { useGet } from '../api/use-get.js';
import { numberText } from '../charts/number-text.js';
import type { Changes } from '../query.js';
import { Empty, Loading, ProblemNote, problemText } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { WideList } from '../ui/wide-list.js';
import { useVisible } from '../ui/use-visible.js';

/** The most values that the facets of a key have. */
const LISTED = 1_000;
const TEMPERATURES = '/api/v1/buildings/{building}/rooms/{room}/temperatures';
const DURATIONS = [
  ['15m', '15 minutes'],
  ['1h', 'hour'],
  ['1d', 'day'],
  ['1w', 'week'],
  ['30d', '30 days'],
  ['365d', '365 days'],
] as const;

interface Props {
  building: string | undefined;
  duration: string;
  onChange: (changes: Changes<'building' | 'duration'>) => void;
}

/** The rooms of a building, each with its newest reading and its average. */
export function Rooms({ building, duration, onChange }: Props): JSX.Element {
  const buildings = useGet('/api/v1/objects/facets', {
    query: { key: 'building', size: LISTED, data: filterOf({}) },
  });
  const names = textsOf(buildings.data).sort();
  const current = building ?? names[0];
  if (buildings.problem !== null) return <ProblemNote problem={buildings.problem} onRetry={buildings.reload} />;
  if (buildings.data === null) return <Loading label="Loading buildings" />;
  if (current === undefined) {
    return (
      <Empty title="This project has no rooms yet">
        <p>
          A room exists when it has a temperature. <a href="/guides/feeds">How to send temperatures</a>
        </p>
      </Empty>
    );
  }
  return (
    <>
      <div class="toolbar rooms-toolbar">
        <label>
          Building{' '}
          <select value={current} onChange={(event) => onChange({ building: event.currentTarget.value })}>
            {Array.from(new Set([...names, current]), (name) => (
              <option key={name} value={name}>
                {name}
              </option>
            ))}
          </select>
        </label>
        <label>
          Average of the last{' '}
          <select value={duration} onChange={(event) => onChange({ duration: event.currentTarget.value })}>
            {DURATIONS.map(([value, words]) => (
              <option key={value} value={value}>
                {words}
              </option>
            ))}
            {DURATIONS.every(([value]) => value !== duration) && <option value={duration}>{duration}</option>}
          </select>
        </label>
        <a href={chartOf({ building: current }, 'data.room')}>Chart of all its rooms</a>
      </div>
      {buildings.data.other > 0 && <p class="muted">Only the {LISTED} buildings with the most readings are listed.</p>}
      <RoomTable building={current} duration={duration} />
    </>
  );
}

function RoomTable({ building, duration }: { building: string; duration: string }): JSX.Element {
  const rooms = useGet('/api/v1/objects/facets', {
    query: { key: 'room', size: LISTED, data: filterOf({ building }) },
  });
  if (rooms.problem !== null) return <ProblemNote problem={rooms.problem} onRetry={rooms.reload} />;
  if (rooms.data === null || rooms.isLoading) return <Loading label="Loading rooms" />;
  const names = textsOf(rooms.data).sort();
  if (names.length === 0) return <Empty title="This building has no rooms" />;
  return (
    <>
      <WideList label={`Rooms of ${building}`}>
        <thead>
          <tr>
            <th scope="col">Room</th>
            <th scope="col" class="number">
              Newest
            </th>
            <th scope="col">Recorded (UTC)</th>
            <th scope="col" class="number">
              Average
            </th>
            <th scope="col" class="number">
              Readings
            </th>
          </tr>
        </thead>
        <tbody>
          {names.map((room) => (
            <RoomRow key={room} building={building} room={room} duration={duration} />
          ))}
        </tbody>
      </WideList>
      {rooms.data.other > 0 && <p class="muted">Only the {LISTED} rooms with the most readings are listed.</p>}
    </>
  );
}

function RoomRow({ building, room, duration }: { building: string; room: string; duration: string }): JSX.Element {
  const [row, isVisible] = useVisible<HTMLTableRowElement>();
  const path = { building, room };
  const newest = useGet(isVisible ? TEMPERATURES : null, { path, query: { page_size: 1, count: 'none' } });
  const average = useGet(isVisible ? `${TEMPERATURES}/average` : null, { path, query: { duration } });
  const reading = newest.data?.results[0];
  return (
    <tr ref={row}>
      <th scope="row">
        <a href={chartOf({ building, room })} title="Chart of this room">
          {room}
        </a>
      </th>
      <td class="number">{reading === undefined ? '' : numberText(reading.temperature)}</td>
      <td>
        {reading !== undefined && <TimeText time={reading.recorded_at} />}
        {newest.problem !== null && <span class="error-text">{problemText(newest.problem)}</span>}
      </td>
      {average.problem === null ? (
        <>
          <td class="number" aria-busy={average.isLoading}>
            {average.data === null ? '…' : numberText(average.data.average_temperature)}
          </td>
          <td class="number">{average.data?.reading_count.toLocaleString('en')}</td>
        </>
      ) : (
        <td colSpan={2} class={average.problem.status === 404 ? 'number muted' : 'number error-text'}>
          {average.problem.status === 404 ? 'no readings' : problemText(average.problem)}
        </td>
      )}
    </tr>
  );
}

/** Objects of the feed, and no others with such a key. */
function filterOf(place: { building?: string; room?: string }): string {
  return JSON.stringify({ ...place, temperature: { $exists: true } });
}

function chartOf(place: { building: string; room?: string }, series?: string): string {
  const data = JSON.stringify(place);
  return `/browse/charts${queryText({ op: 'avg', key: 'temperature', series, data })}`;
}

function textsOf(facet: Schemas['FacetDto'] | null): string[] {
  return facet?.results.map(({ value }) => displayText(value)) ?? [];
}
