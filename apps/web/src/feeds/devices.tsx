import type { JSX } from 'preact';
import { queryText } from '../api/parameters.js';
import { useGet } from '../api/use-get.js';
import { usePages } from '../api/use-pages.js';
import { CountText } from '../ui/count-text.js';
import { PagedList } from '../ui/paged-list.js';
import { Panel } from '../ui/panel.js';
import { Empty, Loading, ProblemNote, problemText } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { WideList } from '../ui/wide-list.js';
import { useVisible } from '../ui/use-visible.js';

const FIRMWARE = '/api/v1/firmware/{device_id}';
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
  const pages = usePages('/api/v1/devices');
  const empty = (
    <Empty title="This project has no devices yet">
      <p>
        An admin creates devices. <a href="/guides/feeds">How devices report their firmware</a>
      </p>
    </Empty>
  );
  return (
    <>
      <div class="toolbar">
        <CountText count={pages.count} one="device" many="devices" />
        <a href={`/browse/charts${VERSIONS_CHART}`}>Chart of versions</a>
      </div>
      <PagedList pages={pages} name="devices" empty={empty}>
        {(devices) => (
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
              {devices.map(({ device_id }) => (
                <DeviceRow key={device_id} deviceId={device_id} onOpen={onOpen} />
              ))}
            </tbody>
          </WideList>
        )}
      </PagedList>
      {current !== undefined && <DevicePanel deviceId={current} onClose={() => onOpen(null)} />}
    </>
  );
}

function DeviceRow({ deviceId, onOpen }: { deviceId: string; onOpen: Props['onOpen'] }): JSX.Element {
  const [row, isVisible] = useVisible<HTMLTableRowElement>();
  const events = useGet(isVisible ? FIRMWARE : null, { path: { device_id: deviceId }, query: { page_size: 1 } });
  const event = events.data?.[0];
  const error = events.problem === null ? undefined : problemText(events.problem);
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
  const events = useGet(FIRMWARE, { path: { device_id: deviceId }, query: { page_size: EVENTS } });
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
