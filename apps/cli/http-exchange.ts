import { request as requestHttp, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { pipeline, type Readable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { urlToHttpOptions } from 'node:url';

export interface HttpRequest {
  method: string;
  /** The server, and the path before the API's own where a proxy gives it one. */
  origin: string;
  /** As it is to be sent: an id such as `..` has to arrive as it is, and a URL would resolve it. */
  path: string;
  headers: Readonly<Record<string, string>>;
  /** A stream is read at the speed at which the server takes it. */
  body?: Readable | undefined;
  signal: AbortSignal;
}

export interface HttpReply {
  status: number;
  /** The number and its words, for an answer that says no more. */
  statusLine: string;
  headers: IncomingHttpHeaders;
  text: string;
}

/**
 * Sends one request. Node's own client and not fetch, which gives up on an answer that takes five minutes, loses one that
 * comes before all of the body is sent, and resolves paths.
 * @throws what the body met, or else what the connection met
 */
export function exchange({ method, origin, path, headers, body, signal }: HttpRequest): Promise<HttpReply> {
  return new Promise((resolve, reject) => {
    const url = new URL(origin);
    const options = { ...urlToHttpOptions(url), path: url.pathname.replace(/\/$/, '') + path, method, headers, signal };
    const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(options);
    let hasAnswer = false;
    // A server that answers early may hang up on what is still being sent; its answer is what counts then.
    const fail = (error: Error): void => {
      if (!hasAnswer) reject(error);
    };
    request.on('error', fail);
    request.once('response', (response) => {
      hasAnswer = true;
      read(response).then((reply) => {
        resolve(reply);
        // Answered before it has heard all: what is left to send is of no use.
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

async function read(response: IncomingMessage): Promise<HttpReply> {
  const { statusCode = 0, statusMessage = '', headers } = response;
  return {
    status: statusCode,
    statusLine: `${String(statusCode)} ${statusMessage}`.trim(),
    headers,
    text: await text(response),
  };
}
