import { describe, expect, it, jest } from '@jest/globals';
import { Config, createLog } from '#platform';
import { Metrics } from './metrics.js';
import { MetricsServer } from './metrics-server.js';
import { Telemetry } from './telemetry.js';

const config = new Config({ METRICS_PORT: '0', LOG_LEVEL: 'silent' });

describe('the port of the metrics', () => {
  it('responds 500 where a metric cannot be read, and serves on', async () => {
    const metrics = new Metrics();
    let failures = 1;
    metrics.beforeScrape(() => {
      if (failures-- > 0) throw new Error('a bug');
    });
    const server = await MetricsServer.start(metrics, config, createLog('silent'));
    const url = server?.url ?? '';
    const response = await fetch(url);
    expect([response.status, await response.text()]).toEqual([
      500,
      'The metrics could not be read; the log has the error.\n',
    ]);
    metrics['rendered'] = undefined;
    expect((await fetch(url)).status).toBe(200);
    await server?.stop();
  });

  it('is closed when a later step of the start fails', async () => {
    let url = '';
    const start = MetricsServer.start.bind(MetricsServer);
    const spy = jest.spyOn(MetricsServer, 'start').mockImplementation(async (...args) => {
      const server = await start(...args);
      url = server?.url ?? '';
      return server;
    });
    const failing = Object.defineProperties(Object.create(config) as Config, {
      errors: {
        get: () => {
          throw new Error('cannot be started');
        },
      },
    });
    await expect(Telemetry.start(failing, 'stowage', () => undefined)).rejects.toThrow('cannot be started');
    spy.mockRestore();
    expect(url).toMatch(/^http/);
    await expect(fetch(url)).rejects.toThrow('fetch failed');
  });
});
