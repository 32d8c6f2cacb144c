import type { Fetch } from './retry.js';

/** The part of XMLHttpRequest that is used. Node.js has none. */
interface Xhr {
  readonly upload: { onprogress: ((event: { loaded: number; total: number }) => void) | null };
  readonly status: number;
  readonly statusText: string;
  readonly responseText: string;
  onload: (() => void) | null;
  onerror: (() => void) | null;
  open(method: string, url: string): void;
  setRequestHeader(name: string, value: string): void;
  getAllResponseHeaders(): string;
  send(body: Blob): void;
  abort(): void;
}

function xhrClass(): (new () => Xhr) | undefined {
  return (globalThis as { XMLHttpRequest?: new () => Xhr }).XMLHttpRequest;
}

/** Whether uploads can be sent with progress by `sendByXhr`: in browsers. */
export function canShowUploads(): boolean {
  return xhrClass() !== undefined;
}

/**
 * Sends a request by XMLHttpRequest, because `fetch` does not report the progress of an upload.
 * @param body that of the request
 * @param onProgress gets the part of the body that was sent, 0 to 1
 */
export function sendByXhr(body: Blob, onProgress: (sent: number) => void): Fetch {
  return ({ method, url, headers, signal }) =>
    new Promise((resolve, reject) => {
      const XhrClass = xhrClass();
      if (XhrClass === undefined) throw new Error('XMLHttpRequest is missing');
      signal.throwIfAborted();
      const xhr = new XhrClass();
      const abort = (): void => {
        xhr.abort();
        // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- as `fetch` does
        reject(signal.reason);
      };
      const end = (): void => {
        signal.removeEventListener('abort', abort);
      };
      xhr.upload.onprogress = ({ loaded, total }) => {
        onProgress(total === 0 ? 1 : loaded / total);
      };
      xhr.onload = () => {
        end();
        const { status, statusText, responseText } = xhr;
        resolve(new Response(responseText, { status, statusText, headers: parseHeaders(xhr.getAllResponseHeaders()) }));
      };
      xhr.onerror = () => {
        end();
        reject(new TypeError('the upload failed: the server cannot be reached, or does not allow this origin'));
      };
      xhr.open(method, url);
      for (const [name, value] of headers) xhr.setRequestHeader(name, value);
      signal.addEventListener('abort', abort);
      xhr.send(body);
    });
}

function parseHeaders(text: string): [string, string][] {
  const lines = text.split('\r\n').filter((line) => line.includes(': '));
  return lines.map((line) => [line.slice(0, line.indexOf(': ')), line.slice(line.indexOf(': ') + 2)]);
}
