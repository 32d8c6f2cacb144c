import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Schemas } from '../api/client.js';
import { displayText, toJson } from '../api/json.js';
import { useGet } from '../api/use-get.js';
import { CopyButton } from '../ui/copy-button.js';
import { Panel } from '../ui/panel.js';
import { Loading, ProblemNote } from '../ui/states.js';

const HISTORY = 20;

interface Props {
  objectId: string;
  onClose: () => void;
  onOpen: (objectId: string) => void;
  onBatch: (batchId: string) => void;
  onSubject: (subject: string) => void;
}

/** One object, as a table and as JSON, with the newest objects of its subject. */
export function ObjectPanel(props: Props): JSX.Element {
  const { objectId, onClose } = props;
  const object = useGet('/api/v1/objects/{object_id}', { path: { object_id: objectId } });
  return (
    <Panel title={objectId} label={`Object ${objectId}`} onClose={onClose}>
      {object.problem !== null && <ProblemNote problem={object.problem} onRetry={object.reload} />}
      {object.data === null && object.isLoading && <Loading label="Loading the object" />}
      {object.data !== null && <ObjectDetails {...props} object={object.data} />}
    </Panel>
  );
}

function ObjectDetails({ object, onOpen, onBatch, onSubject }: Props & { object: Schemas['ObjectDto'] }): JSX.Element {
  const [isJson, setJson] = useState(false);
  const json = toJson(object, 2);
  const { subject } = object;
  return (
    <>
      <p class="actions">
        <button type="button" aria-pressed={!isJson} onClick={() => setJson(false)}>
          Table
        </button>
        <button type="button" aria-pressed={isJson} onClick={() => setJson(true)}>
          JSON
        </button>
        <CopyButton label="Copy JSON" text={json} />
      </p>
      {isJson ? (
        <pre tabIndex={0}>{json}</pre>
      ) : (
        <table class="pairs">
          <tbody>
            <tr>
              <th scope="row">batch</th>
              <td>
                <button type="button" class="plain link" onClick={() => onBatch(object.batch_id)}>
                  {object.batch_id}
                </button>
              </td>
            </tr>
            <tr>
              <th scope="row">subject</th>
              <td>
                {subject === null ? (
                  <span class="muted">none</span>
                ) : (
                  <button type="button" class="plain link" onClick={() => onSubject(subject)}>
                    {subject}
                  </button>
                )}
              </td>
            </tr>
            <tr>
              <th scope="row">observed</th>
              <td>{object.observed_at}</td>
            </tr>
            {object.data.map(({ key, value }, index) => (
              <tr key={`${String(index)} ${key}`}>
                <th scope="row">{key}</th>
                <td class={typeof value === 'string' ? undefined : 'exact'}>{displayText(value)}</td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {subject !== null && <History subject={subject} current={object.object_id} onOpen={onOpen} />}
    </>
  );
}

function History(props: { subject: string; current: string; onOpen: (objectId: string) => void }): JSX.Element {
  const { subject, current, onOpen } = props;
  const fields = 'object_id,observed_at';
  const history = useGet('/api/v1/objects', {
    query: { subject, sort: '-observed_at', page_size: HISTORY, count: 'none', fields },
  });
  return (
    <section>
      <h3>Newest of {subject}</h3>
      {history.problem !== null && <ProblemNote problem={history.problem} onRetry={history.reload} />}
      <ul class="history">
        {history.data?.results.map(({ object_id, observed_at }) => (
          <li key={object_id}>
            <button
              type="button"
              class="plain link"
              aria-current={object_id === current}
              onClick={() => onOpen(object_id)}
            >
              {observed_at}
            </button>{' '}
            <span class="muted">{object_id}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}
