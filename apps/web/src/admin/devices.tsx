import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { queryText } from '../api/api.js';
import { usePages } from '../api/use-pages.js';
import { useSubmit } from '../api/use-submit.js';
import type { Device } from '../feeds/types.js';
import { useSession } from '../session.js';
import { CountText } from '../ui/count-text.js';
import { Dialog } from '../ui/dialog.js';
import { LoadMore } from '../ui/load-more.js';
import { Empty, Loading, ProblemNote } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { NewSecret } from './new-secret.js';

/** The devices of the project. */
export function AdminDevices(): JSX.Element {
  const pages = usePages<Device>('/devices');
  const [isCreating, setCreating] = useState(false);
  return (
    <>
      <div class="toolbar">
        <CountText count={pages.count} one="device" many="devices" />
        <button type="button" class="primary" onClick={() => setCreating(true)}>
          Create a device
        </button>
      </div>
      {pages.problem !== null && <ProblemNote problem={pages.problem} onRetry={pages.retry} />}
      {pages.items.length === 0 && pages.isLoading && <Loading label="Loading devices" />}
      {pages.items.length === 0 && !pages.isLoading && pages.problem === null && (
        <Empty title="This project has no devices yet">
          <p>A device has keys of its own, with which it reports its firmware.</p>
        </Empty>
      )}
      {pages.items.length > 0 && (
        <table class="list">
          <thead>
            <tr>
              <th scope="col">Device</th>
              <th scope="col">Created (UTC)</th>
            </tr>
          </thead>
          <tbody>
            {pages.items.map(({ device_id, created_at }) => (
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
      <LoadMore pages={pages} />
      {isCreating && <CreateDeviceDialog onClose={() => setCreating(false)} onCreated={pages.reload} />}
    </>
  );
}

function CreateDeviceDialog(props: { onClose: () => void; onCreated: () => void }): JSX.Element {
  const { onClose, onCreated } = props;
  const { api } = useSession();
  const [id, setId] = useState('');
  const [secret, setSecret] = useState<string | null>(null);
  const submit = useSubmit();
  const create = (event: Event): void => {
    event.preventDefault();
    submit.run(async () => {
      const body = { device_id: id };
      const created = await api.send<{ key: string }>('POST', '/devices', body, {
        'Idempotency-Key': submit.idempotencyKey(body),
      });
      setSecret(created.key);
      onCreated();
    });
  };
  return (
    <Dialog title="Create a device" isKept={secret !== null} onClose={onClose}>
      {secret !== null ? (
        <NewSecret secret={secret} onClose={onClose} />
      ) : (
        <form class="form" onSubmit={create}>
          <label>
            Id of the device, unique in the installation
            <input required value={id} onInput={(event) => setId(event.currentTarget.value)} />
          </label>
          {submit.problem !== null && <ProblemNote problem={submit.problem} />}
          <button type="submit" class="primary" disabled={submit.isRunning}>
            {submit.isRunning ? 'Creating …' : 'Create'}
          </button>
        </form>
      )}
    </Dialog>
  );
}
