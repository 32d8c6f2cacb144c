import { readFileSync } from 'node:fs';
import { projectFile } from './project-file.js';

/** The version of Stowage. */
export function productVersion(): string {
  return (JSON.parse(readFileSync(projectFile('package.json'), 'utf8')) as { version: string }).version;
}
