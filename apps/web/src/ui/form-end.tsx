import type { JSX } from 'preact';
import type { Submit } from '../api/use-submit.js';
import { ProblemNote } from './states.js';

interface Props {
  submit: Submit;
  /** Of the button: what it does, and while it is done. */
  labels: readonly [string, string];
  kind?: 'primary' | 'danger';
  disabled?: boolean;
}

/** The end of a form: its error, and the button that sends it. */
export function FormEnd({ submit, labels, kind, disabled = false }: Props): JSX.Element {
  const [label, running] = labels;
  return (
    <>
      {submit.problem !== null && <ProblemNote problem={submit.problem} />}
      <button type="submit" class={kind} disabled={disabled || submit.isRunning}>
        {submit.isRunning ? `${running} …` : label}
      </button>
    </>
  );
}

/** An input for a text that confirms what cannot be undone. */
export function ConfirmationField(props: {
  label: string;
  value: string;
  onChange: (value: string) => void;
}): JSX.Element {
  return (
    <label>
      {props.label}
      <input
        value={props.value}
        autocomplete="off"
        spellcheck={false}
        onInput={(event) => props.onChange(event.currentTarget.value)}
      />
    </label>
  );
}
