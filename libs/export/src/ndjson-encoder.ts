import { objectText, WHOLE_VIEW, type ObjectView } from '#objects';
import type { EventLoopYield } from '#platform';
import type { ExportEncoder } from './export-encoder.js';
import type { ExportRow } from './export-rows.js';

/** Characters that JSON text must escape. */
// eslint-disable-next-line no-control-regex -- JSON must escape control characters
const ESCAPED = /["\\\u0000-\u001f]/;

/** One object a line, whole as `PUT /batches/{batch_id}` and `stowage load` accept it. */
export class NdjsonEncoder implements ExportEncoder {
  constructor(private readonly view: ObjectView) {}

  async encode(rows: readonly ExportRow[], turns: EventLoopYield): Promise<string> {
    let text = '';
    for (const row of rows) {
      text += `${this.view === WHOLE_VIEW ? wholeText(row) : objectText(row, this.view)}\n`;
      if (turns.isDue) await turns.yield();
    }
    return text;
  }

  end(): Promise<string> {
    return Promise.resolve('');
  }

  lastLine(count: number, sha256: string): string {
    return `${JSON.stringify({ export: { count, sha256 } })}\n`;
  }
}

/** The text that `objectText` returns for a whole object, by the quicker `quote`. */
function wholeText({ object_id, batch_id, subject, observed_at, data }: ExportRow): string {
  const subjectText = subject === null ? 'null' : quote(subject);
  return `{"object_id":${quote(object_id)},"batch_id":${quote(batch_id)},"subject":${subjectText},"observed_at":"${observed_at}","data":${data}}`;
}

/** A test before JSON.stringify takes half of its time. */
function quote(text: string): string {
  return ESCAPED.test(text) ? JSON.stringify(text) : `"${text}"`;
}
