import { StartupError } from './startup-error.js';

const BYTES = 32;
const HEX = /^[0-9a-f]{64}$/i;
/** 43 characters of 6 bits, and the padding. */
const BASE64 = /^[A-Za-z0-9+/]{43}=?$/;

/** The 32 bytes of a data key. The error never contains the value: it is a secret. @throws StartupError */
export function dataKey(setting: string, text: string): Buffer {
  const bytes = HEX.test(text) ? Buffer.from(text, 'hex') : BASE64.test(text) ? Buffer.from(text, 'base64') : null;
  if (bytes?.length === BYTES) return bytes;
  throw new StartupError(
    `${setting} must be 32 bytes in base64 or hexadecimal, as \`openssl rand -base64 32\` writes them`,
  );
}
