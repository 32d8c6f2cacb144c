/**
 * What a start prints when the server is ready.
 * @param lines the last one has the address of the API
 * @param metricsUrls the URL of METRICS_PORT of each process; null without it
 */
export function welcomeText(lines: readonly string[], metricsUrls: readonly (string | null)[]): string {
  const urls = metricsUrls.filter((url) => url !== null).sort();
  return lines.join('\n') + (urls.length === 0 ? '' : `; metrics at ${urls.join(', ')}`);
}
