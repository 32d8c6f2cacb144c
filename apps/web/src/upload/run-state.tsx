import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import type { Problem, Schemas } from '../api/client.js';
import { queryText } from '../api/parameters.js';
import { useSession } from '../session.js';
import { sizeText } from '../ui/size-text.js';
import { ProblemNote } from '../ui/states.js';
import { isRowError, RejectedRows } from './rejected.js';
import type { UploadFile } from './upload-file.js';
import type { Stored, UploadRun } from './use-upload.js';

interface Props {
  file: UploadFile;
  run: UploadRun;
  /** Checks again without the objects that have errors; null where that would not help. */
  onPartial: (() => void) | null;
}

/** The progress or the result of a check or an upload. */
export function RunState(props: Props): JSX.Element {
  const place = useRef<HTMLDivElement>(null);
  const { state } = props.run;
  useEffect(() => {
    place.current?.scrollIntoView({ block: 'nearest' });
  }, [state]);
  return (
    <div ref={place}>
      <StateOf {...props} />
    </div>
  );
}

function StateOf({ file, run, onPartial }: Props): JSX.Element {
  switch (run.state) {
    case 'running':
      return <Progress sentBytes={run.sentBytes} totalBytes={file.body.size} isDryRun={run.isDryRun} />;
    case 'failed':
      return <Failure file={file} problem={run.problem} onPartial={onPartial} />;
    case 'checked':
      return (
        <Result title={checkText(run.result)} file={file} result={run.result}>
          <Skipped result={run.result} />
          <p>Nothing is stored yet.</p>
        </Result>
      );
    case 'stored':
      return (
        <Result title={storedText(run.result)} file={file} result={run.result}>
          <Skipped result={run.result} />
          <BatchLink batchId={run.result.batch_id} />
        </Result>
      );
  }
}

function Progress(props: { sentBytes: number; totalBytes: number; isDryRun: boolean }): JSX.Element {
  const { sentBytes, totalBytes, isDryRun } = props;
  const isSent = sentBytes >= totalBytes;
  const words = isSent
    ? `${sizeText(totalBytes)} sent. The server ${isDryRun ? 'checks' : 'stores'} them …`
    : `${sizeText(sentBytes)} of ${sizeText(totalBytes)} sent`;
  return (
    <div class="progress">
      <progress max={Math.max(totalBytes, 1)} value={sentBytes} aria-label="Sent" />
      <p role="status">{words}</p>
    </div>
  );
}

function Failure({ file, problem, onPartial }: Omit<Props, 'run'> & { problem: Problem }): JSX.Element {
  const { errors = [], ...rest } = problem;
  const ofRows = errors.filter((error) => isRowError(file, error));
  const others = errors.filter((error) => !isRowError(file, error));
  return (
    <section class="run-state" aria-label="Result">
      <ProblemNote problem={others.length === 0 ? rest : { ...rest, errors: others }} />
      {onPartial !== null && (
        <p class="actions">
          <button type="button" onClick={onPartial}>
            Check again without the objects that have errors
          </button>
        </p>
      )}
      {ofRows.length > 0 && (
        <RejectedRows file={file} errors={ofRows} errorCount={problem.error_count ?? ofRows.length} />
      )}
    </section>
  );
}

function Result(props: {
  title: string;
  file: UploadFile;
  result: Schemas['DryRunDto'] | Stored;
  children: ComponentChildren;
}): JSX.Element {
  const { title, file, result, children } = props;
  const { rejected = 0, errors = [], error_count = errors.length } = result;
  return (
    <section class="run-state" aria-label="Result">
      <div class="success" role="status">
        <h2>{title}</h2>
        {children}
      </div>
      {rejected > 0 && (
        <>
          <h2>
            {objectsText(rejected)} with errors {result.rejected === 1 ? 'is' : 'are'} left out
          </h2>
          <RejectedRows file={file} errors={errors} errorCount={error_count} />
        </>
      )}
    </section>
  );
}

function Skipped({ result: { skipped = 0 } }: { result: { skipped?: number } }): JSX.Element {
  if (skipped === 0) return <></>;
  return (
    <p>
      {objectsText(skipped)} of the file {skipped === 1 ? 'exists' : 'exist'} already, in this batch or another one, and{' '}
      {skipped === 1 ? 'is' : 'are'} left out.
    </p>
  );
}

/** A producer cannot read the batch. */
function BatchLink({ batchId }: { batchId: string }): JSX.Element {
  const { me } = useSession();
  if (me.role === 'producer') return <></>;
  return (
    <p>
      <a href={`/browse/batches${queryText({ batch: batchId })}`}>Show the batch {batchId}</a>
    </p>
  );
}

function checkText({ outcome, stored, skipped = 0, object_count }: Schemas['DryRunDto']): string {
  const total = object_count === undefined ? '' : `, which then has ${objectsText(object_count)}`;
  switch (outcome) {
    case 'create':
      return `The upload will create a batch of ${objectsText(stored)}.`;
    case 'replace':
      return `The upload will replace the objects of the batch with ${objectsText(stored)}.`;
    case 'extend':
      return `The upload will add ${objectsText(stored)} to the batch${total}.`;
    case 'none':
      return `${skipped > 0 ? 'All objects exist already' : 'The batch exists with this content'}. The upload will change nothing.`;
  }
}

function storedText({ batch_id, object_count, stored }: Stored): string {
  if (stored !== undefined) return `The batch ${batch_id} is stored: ${objectsText(stored)} of the file.`;
  if (object_count === undefined) return `The batch ${batch_id} is stored.`;
  return `The batch ${batch_id} is stored: ${objectsText(object_count)}.`;
}

function objectsText(count: number): string {
  return count === 1 ? '1 object' : `${count.toLocaleString('en')} objects`;
}
