import type { ComponentChildren, JSX } from 'preact';
import { useId, useState } from 'preact/hooks';
import type { Schemas } from '../api/client.js';
import type { Changes } from '../query.js';
import { browserTimeZone, BUCKETS, OPERATIONS, type ChartParameter, type ChartParameters } from './chart-query.js';

interface Props {
  parameters: ChartParameters;
  keys: readonly Schemas['ObjectKeyDto'][];
  /** The bucket that was chosen where the URL has none. */
  chosenBucket: string | null;
  onChange: (changes: Changes<ChartParameter>) => void;
}

/** What is computed, and how it is drawn; each change is drawn at once. */
export function ChartForm({ parameters, keys, chosenBucket, onChange }: Props): JSX.Element {
  const { op = 'count', by = 'time' } = parameters;
  const numeric = keys.filter(({ types }) => types.includes('number')).map(({ key }) => key);
  const all = keys.map(({ key }) => `data.${key}`);
  const isCount = op === 'count';
  return (
    <form class="chart-form" aria-label="Chart" onSubmit={(event) => event.preventDefault()}>
      <Choice label="Compute" value={op} onChange={(value) => onChange({ op: value, shown: null })}>
        {OPERATIONS.map(([name, words]) => (
          <option key={name} value={name}>
            {words}
          </option>
        ))}
      </Choice>
      <Choice
        label="of"
        value={parameters.key ?? ''}
        onChange={(key) =>
          onChange({ key: key || null, second_key: key === '' ? null : (parameters.second_key ?? null), shown: null })
        }
      >
        <option value="">{isCount ? 'objects' : 'choose a key'}</option>
        <Names names={numeric} current={parameters.key} />
      </Choice>
      {parameters.key !== undefined && (
        <Choice
          label="compared with"
          value={parameters.second_key ?? ''}
          onChange={(key) => onChange({ second_key: key || null, series: null, shown: null })}
        >
          <option value="">nothing</option>
          <Names names={numeric.filter((name) => name !== parameters.key)} current={parameters.second_key} />
        </Choice>
      )}
      <Choice label="by" value={by} onChange={(value) => onChange({ by: value, shown: null })}>
        <option value="time">time</option>
        <option value="subject">subject</option>
        <option value="none">– (one number)</option>
        <optgroup label="Value of a key">
          <Names names={all} current={by.startsWith('data.') ? by : undefined} />
        </optgroup>
      </Choice>
      {by !== 'none' && parameters.second_key === undefined && (
        <Choice
          label="for each"
          value={parameters.series ?? ''}
          onChange={(series) => onChange({ series: series || null, shown: null })}
        >
          <option value="">–</option>
          <option value="subject">subject</option>
          <optgroup label="Value of a key">
            <Names names={all} current={parameters.series === 'subject' ? undefined : parameters.series} />
          </optgroup>
        </Choice>
      )}
      {by === 'time' && (
        <>
          <Choice
            label="Bucket"
            value={parameters.bucket ?? ''}
            onChange={(bucket) => onChange({ bucket: bucket || null })}
          >
            <option value="">automatic{chosenBucket === null ? '' : ` (${chosenBucket})`}</option>
            <Names names={BUCKETS} current={parameters.bucket} />
          </Choice>
          <ZoneInput
            key={parameters.time_zone ?? ''}
            value={parameters.time_zone ?? browserTimeZone()}
            onChange={(zone) => onChange({ time_zone: zone })}
          />
          <Choice
            label="Draw"
            value={parameters.chart ?? 'lines'}
            onChange={(chart) => onChange({ chart: chart === 'lines' ? null : chart })}
          >
            <option value="lines">lines</option>
            <option value="bars">bars</option>
          </Choice>
        </>
      )}
      {by !== 'time' && by !== 'none' && (
        <Choice
          label="Order"
          value={parameters.order ?? 'value'}
          onChange={(order) => onChange({ order: order === 'value' ? null : order })}
        >
          <option value="value">greatest first</option>
          <option value="group">by {by === 'subject' ? 'subject' : 'value of the key'}</option>
        </Choice>
      )}
    </form>
  );
}

function Choice(props: {
  label: string;
  value: string;
  onChange: (value: string) => void;
  children: ComponentChildren;
}): JSX.Element {
  const id = useId();
  return (
    <div class="field">
      <label for={id}>{props.label}</label>
      <select id={id} value={props.value} onChange={(event) => props.onChange(event.currentTarget.value)}>
        {props.children}
      </select>
    </div>
  );
}

/** Options of names, also of one in the URL that is not among them. */
function Names({ names, current }: { names: readonly string[]; current: string | undefined }): JSX.Element {
  const all = current === undefined || names.includes(current) ? names : [...names, current];
  return (
    <>
      {all.map((name) => (
        <option key={name} value={name}>
          {name.replace(/^data\./, '')}
        </option>
      ))}
    </>
  );
}

/** Suggests the zones that the browser knows; the server also accepts offsets such as -05:00. */
function ZoneInput({ value, onChange }: { value: string; onChange: (zone: string) => void }): JSX.Element {
  const id = useId();
  const [text, setText] = useState(value);
  return (
    <div class="field">
      <label for={id}>Time zone</label>
      <input
        id={id}
        list="time-zones"
        value={text}
        onInput={(event) => setText(event.currentTarget.value)}
        onChange={(event) => {
          const zone = event.currentTarget.value.trim();
          if (zone === '') setText(value);
          else onChange(zone);
        }}
        onFocus={(event) => event.currentTarget.select()}
      />
      <datalist id="time-zones">
        {Array.from(new Set(['UTC', browserTimeZone(), ...Intl.supportedValuesOf('timeZone')]), (zone) => (
          <option key={zone} value={zone} />
        ))}
      </datalist>
    </div>
  );
}
