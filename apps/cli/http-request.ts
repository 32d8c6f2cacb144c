import { request as requestHttp, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { pipeline, type Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { urlToHttpOptions } from 'node:url';

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
}

export interface HttpResponse {
  status: number;
  /** Status code and reason phrase. */
  statusLine: string;
  headers: IncomingHttpHeaders;
  text: string;
}

/**
 * Sends one request. It uses node:http because fetch times out after five minutes without a response, loses a response that
 * arrives before the whole body is sent, and resolves paths.
 * @throws the error of the body or of the connection
 */
export function sendHttpRequest({ method, origin, path, headers, body, signal }: HttpRequest): Promise<HttpResponse> {
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
      readResponse(message).then((response) => {
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

async function readResponse(message: IncomingMessage): Promise<HttpResponse> {
  const { statusCode = 0, statusMessage = '', headers } = message;
  return {
    status: statusCode,
    statusLine: `${String(statusCode)} ${statusMessage}`.trim(),
    headers,
    text: await text(message),
  };
}
