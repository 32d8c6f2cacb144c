/** What a bare handler does: the same row by the same key, through a pool of `pg`, sent as JSON. */
import fastify from 'fastify';
import pg from 'pg';

const { address, projectId } = JSON.parse(process.env.BARE);
const pool = new pg.Pool({ ...address, max: 20 });
const app = fastify();
app.get('/objects/:id', async (request, reply) => {
  const { rows } = await pool.query(
    'SELECT object_id, batch_id, subject, observed_at, data FROM objects WHERE project_id = $1 AND object_id = $2',
    [projectId, request.params.id],
  );
  if (rows.length === 0) return reply.code(404).send();
  return rows[0];
});
process.on('SIGTERM', () => process.exit(0));
console.log(await app.listen({ port: 0, host: '127.0.0.1' }));
