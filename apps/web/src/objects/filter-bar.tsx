import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import type { Schemas } from '../api/client.js';
import { typedValue } from '../api/json.js';
import type { Changes } from '../query.js';
import { dataOf, describe, opposite, OPERATORS, parseConditions, type Condition, type Operator } from './conditions.js';
import type { FilterName, FilterQuery } from './objects-query.js';

/** The filters other than `data` that have a chip, with the words before their value. */
const OTHERS: readonly (readonly [FilterName, string])[] = [
  ['batch_id', 'batch'],
  ['subject', 'subject'],
  ['subject_prefix', 'subject starts with'],
  ['observed_from', 'observed from'],
  ['observed_until', 'observed before'],
  ['key', 'has the key'],
  ['value', 'has the value'],
  ['match', 'match'],
];

type KeyInUse = Schemas['ObjectKeyDto'];

interface Props {
  query: FilterQuery;
  /** Null where `data` is not a filter that can be shown as chips. */
  conditions: readonly Condition[] | null;
  keys: readonly KeyInUse[];
  /** What the list shows without a filter. */
  all: string;
  onChange: (changes: Changes<FilterName>) => void;
}

/** The conditions of the list as chips, and forms to add others. */
export function FilterBar({ query, conditions, keys, all, onChange }: Props): JSX.Element {
  const [form, setForm] = useState<'key' | 'json' | 'other' | null>(null);
  const toggle = (name: typeof form): void => setForm(form === name ? null : name);
  const setConditions = (next: readonly Condition[]): void => onChange({ data: dataOf(next) });
  const isFiltered = query.data !== undefined || OTHERS.some(([name]) => query[name] !== undefined);
  return (
    <section class="filter-bar" aria-label="Filter">
      <ul class="chips">
        {(conditions ?? []).map((condition, index) => (
          <ConditionChip
            key={describe(condition)}
            condition={condition}
            onReplace={(next) =>
              setConditions(
                (conditions ?? []).flatMap((one, at) => (at === index ? (next === null ? [] : [next]) : [one])),
              )
            }
          />
        ))}
        {conditions === null && query.data !== undefined && (
          <li class="chip">
            <code>{query.data}</code>
            <RemoveButton label="the filter" onClick={() => onChange({ data: null })} />
          </li>
        )}
        {OTHERS.flatMap(([name, words]) =>
          query[name] === undefined
            ? []
            : [
                <li key={name} class="chip">
                  <span>
                    {words} {query[name]}
                  </span>
                  <RemoveButton label={`${words} ${query[name] ?? ''}`} onClick={() => onChange({ [name]: null })} />
                </li>,
              ],
        )}
        {!isFiltered && <li class="muted">{all}</li>}
        <li>
          <button
            type="button"
            aria-expanded={form === 'key'}
            disabled={conditions === null}
            onClick={() => toggle('key')}
          >
            Add condition
          </button>
        </li>
        <li>
          <button type="button" aria-expanded={form === 'other'} onClick={() => toggle('other')}>
            Batch, subject, time
          </button>
        </li>
        <li>
          <button type="button" aria-expanded={form === 'json'} onClick={() => toggle('json')}>
            As JSON
          </button>
        </li>
        {isFiltered && (
          <li>
            <button
              type="button"
              class="plain"
              onClick={() => onChange({ data: null, ...Object.fromEntries(OTHERS.map(([name]) => [name, null])) })}
            >
              Remove all
            </button>
          </li>
        )}
      </ul>
      {form === 'key' && (
        <KeyForm
          keys={keys}
          onAdd={(condition) => {
            setConditions([...(conditions ?? []), condition]);
            setForm(null);
          }}
        />
      )}
      {form === 'other' && (
        <OtherForm
          query={query}
          onApply={(changes) => {
            onChange(changes);
            setForm(null);
          }}
        />
      )}
      {form === 'json' && (
        <JsonForm
          data={query.data ?? '{}'}
          onApply={(data) => {
            onChange({ data: data === '{}' ? null : data });
            setForm(null);
          }}
        />
      )}
    </section>
  );
}

function ConditionChip(props: { condition: Condition; onReplace: (next: Condition | null) => void }): JSX.Element {
  const { condition, onReplace } = props;
  const inverse = opposite(condition);
  const text = describe(condition);
  return (
    <li class="chip">
      <span>{text}</span>
      {inverse !== null && (
        <button
          type="button"
          class="plain"
          title={`Change to: ${describe(inverse)}`}
          aria-label={`Change to: ${describe(inverse)}`}
          onClick={() => onReplace(inverse)}
        >
          ≠
        </button>
      )}
      <RemoveButton label={text} onClick={() => onReplace(null)} />
    </li>
  );
}

