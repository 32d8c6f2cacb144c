import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { queryText } from '../api/parameters.js';
import { usePages } from '../api/use-pages.js';
import { useSession } from '../session.js';
import { CountText } from '../ui/count-text.js';
import { PagedList } from '../ui/paged-list.js';
import { Empty } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { SecretDialog } from './secret-dialog.js';

/** The devices of the project. */
export function AdminDevices(): JSX.Element {
  const pages = usePages('/api/v1/devices');
  const [isCreating, setCreating] = useState(false);
  const empty = (
    <Empty title="This project has no devices yet">
      <p>A device has keys of its own, with which it reports its firmware.</p>
    </Empty>
  );
  return (
    <>
      <div class="toolbar">
        <CountText count={pages.count} one="device" many="devices" />
        <button type="button" class="primary" onClick={() => setCreating(true)}>
          Create a device
        </button>
      </div>
      <PagedList pages={pages} name="devices" empty={empty}>
        {(devices) => (
          <table class="list">
            <thead>
              <tr>
                <th scope="col">Device</th>
                <th scope="col">Created (UTC)</th>
              </tr>
            </thead>
            <tbody>
              {devices.map(({ device_id, created_at }) => (
                <tr key={device_id}>
                  <th scope="row">
                    <a href={`/browse/feeds${queryText({ device: device_id })}`} title="Its firmware">
                      {device_id}
                    </a>
                  </th>
                  <td>
                    <TimeText time={created_at} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        )}
      </PagedList>
      {isCreating && <CreateDeviceDialog onClose={() => setCreating(false)} onCreated={pages.reload} />}
    </>
  );
}

function CreateDeviceDialog(props: { onClose: () => void; onCreated: () => void }): JSX.Element {
  const { client } = useSession();
  const [id, setId] = useState('');
  const body = { device_id: id };
  return (
    <SecretDialog
      {...props}
      title="Create a device"
      labels={['Create', 'Creating']}
      body={body}
      create={(header) => client.POST('/api/v1/devices', { params: { header }, body })}
    >
      <label>
        Id of the device, unique in the installation
        <input required value={id} onInput={(event) => setId(event.currentTarget.value)} />
      </label>
    </SecretDialog>
  );
}
