/** Bare handlers: the same rows as JSON through a pool of `pg`, without validation, API keys or error responses. */
import fastify from 'fastify';
import pg from 'pg';

const { address, projectId, pages } = JSON.parse(process.env.BARE);
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
/** A page of 10 by the SQL that the bench has chosen. */
app.get('/pages/:index', async (request) => {
  const { page, count } = pages[request.params.index];
  const { rows } = await pool.query(page, [projectId]);
  const results = rows.slice(0, 10);
  const next = rows.length > 10 ? `/pages/${request.params.index}?cursor=${rows[9].seq}` : null;
  if (request.query.count === 'none') return { count: null, next, results };
  const counted = await pool.query(count, [projectId]);
  return { count: Number(counted.rows[0].count), next, results };
});
let seq = 0;
app.post('/same-row', async (request, reply) => {
  const { temperature, recorded_at } = request.body;
  const data = [
    { key: 'building', value: 'HQ' },
    { key: 'room', value: 'lab' },
    { key: 'temperature', value: temperature },
  ];
  await pool.query(
    `INSERT INTO bare_objects (project_id, batch_id, object_id, seq, subject, observed_at, data, bytes)
     VALUES ($1, 'temperatures', $2, $3, 'HQ/lab', $4, $5, 100)`,
    [projectId, `temperature-${recorded_at}`, seq++, recorded_at, JSON.stringify(data)],
  );
  return reply.code(201).send({ building: 'HQ', room: 'lab', temperature, recorded_at });
});
app.post('/typed-table', async (request, reply) => {
  const { temperature, recorded_at } = request.body;
  await pool.query('INSERT INTO bare_readings (room, recorded_at, temperature) VALUES ($1, $2, $3)', [
    'HQ/lab',
    recorded_at,
    temperature,
  ]);
  return reply.code(201).send({ building: 'HQ', room: 'lab', temperature, recorded_at });
});
app.get('/average/:room/:interval', async (request) => {
  const { rows } = await pool.query({
    name: 'average',
    text: `SELECT avg(temperature) AS average_temperature, count(*)::int AS reading_count FROM bench_readings
           WHERE room = $1 AND recorded_at >= now() - $2::interval AND recorded_at < now()`,
    values: [request.params.room, request.params.interval],
  });
  return rows[0];
});
process.on('SIGTERM', () => process.exit(0));
console.log(await app.listen({ port: 0, host: '127.0.0.1' }));
