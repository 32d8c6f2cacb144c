import { existsSync } from 'node:fs';
import { Config } from '#platform';

export interface ConfigOptions {
  /** Settings of the command line, which win over all others. */
  settings?: Readonly<Record<string, string>>;
  /** Whether the command is the server, which can have several processes; default false. */
  isServer?: boolean;
}

/** The settings, from the environment and from a file `.env` where there is one; the environment wins. @throws StartupError */
export function readConfig({ settings = {}, isServer = false }: ConfigOptions = {}): Config {
  if (existsSync('.env')) process.loadEnvFile();
  return new Config({ ...process.env, ...settings }, isServer);
}
