/** Stops the run's PostgreSQL and removes its files. */
export default async function teardown() {
  await globalThis.stowageTestServer.close();
}
