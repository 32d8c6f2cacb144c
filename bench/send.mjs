import { request } from 'node:http';

/** Sends a request. @returns the text of the response @throws Error unless the status is below 300 */
export function send(stack, method, path, type, body, { agent, length = body?.length, headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    const allHeaders = { 'X-Api-Key': stack.adminKey, ...headers };
    if (type !== undefined) Object.assign(allHeaders, { 'Content-Type': type, 'Content-Length': length });
    const call = request(`${stack.url}${path}`, { method, headers: allHeaders, agent }, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += chunk));
      response.on('end', () =>
        response.statusCode < 300 ? resolve(text) : reject(new Error(`returned ${response.statusCode}: ${text}`)),
      );
    });
    call.on('error', reject);
    if (body === undefined || Buffer.isBuffer(body)) call.end(body);
    else body.pipe(call);
  });
}
