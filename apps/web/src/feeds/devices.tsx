import type { JSX } from 'preact';
import { queryText } from '../api/api.js';
import { useLoad } from '../api/use-load.js';
import { usePages } from '../api/use-pages.js';
import { useSession } from '../session.js';
import { CountText } from '../ui/count-text.js';
import { LoadMore } from '../ui/load-more.js';
import { Panel } from '../ui/panel.js';
import { Empty, Loading, ProblemNote } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { WideList } from '../ui/wide-list.js';
import { useVisible } from '../ui/use-visible.js';
import type { Device, FirmwareEvent } from './types.js';

const EVENTS = 50;
const VERSIONS_CHART = queryText({
  op: 'count',
  series: 'data.version',
  chart: 'bars',
  data: '{"version":{"$exists":true}}',
});

interface Props {
  current: string | undefined;
  onOpen: (deviceId: string | null) => void;
}

/** The devices of the project, each with the newest event of its firmware. */
export function Devices({ current, onOpen }: Props): JSX.Element {
  const pages = usePages<Device>('/devices');
  return (
    <>
      <div class="toolbar">
        <CountText count={pages.count} one="device" many="devices" />
        <a href={`/browse/charts${VERSIONS_CHART}`}>Chart of versions</a>
      </div>
      {pages.problem !== null && <ProblemNote problem={pages.problem} onRetry={pages.retry} />}
      {pages.items.length === 0 && pages.isLoading && <Loading label="Loading devices" />}
      {pages.items.length === 0 && !pages.isLoading && pages.problem === null && (
        <Empty title="This project has no devices yet">
          <p>
            An admin creates devices. <a href="/guides/feeds">How devices report their firmware</a>
          </p>
        </Empty>
      )}
      {pages.items.length > 0 && (
        <WideList label="Devices">
          <thead>
            <tr>
              <th scope="col">Device</th>
              <th scope="col">Newest version</th>
              <th scope="col">Status</th>
              <th scope="col">Reported (UTC)</th>
            </tr>
          </thead>
          <tbody>
            {pages.items.map(({ device_id }) => (
              <DeviceRow key={device_id} deviceId={device_id} onOpen={onOpen} />
            ))}
          </tbody>
        </WideList>
      )}
      <LoadMore pages={pages} />
      {current !== undefined && <DevicePanel deviceId={current} onClose={() => onOpen(null)} />}
    </>
  );
}

function DeviceRow({ deviceId, onOpen }: { deviceId: string; onOpen: Props['onOpen'] }): JSX.Element {
  const { api } = useSession();
  const [row, isVisible] = useVisible<HTMLTableRowElement>();
  const events = useLoad(isVisible ? deviceId : null, (signal) =>
    api.get<FirmwareEvent[]>(firmwarePath(deviceId), { page_size: 1 }, signal),
  );
  const event = events.data?.[0];
  const error = events.problem?.detail ?? events.problem?.title;
  return (
    <tr ref={row}>
      <td>
        <button type="button" class="plain link" onClick={() => onOpen(deviceId)}>
          {deviceId}
        </button>
      </td>
      {event === undefined ? (
        <td colSpan={3} class={error === undefined ? 'muted' : 'error-text'}>
          {error ?? (events.data === null ? '…' : 'no reports yet')}
        </td>
      ) : (
        <>
          <td>{event.version}</td>
          <td>{event.status ?? ''}</td>
          <td>
            <TimeText time={event.timestamp} />
          </td>
        </>
      )}
    </tr>
  );
}

function DevicePanel({ deviceId, onClose }: { deviceId: string; onClose: () => void }): JSX.Element {
  const { api } = useSession();
  const events = useLoad(deviceId, (signal) =>
    api.get<FirmwareEvent[]>(firmwarePath(deviceId), { page_size: EVENTS }, signal),
  );
  return (
    <Panel title={deviceId} label={`Device ${deviceId}`} onClose={onClose}>
      <p class="actions">
        <a href={`/browse/objects${queryText({ subject: deviceId })}`}>All its objects</a>
      </p>
      {events.problem !== null && <ProblemNote problem={events.problem} onRetry={events.reload} />}
      {events.isLoading && <Loading label="Loading reports" />}
      {events.data?.length === 0 && <Empty title="No reports yet" />}
      {events.data !== null && events.data.length > 0 && (
        <table class="list">
          <thead>
            <tr>
              <th scope="col">Reported (UTC)</th>
              <th scope="col">Version</th>
              <th scope="col">Status</th>
            </tr>
          </thead>
          <tbody>
            {events.data.map(({ id, timestamp, version, status }) => (
              <tr key={id}>
                <td>
                  <TimeText time={timestamp} />
                </td>
                <td>{version}</td>
                <td>{status ?? ''}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {events.data?.length === EVENTS && <p class="muted">The newest {EVENTS}.</p>}
    </Panel>
  );
}

function firmwarePath(deviceId: string): string {
  return `/firmware/${encodeURIComponent(deviceId)}`;
}
