import type { LookupAddress } from 'node:dns';
import { Resolver } from 'node:dns/promises';
import { readFile } from 'node:fs/promises';

const HOSTS_FILE = process.platform === 'win32' ? 'C:\\Windows\\System32\\drivers\\etc\\hosts' : '/etc/hosts';
/** Of the first question to a server; each further one waits longer. */
const QUESTION_MS = 1_000;
const TRIES = 3;
const TOTAL_MS = 5_000;

/**
 * The addresses of a name: those of the hosts file, else those that DNS has. Not by `dns.lookup`, which waits for DNS on one of the few
 * threads of the process that also compress, encrypt and read files: a few names whose servers do not respond would stop them for all.
 * @param servers default: those of the machine
 * @throws Error with a code such as ENOTFOUND, or ETIMEOUT after 5 seconds
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
    throw failureOf(ipv4, ipv6);
  } finally {
    clearTimeout(timer);
  }
}

function addressesIn(result: PromiseSettledResult<string[]>, family: 4 | 6): LookupAddress[] {
  return result.status === 'fulfilled' ? result.value.map((address) => ({ address, family })) : [];
}

/** A name without addresses of one family gets ENODATA for it, which says less than the failure of the other one. */
function failureOf(...results: PromiseSettledResult<string[]>[]): Error {
  const codes = results.map((result) => {
    const code = result.status === 'rejected' ? (result.reason as NodeJS.ErrnoException).code : undefined;
    return code === 'ECANCELLED' ? 'ETIMEOUT' : (code ?? 'ENODATA');
  });
  const code = codes.find((one) => one !== 'ENODATA') ?? 'ENODATA';
  return Object.assign(new Error(`the name was not found: ${code}`), { code });
}

async function findInHostsFile(name: string): Promise<LookupAddress[]> {
  const text = await readFile(HOSTS_FILE, 'utf8').catch(() => '');
  return text.split('\n').flatMap((line): LookupAddress[] => {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().toLowerCase().split(/\s+/);
    if (!names.includes(name.toLowerCase())) return [];
    return [{ address, family: address.includes(':') ? 6 : 4 }];
  });
}
