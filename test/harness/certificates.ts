import { execFile } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

export interface KeyPair {
  certFile: string;
  keyFile: string;
}

/** A certificate authority, made with openssl in a folder. */
export class Authority {
  private constructor(
    private readonly folder: string,
    private readonly name: string,
    readonly pair: KeyPair,
  ) {}

  static async create(folder: string, name: string): Promise<Authority> {
    const pair = filesOf(folder, name);
    const extensions = ['-addext', 'basicConstraints=critical,CA:TRUE', '-addext', 'keyUsage=critical,keyCertSign'];
    await openssl(
      'req',
      '-x509',
      ...newKey(pair),
      '-out',
      pair.certFile,
      '-subj',
      `/CN=${name}`,
      '-days',
      '2',
      ...extensions,
    );
    return new Authority(folder, name, pair);
  }

  /** @param names such as `DNS:localhost,IP:127.0.0.1` */
  async issue(fileName: string, names: string): Promise<KeyPair> {
    const pair = filesOf(this.folder, fileName);
    const request = join(this.folder, `${fileName}.csr`);
    const extensions = join(this.folder, `${fileName}.ext`);
    await writeFile(extensions, `subjectAltName=${names}\n`);
    await openssl('req', ...newKey(pair), '-out', request, '-subj', `/CN=${fileName} of ${this.name}`);
    const { certFile, keyFile } = this.pair;
    const signer = ['-CA', certFile, '-CAkey', keyFile, '-CAcreateserial', '-days', '1', '-extfile', extensions];
    await openssl('x509', '-req', '-in', request, '-out', pair.certFile, ...signer);
    return pair;
  }
}

function filesOf(folder: string, name: string): KeyPair {
  return { certFile: join(folder, `${name}.pem`), keyFile: join(folder, `${name}.key`) };
}

function newKey({ keyFile }: KeyPair): string[] {
  return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-keyout', keyFile];
}

async function openssl(...args: string[]): Promise<void> {
  await promisify(execFile)('openssl', args);
}