function RemoveButton({ label, onClick }: { label: string; onClick: () => void }): JSX.Element {
  return (
    <button type="button" class="plain" aria-label={`Remove: ${label}`} onClick={onClick}>
      ×
    </button>
  );
}

function KeyForm({ keys, onAdd }: { keys: readonly KeyInUse[]; onAdd: (condition: Condition) => void }): JSX.Element {
  const [key, setKey] = useState('');
  const [chosen, setOperator] = useState<Operator>('eq');
  const [text, setText] = useState('');
  const isEncrypted = keys.some((known) => known.key === key && known.encrypted === true);
  const offered = isEncrypted ? OPERATORS.filter(([name]) => name === 'exists' || name === 'missing') : OPERATORS;
  const operator = isEncrypted && chosen !== 'missing' ? 'exists' : chosen;
  const isList = operator === 'in' || operator === 'nin';
  const isText = operator === 'prefix' || operator === 'contains';
  const hasValue = operator !== 'exists' && operator !== 'missing';
  const submit = (event: Event): void => {
    event.preventDefault();
    const value = !hasValue
      ? null
      : isList
        ? text.split(',').map((part) => typedValue(part.trim()))
        : isText
          ? text
          : typedValue(text);
    // A key of the list is meant as it is written, also with a dot.
    const isLiteral = keys.some((known) => known.key === key);
    onAdd({ key, isLiteral, operator, value });
  };
  return (
    <form class="inline-form" onSubmit={submit}>
      <label>
        Key
        <input required list="keys-in-use" value={key} onInput={(event) => setKey(event.currentTarget.value)} />
      </label>
      <datalist id="keys-in-use">
        {keys.map((known) => (
          <option key={known.key} value={known.key} />
        ))}
      </datalist>
      <label>
        Operator
        <select value={operator} onChange={(event) => setOperator(event.currentTarget.value as Operator)}>
          {offered.map(([name, words]) => (
            <option key={name} value={name}>
              {words}
            </option>
          ))}
        </select>
      </label>
      {isEncrypted && <span class="muted">encrypted</span>}
      {hasValue && (
        <label>
          {isList ? 'Values, with commas' : 'Value'}
          <input
            value={text}
            onInput={(event) => setText(event.currentTarget.value)}
            placeholder={isText ? '' : '42, true, null, "42" or text'}
          />
        </label>
      )}
      <button type="submit" class="primary">
        Add
      </button>
    </form>
  );
}

function OtherForm(props: { query: FilterQuery; onApply: (changes: Changes<FilterName>) => void }): JSX.Element {
  const names = OTHERS.filter(([name]) => name !== 'key' && name !== 'value' && name !== 'match');
  const submit = (event: Event): void => {
    event.preventDefault();
    const values = new FormData(event.currentTarget as HTMLFormElement);
    props.onApply(Object.fromEntries(names.map(([name]) => [name, (values.get(name) as string).trim() || null])));
  };
  return (
    <form class="inline-form" onSubmit={submit}>
      {names.map(([name, words]) => (
        <label key={name}>
          {words}
          <input
            name={name}
            defaultValue={props.query[name] ?? ''}
            placeholder={name.startsWith('observed') ? '2026-11-26T00:00:00Z' : ''}
          />
        </label>
      ))}
      <button type="submit" class="primary">
        Apply
      </button>
    </form>
  );
}

function JsonForm({ data, onApply }: { data: string; onApply: (data: string) => void }): JSX.Element {
  const [text, setText] = useState(data);
  const [error, setError] = useState<string | null>(null);
  const submit = (event: Event): void => {
    event.preventDefault();
    try {
      parseConditions(text);
      onApply(text.trim());
    } catch (caught) {
      setError(caught instanceof Error ? caught.message : String(caught));
    }
  };
  return (
    <form class="inline-form" onSubmit={submit}>
      <label class="wide">
        Filter as JSON
        <textarea
          rows={4}
          value={text}
          onInput={(event) => setText(event.currentTarget.value)}
          aria-invalid={error !== null}
          aria-describedby="json-help"
        />
      </label>
      <p id="json-help" class={error === null ? 'muted' : 'error-text'} role={error === null ? undefined : 'alert'}>
        {error ?? 'For example {"price": {"$gte": 100}, "$or": [{"type": "shoe"}, {"type": "boot"}]}. '}
        {error === null && <a href="/filters">All operators</a>}
      </p>
      <button type="submit" class="primary">
        Apply
      </button>
    </form>
  );
}
