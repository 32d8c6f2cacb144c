/** The log of the test servers, and the check that it has no secrets and no errors of the shared server. */

/** In the folder of the run: every key and password that its servers got or created, one on each line. */
export const SECRETS_FILE = 'secrets';

/** The name of the shared server in its log lines. */
export const SHARED_SERVER = 'shared';

const ERROR_LEVEL = 50;
const GENERATED_KEY = /stw_[a-z]+_[0-9A-Za-z]{36}/g;
/** A part of a generated key that no prefix of a key contains. */
const TAIL_LENGTH = 20;

/** Returns the API keys in a text that have the format of generated keys. */
export function generatedKeysIn(text) {
  return text.match(GENERATED_KEY) ?? [];
}

/** Returns the keys, secrets and passwords in the settings of a server. */
export function secretsIn(settings) {
  return Object.entries(settings).flatMap(([name, value]) => {
    // ALERT_WEBHOOK_URL: its path may be a secret.
    if (/_SECRET|^STOWAGE_\w*KEY|^ALERT_WEBHOOK_URL$/.test(name)) return value === '' ? [] : [value];
    const { password } = URL.canParse(value) ? new URL(value) : { password: '' };
    return password === '' ? [] : [decodeURIComponent(password)];
  });
}

/**
 * @param log JSON lines; other lines are output of Node.js or of libraries
 * @param secrets recorded secrets; those that were never recorded are found where they have the format of generated keys
 * @returns the lines that fail the run
 */
export function findFaults(log, secrets) {
  const others = [...new Set(secrets)].filter((secret) => generatedKeysIn(secret).length === 0);
  const tails = new Set(secrets.map((secret) => secret.slice(-TAIL_LENGTH)));
  const hasSecret = (line) =>
    generatedKeysIn(line).length > 0 ||
    others.some((secret) => line.includes(secret)) ||
    (line.match(/[0-9A-Za-z]{20,}/g) ?? []).some((run) => tails.has(run.slice(-TAIL_LENGTH)));
  const lines = log.split('\n').filter((line) => line !== '');
  return lines.flatMap((line) => {
    if (hasSecret(line)) return [`a secret is in the log: ${line}`];
    return isFailure(line) ? [line] : [];
  });
}

/** Specs with a server of their own may cause errors. */
function isFailure(line) {
  if (!line.startsWith('{')) return true;
  const { level, server } = JSON.parse(line);
  return server === SHARED_SERVER && level >= ERROR_LEVEL;
}
