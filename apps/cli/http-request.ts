import { request as requestHttp, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { pipeline, type Readable } from 'node:stream';
import { urlToHttpOptions } from 'node:url';

/** The longest response that is read. A problem with 100 errors, and the job that failed with it, have less than 1 MiB. */
const RESPONSE_BYTES_MAX = 8 * 1024 ** 2;

/** The response has more than `RESPONSE_BYTES_MAX`. */
export class ResponseTooLarge extends Error {
  override name = 'ResponseTooLarge';

  constructor(readonly statusLine: string) {
    super(`responded ${statusLine} with more than ${String(RESPONSE_BYTES_MAX)} bytes`);
  }
}

export interface HttpRequest {
  method: string;
  /** The server, with the path prefix of a proxy if there is one. */
  origin: string;
  /** Sent unchanged: a URL would resolve an id such as `..`. */
  path: string;
  headers: Readonly<Record<string, string>>;
  /** Read as fast as the server accepts it. */
  body?: Readable | undefined;
  signal: AbortSignal;
  /** Return the body of a response with the status 200 as a stream. */
  isStreamed?: boolean;
}

export interface HttpResponse {
  status: number;
  /** Status code and reason phrase. */
  statusLine: string;
  headers: IncomingHttpHeaders;
  text: string;
  /** The body, not read yet; then `text` is empty. */
  stream?: IncomingMessage;
}

/**
 * Sends one request. It uses node:http because fetch times out after five minutes without a response, loses a response that
 * arrives before the whole body is sent, and resolves paths.
 * @throws the error of the body or of the connection; ResponseTooLarge
 */
export function sendHttpRequest(given: HttpRequest): Promise<HttpResponse> {
  const { method, origin, path, headers, body, signal, isStreamed = false } = given;
  return new Promise((resolve, reject) => {
    const url = new URL(origin);
    const options = { ...urlToHttpOptions(url), path: url.pathname.replace(/\/$/, '') + path, method, headers, signal };
    const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(options);
    let hasResponse = false;
    // A server that responds early may close the connection while the body is being sent; the response counts then.
    const fail = (error: Error): void => {
      if (!hasResponse) reject(error);
    };
    request.on('error', fail);
    request.once('response', (message) => {
      hasResponse = true;
      readResponse(message, isStreamed).then((response) => {
        resolve(response);
        // The server responded before it read the whole body and does not need the rest.
        if (!request.writableFinished) request.destroy();
      }, reject);
    });
    if (body === undefined) {
      request.end();
      return;
    }
    body.once('error', fail);
    pipeline(body, request, (error) => {
      if (error != null) fail(error);
    });
  });
}

async function readResponse(message: IncomingMessage, isStreamed: boolean): Promise<HttpResponse> {
  const { statusCode = 0, statusMessage = '', headers } = message;
  const statusLine = `${String(statusCode)} ${statusMessage}`.trim();
  if (isStreamed && statusCode === 200) return { status: statusCode, statusLine, headers, text: '', stream: message };
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of message as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length;
    // The end of the loop closes the connection.
    if (sizeBytes > RESPONSE_BYTES_MAX) throw new ResponseTooLarge(statusLine);
    chunks.push(chunk);
  }
  return { status: statusCode, statusLine, headers, text: Buffer.concat(chunks).toString() };
}
