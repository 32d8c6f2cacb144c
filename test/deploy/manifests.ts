import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import ts from 'typescript';
import { parse, parseAllDocuments } from 'yaml';
import { isMissingTool } from './tools.js';

const FOLDER = 'deploy/kubernetes';

export interface Container {
  name: string;
  image: string;
  args: string[];
  env?: { name: string; value?: string; valueFrom?: { secretKeyRef?: { name: string; key: string } } }[];
  ports?: { name: string; containerPort: number }[];
  securityContext?: object;
  resources?: { requests?: object; limits?: object };
  startupProbe?: Probe;
  readinessProbe?: Probe;
  livenessProbe?: Probe;
  lifecycle?: { preStop: { exec: { command: string[] } } };
}

interface Probe {
  httpGet?: { path: string; port: string };
}

export interface PodTemplate {
  metadata: { labels: Record<string, string> };
  spec: {
    containers: Container[];
    terminationGracePeriodSeconds?: number;
    securityContext?: object;
    automountServiceAccountToken?: boolean;
    enableServiceLinks?: boolean;
  };
}

/** A resource of Kubernetes; the members that these tests read. */
export interface Manifest {
  apiVersion: string;
  kind: string;
  metadata: { name: string; namespace?: string };
  data?: Record<string, string>;
  spec: {
    template?: PodTemplate;
    minReadySeconds?: number;
    strategy?: { rollingUpdate?: object };
    selector?: { matchLabels?: Record<string, string> } & Record<string, unknown>;
    podSelector?: { matchLabels?: Record<string, string> };
    scaleTargetRef?: { kind: string; name: string };
    ports?: { name: string; targetPort: string }[];
    minReplicas?: number;
    maxReplicas?: number;
  };
}

/** The resources in the files of a folder. Lists are patches, and kustomization.yaml is no resource. */
export async function manifestsIn(folder: string): Promise<Manifest[]> {
  const names = (await readdir(join(FOLDER, folder))).filter((name) => name.endsWith('.yaml'));
  const files = names.filter((name) => name !== 'kustomization.yaml');
  const texts = await Promise.all(files.map((name) => readFile(join(FOLDER, folder, name), 'utf8')));
  return texts.flatMap(documentsOf).filter((document) => !Array.isArray(document));
}

export async function kustomization(folder: string): Promise<{
  resources: string[];
  namespace?: string;
  labels?: { pairs: Record<string, string> }[];
  configMapGenerator: { literals: string[] }[];
}> {
  return parse(await readFile(join(FOLDER, folder, 'kustomization.yaml'), 'utf8')) as never;
}

/** The resources that kubectl makes of a folder; null where it is not installed. */
export async function rendered(folder: string): Promise<Manifest[] | null> {
  try {
    return documentsOf((await promisify(execFile)('kubectl', ['kustomize', join(FOLDER, folder)])).stdout);
  } catch (error) {
    if (isMissingTool(error)) return null;
    throw error;
  }
}

function documentsOf(text: string): Manifest[] {
  return parseAllDocuments(text).map((document) => {
    const [error] = document.errors;
    if (error !== undefined) throw error;
    return document.toJS() as Manifest;
  });
}

/**
 * Checks resources against the types of Kubernetes, which are generated from its OpenAPI document: as object literals, in which
 * TypeScript reports unknown members, too.
 * @returns the errors
 */
export function typeErrors(manifests: readonly Manifest[]): string[] {
  const lines = manifests.map((manifest, i) => {
    const [version = '', group = 'core'] = manifest.apiVersion.split('/').reverse();
    const path = `kubernetes-types/${group.replace(/\.k8s\.io$/, '')}/${version}`;
    return `const _${String(i)}: import('${path}').${manifest.kind} = ${JSON.stringify(manifest)};`;
  });
  const file = join(process.cwd(), 'test/deploy/generated-manifests.ts');
  const text = `${lines.join('\n')}\nexport {};\n`;
  const options: ts.CompilerOptions = {
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: [],
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.ESNext,
    moduleResolution: ts.ModuleResolutionKind.Bundler,
  };
  const disk = ts.createCompilerHost(options);
  const host: ts.CompilerHost = {
    ...disk,
    fileExists: (name) => name === file || disk.fileExists(name),
    readFile: (name) => (name === file ? text : disk.readFile(name)),
    getSourceFile: (name, target) =>
      name === file ? ts.createSourceFile(name, text, target) : disk.getSourceFile(name, target),
  };
  const program = ts.createProgram([file], options, host);
  return ts.getPreEmitDiagnostics(program).map(({ messageText, start = 0 }) => {
    const { kind, metadata } = manifests[text.slice(0, start).split('\n').length - 1] ?? {};
    return `${String(kind)} ${String(metadata?.name)}: ${ts.flattenDiagnosticMessageText(messageText, '; ')}`;
  });
}
