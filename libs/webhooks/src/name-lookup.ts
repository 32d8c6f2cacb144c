import type { LookupAddress } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';

const HOSTS_FILE = process.platform === 'win32' ? 'C:\\Windows\\System32\\drivers\\etc\\hosts' : '/etc/hosts';
/** Of the first question to a server; each further one waits longer. */
const QUESTION_MS = 1_000;
const TRIES = 3;
const TOTAL_MS = 5_000;
const CODES_WITHOUT_ADDRESS = ['ENOTFOUND', 'ENODATA'];
/** Characters of a name in an error; a URL may have a longer one. */
const SHOWN_MAX = 100;

/** A name has no address, or DNS does not say which. */
export class NameLookupError extends Error {
  override name = 'NameLookupError';

  constructor(
    hostname: string,
    readonly code: string,
  ) {
    super(messageOf(shortName(hostname), code));
  }
}

/**
 * The addresses of a name: those of the hosts file, else those that DNS has. Not by `dns.lookup`, which waits for DNS on one of the few
 * threads of the process that also compress, encrypt and read files: a few names whose servers do not respond would stop them for all.
 * @param servers default: those of the machine
 * @throws NameLookupError after 5 seconds at the latest
 */
export async function lookUpName(
  name: string,
  servers?: readonly string[],
): Promise<[LookupAddress, ...LookupAddress[]]> {
  const [first, ...others] = await findInHostsFile(name);
  if (first !== undefined) return [first, ...others];
  const resolver = new Resolver({ timeout: QUESTION_MS, tries: TRIES });
  if (servers !== undefined) resolver.setServers(servers);
  const timer = setTimeout(() => {
    resolver.cancel();
  }, TOTAL_MS);
  try {
    const [ipv4, ipv6] = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
    const addresses = [...addressesIn(ipv4, 4), ...addressesIn(ipv6, 6)];
    const [found, ...more] = addresses;
    if (found !== undefined) return [found, ...more];
    throw new NameLookupError(name, codeOf(ipv4, ipv6));
  } finally {
    clearTimeout(timer);
  }
}

function addressesIn(result: PromiseSettledResult<string[]>, family: 4 | 6): LookupAddress[] {
  return result.status === 'fulfilled' ? result.value.map((address) => ({ address, family })) : [];
}

/** A name without addresses of one family gets ENODATA for it, which says less than the failure of the other one. */
function codeOf(...results: PromiseSettledResult<string[]>[]): string {
  const codes = results.map((result) => {
    const code = result.status === 'rejected' ? (result.reason as NodeJS.ErrnoException).code : undefined;
    return code === 'ECANCELLED' ? 'ETIMEOUT' : (code ?? 'ENODATA');
  });
  return codes.find((one) => one !== 'ENODATA') ?? 'ENODATA';
}

function messageOf(name: string, code: string): string {
  if (CODES_WITHOUT_ADDRESS.includes(code)) return `the name ${name} has no address`;
  if (code === 'ETIMEOUT') return `DNS did not respond in time for the name ${name}`;
  return `the address of the name ${name} could not be looked up (${code})`;
}

/** A name as errors show it. */
export function shortName(name: string): string {
  return name.length > SHOWN_MAX ? `${name.slice(0, SHOWN_MAX)}…` : name;
}

async function findInHostsFile(name: string): Promise<LookupAddress[]> {
  const text = await readFile(HOSTS_FILE, 'utf8').catch(() => '');
  return text.split('\n').flatMap((line): LookupAddress[] => {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().toLowerCase().split(/\s+/);
    if (!names.includes(name.toLowerCase())) return [];
    return [{ address, family: address.includes(':') ? 6 : 4 }];
  });
}
