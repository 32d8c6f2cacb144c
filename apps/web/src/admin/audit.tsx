import type { JSX } from 'preact';
import type { Schemas } from '../api/client.js';
import { toJson } from '../api/json.js';
import { given } from '../api/parameters.js';
import { usePages } from '../api/use-pages.js';
import type { Changes } from '../query.js';
import { CountText } from '../ui/count-text.js';
import { PagedList } from '../ui/paged-list.js';
import { Empty } from '../ui/states.js';
import { TimeText } from '../ui/time-text.js';
import { WideList } from '../ui/wide-list.js';

type AuditEntry = Schemas['AuditEntryDto'];

const ACTIONS = [
  'object.replace',
  'object.update',
  'object.delete',
  'object.restore',
  'objects.replace',
  'objects.delete',
  'objects.expire',
  'objects.restore',
  'batch.replace',
  'batch.delete',
  'batch.restore',
  'key.create',
  'key.update',
  'key.rotate',
  'key.revoke',
  'device.create',
  'device.move',
  'webhook.create',
  'webhook.update',
  'webhook.delete',
  'webhook.retry',
  'project.create',
  'project.update',
  'project.encrypt',
  'project.delete',
  'access.denied',
  'key.canary',
];
const TARGET_TYPES = ['object', 'batch', 'key', 'device', 'project', 'webhook'];

/** The filters have the names of those of the API. */
export const AUDIT_FILTERS = ['action', 'target_type', 'target_id', 'key_id', 'from', 'until'] as const;
type AuditFilter = (typeof AUDIT_FILTERS)[number];

interface Props {
  query: Readonly<Partial<Record<AuditFilter, string>>>;
  /** Null for the entries that the key gets without one: those of its project, or of the installation. */
  projectId: string | null;
  onChange: (changes: Changes<AuditFilter>) => void;
}

/** Who deleted, replaced and managed what, newest first. */
export function Audit({ query, projectId, onChange }: Props): JSX.Element {
  const filter: object = Object.fromEntries(AUDIT_FILTERS.map((name) => [name, query[name]]));
  // The server says what is wrong with a value of the URL.
  const pages = usePages('/api/v1/audit', {
    query: given({ ...filter, project_id: projectId === null ? null : Number(projectId) }),
  });
  const isFiltered = AUDIT_FILTERS.some((name) => query[name] !== undefined);
  const input = (name: AuditFilter, label: string, example = ''): JSX.Element => (
    <label>
      {label}
      <input
        key={query[name] ?? ''}
        placeholder={example}
        defaultValue={query[name] ?? ''}
        onChange={(event) => onChange({ [name]: event.currentTarget.value.trim() || null })}
      />
    </label>
  );
  return (
    <>
      <form class="inline-form audit-form" aria-label="Filter" onSubmit={(event) => event.preventDefault()}>
        <Choice label="Action" value={query.action} values={ACTIONS} onChange={(action) => onChange({ action })} />
        <Choice
          label="Target"
          value={query.target_type}
          values={TARGET_TYPES}
          onChange={(type) => onChange({ target_type: type })}
        />
        {input('target_id', 'Id of the target')}
        {input('key_id', 'Id of the key that did it')}
        {input('from', 'From', '2026-11-26T08:00:00Z')}
        {input('until', 'Before', '2026-11-27')}
      </form>
      <div class="toolbar">
        <CountText count={pages.count} one="entry" many="entries" />
        {isFiltered && (
          <button type="button" onClick={() => onChange(Object.fromEntries(AUDIT_FILTERS.map((name) => [name, null])))}>
            Remove the filter
          </button>
        )}
      </div>
      <PagedList
        pages={pages}
        name="entries"
        empty={<Empty title={isFiltered ? 'No entries match' : 'No entries yet'} />}
      >
        {(entries) => <AuditTable entries={entries} />}
      </PagedList>
    </>
  );
}

function AuditTable({ entries }: { entries: readonly AuditEntry[] }): JSX.Element {
  return (
    <WideList label="Audit trail">
      <thead>
        <tr>
          <th scope="col">Time (UTC)</th>
          <th scope="col">Action</th>
          <th scope="col">Target</th>
          <th scope="col">Key</th>
          <th scope="col">Address</th>
          <th scope="col">Details</th>
        </tr>
      </thead>
      <tbody>
        {entries.map(({ number, created_at, action, actor, target, address, details }) => (
          <tr key={number}>
            <td>
              <TimeText time={created_at} />
            </td>
            <td>{action}</td>
            <td>
              {target?.type} {target?.id}
            </td>
            <td>
              {actor.name}
              {actor.role !== null && <span class="muted"> ({actor.role})</span>}
            </td>
            <td>{address ?? ''}</td>
            <td class="exact">{toJson(details)}</td>
          </tr>
        ))}
      </tbody>
    </WideList>
  );
}

function Choice(props: {
  label: string;
  value: string | undefined;
  values: readonly string[];
  onChange: (value: string | null) => void;
}): JSX.Element {
  const { label, value, values, onChange } = props;
  return (
    <label>
      {label}
      <select value={value ?? ''} onChange={(event) => onChange(event.currentTarget.value || null)}>
        <option value="">any</option>
        {values.map((name) => (
          <option key={name} value={name}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}
