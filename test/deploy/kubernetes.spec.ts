import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';
import {
  kustomization,
  manifestsIn,
  rendered,
  typeErrors,
  type Container,
  type Manifest,
  type PodTemplate,
} from './manifests.js';

const FOLDERS = ['base', 'overlays/local', 'overlays/production'];
const OVERLAYS = FOLDERS.slice(1);
/** Values that must not be in a file of the project. */
const SECRET = /^(?:DATABASE_(?:READ_)?URL|REDIS_URL|SENTRY_DSN|.*_(?:KEY|SECRET|SECRET_PREVIOUS|TOKEN|PASSWORD))$/;
/** The server needs 10 s at most. */
const STOP_SECONDS = 10;

/** The resources of each folder as they are, and as kubectl makes them where it is installed. */
const sources = new Map<string, Manifest[]>();
let settings: Set<string>;

beforeAll(async () => {
  for (const folder of FOLDERS) {
    sources.set(`the files of ${folder}`, await manifestsIn(folder));
    const result = await rendered(folder);
    if (result !== null) sources.set(`kubectl kustomize ${folder}`, result);
  }
  const example = await readFile('.env.example', 'utf8');
  settings = new Set([...example.matchAll(/^(?:# )?([A-Z_]+)=/gm)].map(([, name = '']) => name));
});

/** Runs a check on every source. */
function forEachSource(check: (manifests: Manifest[], source: string) => void): void {
  for (const [source, manifests] of sources) check(manifests, source);
}

function ofStowage({ metadata }: Manifest): boolean {
  return metadata.name.startsWith('stowage');
}

function templates(manifests: readonly Manifest[]): PodTemplate[] {
  return manifests.filter(ofStowage).flatMap(({ spec }) => (spec as Manifest['spec'] | undefined)?.template ?? []);
}

function containers(manifests: readonly Manifest[]): Container[] {
  return templates(manifests).flatMap(({ spec }) => spec.containers);
}

function matches(selector: Record<string, string>, labels: Record<string, string>): boolean {
  return Object.entries(selector).every(([name, value]) => labels[name] === value);
}

describe('the resources for Kubernetes', () => {
  it('have the members and types that Kubernetes defines, and no others', () => {
    forEachSource((manifests, source) => {
      expect([source, typeErrors(manifests)]).toEqual([source, []]);
    });
    const [deployment] = (sources.get('the files of base') ?? []).filter(({ kind }) => kind === 'Deployment');
    const misspelled = JSON.parse(JSON.stringify(deployment).replace('runAsNonRoot', 'runAsNotRoot')) as Manifest;
    expect(typeErrors([misspelled])).toEqual([expect.stringContaining('runAsNotRoot')]);
  });

  it('run the API, the worker and the migrations by commands of the entry point, from the image', async () => {
    const entryPoint = await readFile('docker-entrypoint.sh', 'utf8');
    const found = containers(sources.get('the files of base') ?? []);
    expect(found.map(({ args }) => args)).toEqual([['serve'], ['migrate'], ['worker']]);
    for (const { args } of found) expect(entryPoint).toContain(`\n  ${args[0] ?? ''} `);
    expect(found.map(({ image }) => image)).toEqual(['stowage', 'stowage', 'stowage']);
  });

  it('listen on the port of the image, and are probed at routes that exist', async () => {
    const dockerfile = await readFile('Dockerfile', 'utf8');
    const routes = await readFile('apps/api/health.controller.ts', 'utf8');
    const files = sources.get('the files of base') ?? [];
    const [api, , worker] = containers(files);
    expect(dockerfile).toContain(`EXPOSE ${String(api?.ports?.[0]?.containerPort)}`);
    expect(api?.readinessProbe?.httpGet).toEqual({ path: '/health/ready', port: 'http' });
    expect(api?.livenessProbe?.httpGet).toEqual({ path: '/health/live', port: 'http' });
    for (const probe of [api?.startupProbe, api?.readinessProbe, api?.livenessProbe])
      expect(routes).toContain(`@Get('${probe?.httpGet?.path.slice(1) ?? ''}')`);
    // metrics.spec.ts requests it, without METRICS_TOKEN.
    expect(worker?.livenessProbe?.httpGet).toEqual({ path: '/health/live', port: 'metrics' });
    // Without a probe of readiness, a worker would be ready before it finds that the migrations have not run.
    const deployment = files.find(({ kind, metadata }) => kind === 'Deployment' && metadata.name === 'stowage-worker');
    expect(deployment?.spec.minReadySeconds).toBeGreaterThanOrEqual(30);
    expect(deployment?.spec.strategy?.rollingUpdate).toEqual({ maxSurge: 1, maxUnavailable: 0 });
  });

  it('run without privileges, on a read-only file system, with limits of memory, and without a token of Kubernetes', () => {
    forEachSource((manifests) => {
      for (const { spec } of templates(manifests)) {
        expect(spec).toMatchObject({ automountServiceAccountToken: false, enableServiceLinks: false });
        expect(spec.securityContext).toMatchObject({ runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } });
      }
      for (const { securityContext, resources } of containers(manifests)) {
        expect(securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(resources).toMatchObject({
          requests: { cpu: expect.any(String), memory: expect.any(String) },
          limits: { memory: expect.any(String) },
        });
      }
    });
  });

  it('serve metrics on a port of their own, which only Prometheus may connect to', async () => {
    const { configMapGenerator } = await kustomization('base');
    const literals = configMapGenerator.flatMap((generator) => generator.literals);
    expect(literals).toEqual(expect.arrayContaining(['METRICS_PORT=9464', 'METRICS_HOST=0.0.0.0']));
    const files = sources.get('the files of base') ?? [];
    const serving = containers(files).filter(({ args }) => args[0] !== 'migrate');
    for (const { ports = [] } of serving) expect(ports).toContainEqual({ name: 'metrics', containerPort: 9464 });
    const open = files.filter(({ kind, spec }) => kind === 'NetworkPolicy' && JSON.stringify(spec).includes('metrics'));
    expect(
      open.map(({ spec }) => (spec as { ingress?: { from?: object[] }[] }).ingress?.map(({ from }) => from)),
    ).toEqual([[[{ namespaceSelector: { matchLabels: { 'kubernetes.io/metadata.name': 'monitoring' } } }]]]);
  });

  it('are scraped by their namespace, labels and name of the port', async () => {
    const { scrape_configs: jobs } = parse(await readFile('deploy/prometheus/kubernetes.yml', 'utf8')) as {
      scrape_configs: {
        kubernetes_sd_configs: { namespaces: { names: string[] }; selectors: { label: string }[] }[];
        relabel_configs: object[];
      }[];
    };
    const [pods] = jobs[0]?.kubernetes_sd_configs ?? [];
    const { namespace } = await kustomization('overlays/production');
    expect(pods?.namespaces.names).toEqual([namespace]);
    const { labels } = await kustomization('base');
    const [[name, value] = []] = Object.entries(labels?.[0]?.pairs ?? {});
    expect(pods?.selectors.map(({ label }) => label)).toEqual([`${String(name)}=${String(value)}`]);
    expect(jobs[0]?.relabel_configs).toContainEqual({
      source_labels: ['__meta_kubernetes_pod_container_port_name'],
      regex: 'metrics',
      action: 'keep',
    });
  });

  it('have the time that a stop needs', () => {
    for (const { spec } of templates(sources.get('the files of base') ?? [])) {
      const [container] = spec.containers;
      if (container?.args[0] === 'migrate') continue;
      const before = Number(container?.lifecycle?.preStop.exec.command[1] ?? 0);
      expect(spec.terminationGracePeriodSeconds).toBeGreaterThanOrEqual(before + STOP_SECONDS);
    }
  });

  it('set only settings of Stowage, and secrets only by reference', async () => {
    const literals: string[] = [];
    for (const folder of FOLDERS)
      for (const generator of (await kustomization(folder)).configMapGenerator) literals.push(...generator.literals);
    const names = literals.map((literal) => literal.replace(/=.*/, ''));
    expect(names).not.toEqual([]);
    expect(names.filter((name) => !settings.has(name) || SECRET.test(name))).toEqual([]);
    forEachSource((manifests) => {
      expect(manifests.filter(({ kind }) => kind === 'Secret')).toEqual([]);
      for (const { env = [] } of containers(manifests))
        for (const { name, value, valueFrom } of env) {
          expect(settings).toContain(name);
          expect([name, value, valueFrom?.secretKeyRef?.name]).toEqual([name, undefined, 'stowage']);
        }
    });
  });

  it('select pods and scale workloads that exist', () => {
    for (const folder of FOLDERS) {
      // Those of an overlay without the base refer to resources of the base.
      const own = sources.get(`kubectl kustomize ${folder}`) ?? [
        ...new Set([...(sources.get('the files of base') ?? []), ...(sources.get(`the files of ${folder}`) ?? [])]),
      ];
      const pods = own.flatMap((manifest) => (manifest.spec as Manifest['spec'] | undefined)?.template ?? []);
      const selectorOf = ({ kind, spec }: Manifest): Record<string, string> | undefined => {
        if (kind === 'Service') return spec.selector as Record<string, string>;
        if (kind === 'NetworkPolicy') return spec.podSelector?.matchLabels ?? {};
        return kind === 'PodDisruptionBudget' ? spec.selector?.matchLabels : undefined;
      };
      for (const manifest of own) {
        const selector = selectorOf(manifest);
        if (selector === undefined) continue;
        const selected = pods.filter(({ metadata }) => matches(selector, metadata.labels));
        expect([manifest.kind, manifest.metadata.name, selected.length > 0]).toEqual([
          manifest.kind,
          manifest.metadata.name,
          true,
        ]);
        if (manifest.kind !== 'Service') continue;
        const ports = selected.flatMap(({ spec }) => spec.containers.flatMap((one) => one.ports ?? []));
        for (const { targetPort } of manifest.spec.ports ?? [])
          expect(ports.map(({ name }) => name)).toContain(targetPort);
      }
      const deployments = own.filter(({ kind }) => kind === 'Deployment').map(({ metadata }) => metadata.name);
      const scaled = own.filter(({ kind }) => kind === 'HorizontalPodAutoscaler');
      expect(scaled.map(({ spec }) => spec.scaleTargetRef?.name).sort()).toEqual(deployments.sort());
    }
  });

  it('include every file of their folder', async () => {
    for (const folder of FOLDERS) {
      const { resources } = await kustomization(folder);
      expect(resources.filter((path) => path.endsWith('.yaml'))).not.toEqual([]);
      if (folder !== 'base') expect(resources).toContain('../../base');
    }
    for (const folder of OVERLAYS) {
      const result = sources.get(`kubectl kustomize ${folder}`);
      if (result === undefined) continue;
      expect(result.find(({ kind }) => kind === 'Namespace')?.metadata.name).toBe('stowage');
      const others = result.filter(({ kind }) => kind !== 'Namespace');
      expect(others.filter(({ metadata }) => metadata.namespace !== 'stowage')).toEqual([]);
    }
  });
});
