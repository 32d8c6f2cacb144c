import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';

interface Props {
  title: string;
  onClose: () => void;
  /** Whether only its buttons close it, because it shows what cannot be shown again. */
  isKept?: boolean;
  children: ComponentChildren;
}

/** A modal dialog. Escape and a click beside it close it. */
export function Dialog(props: Props): JSX.Element {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    dialog.current?.showModal();
  }, []);
  return (
    <dialog
      ref={dialog}
      aria-label={props.title}
      onClose={props.onClose}
      onCancel={(event) => {
        if (props.isKept === true) event.preventDefault();
      }}
      onClick={(event) => {
        if (event.target === event.currentTarget && props.isKept !== true) event.currentTarget.close();
      }}
    >
      <div class="dialog-body">
        <header>
          <h2>{props.title}</h2>
          <button type="button" class="plain" aria-label="Close" onClick={() => dialog.current?.close()}>
            ×
          </button>
        </header>
        {props.children}
      </div>
    </dialog>
  );
}
