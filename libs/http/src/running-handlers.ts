import type { FastifyInstance, FastifyRequest } from 'fastify';

/**
 * Lets the server close only when no handler runs. Fastify waits for open connections, but a write whose client has left ends as
 * if the client were there, and needs the database until then. Register it before every other hook that uses the database.
 */
export function waitForHandlers(fastify: FastifyInstance): void {
  const running = new Set<FastifyRequest>();
  let onNone: (() => void) | undefined;
  fastify.addHook('preHandler', (request, _reply, done) => {
    running.add(request);
    done();
  });
  fastify.addHook('onSend', (request, _reply, _payload, done) => {
    if (running.delete(request) && running.size === 0) onNone?.();
    done();
  });
  // Runs when the server accepts no connections and has none.
  fastify.addHook('onClose', async () => {
    if (running.size === 0) return;
    await new Promise<void>((resolve) => {
      onNone = resolve;
    });
  });
}
