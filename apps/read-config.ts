import { existsSync } from 'node:fs';
import { Config } from '#platform';

/** The settings, from the environment and from a file `.env` where there is one; the environment wins. @throws StartupError */
export function readConfig(): Config {
  if (existsSync('.env')) process.loadEnvFile();
  return new Config(process.env);
}
