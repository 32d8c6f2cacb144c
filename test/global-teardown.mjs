/** Stops the processes that the specs shared. @throws Error when a server failed or leaked a connection */
export default async function teardown() {
  await globalThis.stowageTestRun.close();
}
