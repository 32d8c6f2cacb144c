import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Schemas } from '../api/client.js';
import { given } from '../api/parameters.js';
import { useSession } from '../session.js';
import { SecretDialog } from './secret-dialog.js';

type Threshold = Schemas['ThresholdDto'];

/** The events, with what each is sent for. */
const EVENTS = [
  ['batch.stored', 'a batch was stored'],
  ['job.failed', 'a job has failed for good'],
  ['key.canary', 'a canary key was used'],
  ['threshold.reached', 'a value reached a threshold'],
] as const;
const OPS: readonly Threshold['op'][] = ['avg', 'min', 'max', 'sum', 'count', 'p50', 'p95'];
export const COMPARISONS = [
  ['$gt', 'above'],
  ['$gte', 'at least'],
  ['$lt', 'below'],
  ['$lte', 'at most'],
] as const;

/** Creates a webhook, and shows its secret once. */
export function CreateWebhookDialog(props: { onClose: () => void; onCreated: () => void }): JSX.Element {
  const { client } = useSession();
  const [name, setName] = useState('');
  const [url, setUrl] = useState('');
  const [events, setEvents] = useState<readonly string[]>(['batch.stored']);
  const [threshold, setThreshold] = useState({ op: 'avg', key: '', bucket: '15m', comparison: '$gt', limit: '' });
  const hasThreshold = events.includes('threshold.reached');
  const body = {
    name,
    url,
    events,
    ...(hasThreshold ? { threshold: thresholdOf(threshold) } : {}),
  } as Schemas['CreateWebhookDto'];
  const toggle = (event: string): void =>
    setEvents(events.includes(event) ? events.filter((one) => one !== event) : [...events, event]);
  return (
    <SecretDialog
      {...props}
      title="Create a webhook"
      labels={['Create', 'Creating']}
      secretName="secret"
      body={body}
      create={async (header) => {
        const { data } = await client.POST('/api/v1/webhooks', { params: { header }, body });
        return { data: { key: data.secret } };
      }}
    >
      <label>
        Name: what the webhook is for
        <input required value={name} onInput={(event) => setName(event.currentTarget.value)} />
      </label>
      <label>
        URL of the receiver
        <input required type="url" value={url} onInput={(event) => setUrl(event.currentTarget.value)} />
      </label>
      <fieldset>
        <legend>Events</legend>
        {EVENTS.map(([event, words]) => (
          <label key={event}>
            <input type="checkbox" checked={events.includes(event)} onChange={() => toggle(event)} /> {words}
          </label>
        ))}
      </fieldset>
      {hasThreshold && <ThresholdFields form={threshold} onChange={setThreshold} />}
    </SecretDialog>
  );
}

interface ThresholdForm {
  op: string;
  key: string;
  bucket: string;
  comparison: string;
  limit: string;
}

function ThresholdFields(props: { form: ThresholdForm; onChange: (form: ThresholdForm) => void }): JSX.Element {
  const { form, onChange } = props;
  const select = (
    name: 'op' | 'comparison',
    label: string,
    choices: readonly (readonly [string, string])[],
  ): JSX.Element => (
    <label>
      {label}
      <select value={form[name]} onChange={(event) => onChange({ ...form, [name]: event.currentTarget.value })}>
        {choices.map(([value, words]) => (
          <option key={value} value={value}>
            {words}
          </option>
        ))}
      </select>
    </label>
  );
  const input = (name: 'key' | 'bucket' | 'limit', label: string, attributes: object = {}): JSX.Element => (
    <label>
      {label}
      <input
        {...attributes}
        value={form[name]}
        onInput={(event) => onChange({ ...form, [name]: event.currentTarget.value })}
      />
    </label>
  );
  return (
    <>
      {select(
        'op',
        'Value',
        OPS.map((op) => [op, op]),
      )}
      {input('key', 'Key whose numbers are computed', { required: form.op !== 'count' })}
      {input('bucket', 'Of objects observed within', { required: true, placeholder: '15m, 1h or 1d' })}
      {select('comparison', 'Send when it is', COMPARISONS)}
      {input('limit', 'Number', { required: true, type: 'number', step: 'any' })}
    </>
  );
}

function thresholdOf({ op, key, bucket, comparison, limit }: ThresholdForm): object {
  return { ...given({ op, key, bucket }), compare: { [comparison]: Number(limit) } };
}
