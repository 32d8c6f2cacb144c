import { request } from 'node:http';

/** One request; its answer's text. @throws for anything but a 2xx */
export function send(stack, method, path, type, body, { agent, length = body?.length, headers = {} } = {}) {
  return new Promise((resolve, reject) => {
    const all = { 'X-Api-Key': stack.adminKey, ...headers };
    if (type !== undefined) Object.assign(all, { 'Content-Type': type, 'Content-Length': length });
    const call = request(`${stack.url}${path}`, { method, headers: all, agent }, (response) => {
      let text = '';
      response.on('data', (chunk) => (text += chunk));
      response.on('end', () =>
        response.statusCode < 300 ? resolve(text) : reject(new Error(`answered ${response.statusCode}: ${text}`)),
      );
    });
    call.on('error', reject);
    if (body === undefined || Buffer.isBuffer(body)) call.end(body);
    else body.pipe(call);
  });
}
