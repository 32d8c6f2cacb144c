import type { EventLoopYield } from '#platform';
import type { ExportEncoder } from './export-encoder.js';
import type { ExportRow } from './export-rows.js';

/** Characters that JSON text must escape. */
// eslint-disable-next-line no-control-regex -- JSON must escape control characters
const ESCAPED = /["\\\u0000-\u001f]/;

/** One object a line, as `PUT /batches/{batch_id}` and `stowage load` accept it. `data` is inserted as PostgreSQL wrote it. */
export class NdjsonEncoder implements ExportEncoder {
  async encode(rows: readonly ExportRow[], turns: EventLoopYield): Promise<string> {
    let text = '';
    for (const { object_id, batch_id, subject, observed_at, data } of rows) {
      const subjectText = subject === null ? 'null' : quote(subject);
      text += `{"object_id":${quote(object_id)},"batch_id":${quote(batch_id)},"subject":${subjectText},"observed_at":"${observed_at}","data":${data}}\n`;
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

/** A test before JSON.stringify takes half of its time. */
function quote(text: string): string {
  return ESCAPED.test(text) ? JSON.stringify(text) : `"${text}"`;
}
