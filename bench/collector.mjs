/** An OTLP/HTTP collector in a thread of its own: it counts the spans that it receives. Any message asks for their number. */
import { createServer } from 'node:http';
import { json } from 'node:stream/consumers';
import { parentPort } from 'node:worker_threads';

let spans = 0;
const server = createServer(async (request, response) => {
  const { resourceSpans } = await json(request);
  for (const { scopeSpans } of resourceSpans) for (const scope of scopeSpans) spans += scope.spans.length;
  response.setHeader('Content-Type', 'application/json').end('{}');
});
parentPort.on('message', () => parentPort.postMessage(spans));
server.listen(0, '127.0.0.1', () => parentPort.postMessage(`http://127.0.0.1:${server.address().port}`));
