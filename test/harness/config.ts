import { Config, StartupError } from '#platform';
import { expect } from '@jest/globals';

/** The settings of an installation with a database of its own. */
export const WITH_URL = { DATABASE_URL: 'postgresql://u:p@host/db', STOWAGE_KEY_SECRET: 's'.repeat(32) };

/** The message with which settings are rejected: one line. */
export function rejectionOf(env: Record<string, string>, isServer = false): string {
  try {
    new Config(env, isServer);
  } catch (error) {
    expect(error).toBeInstanceOf(StartupError);
    const { message } = error as StartupError;
    expect(message).not.toContain('\n');
    return message;
  }
  throw new Error('the settings were taken');
}

/** The names of all settings that are read. */
export function namesRead(): Set<string> {
  const names = new Set<string>();
  const recording = new Proxy<Record<string, string>>(
    {},
    {
      get: (_, name) => {
        names.add(String(name));
        return undefined;
      },
    },
  );
  new Config(recording);
  return names;
}
