/** Stops what the specs shared. @throws Error when one of the servers failed, or leaked a connection */
export default async function teardown() {
  await globalThis.stowageTestRun.close();
}
