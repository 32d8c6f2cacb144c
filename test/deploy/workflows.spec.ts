import { spawnSync } from 'node:child_process';
import { access, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { convertWorkflowTemplate, NoOperationTraceWriter, parseWorkflow } from '@actions/workflow-parser';
import { parse } from 'yaml';

interface Step {
  uses?: string;
  run?: string;
  with?: Record<string, unknown>;
  env?: Record<string, string>;
}

interface Job {
  needs?: string[];
  if?: string;
  container?: string;
  permissions?: Record<string, string>;
  strategy?: { matrix: { node: string[] } };
  steps: Step[];
}

let text: string;
let workflow: { permissions: Record<string, string>; jobs: Record<string, Job> };

beforeAll(async () => {
  text = await readFile('.github/workflows/ci.yml', 'utf8');
  workflow = parse(text) as typeof workflow;
});

/** The errors that the parser of GitHub finds: of the schema, of expressions, and of jobs that do not exist. */
async function errorsOf(content: string): Promise<string[]> {
  const { context, value } = parseWorkflow({ name: 'ci.yml', content }, new NoOperationTraceWriter());
  if (value !== undefined) await convertWorkflowTemplate(context, value);
  return context.errors.getErrors().map(({ message }) => message);
}

describe('.github/workflows/ci.yml', () => {
  it('is valid for the parser of GitHub', async () => {
    expect(await errorsOf(text)).toEqual([]);
    for (const [valid, invalid] of [
      ['timeout-minutes', 'timeout-minute'],
      ['needs: [check, static, deploy, upgrade, image]', 'needs: [check, static, deploy, upgrade, images]'],
      ['${{ github.token }}', '${{ github.token }'],
    ] as const) {
      expect(text).toContain(valid);
      expect([invalid, await errorsOf(text.replace(valid, invalid))]).not.toEqual([invalid, []]);
    }
  });

  it('checks the oldest supported version of Node.js, 22, and that of the image', async () => {
    const { engines } = JSON.parse(await readFile('package.json', 'utf8')) as { engines: { node: string } };
    const oldest = /^>=(\d+)/.exec(engines.node)?.[1];
    const ofImage = /^FROM node:(\d+)/m.exec(await readFile('Dockerfile', 'utf8'))?.[1];
    expect(workflow.jobs.check?.strategy?.matrix.node).toEqual([oldest, '22', ofImage]);
    await access(workflow.jobs.check?.steps.at(-1)?.run ?? '');
  });

  it('pins each action to a version, and writes nothing but in the release of a tag', () => {
    const uses = Object.values(workflow.jobs).flatMap(({ steps }) => steps.flatMap((step) => step.uses ?? []));
    expect(uses.filter((name) => !/^[\w-]+\/[\w-]+@v\d+$/.test(name))).toEqual([]);
    expect(workflow.permissions).toEqual({ contents: 'read' });
    const writing = Object.entries(workflow.jobs).filter(([, job]) => job.permissions !== undefined);
    expect(writing.map(([name]) => name)).toEqual(['release']);
    expect(workflow.jobs.release).toMatchObject({
      if: `startsWith(github.ref, 'refs/tags/v')`,
    });
  });

  it('publishes nothing before all other jobs have succeeded', () => {
    const others = Object.keys(workflow.jobs).filter((name) => name !== 'release');
    expect(workflow.jobs.release?.needs).toEqual(others);
  });

  it('checks the files of deploy where kubectl and systemd are, and fails where they are not', () => {
    const { container, steps = [] } = workflow.jobs.deploy ?? {};
    expect(container).toBeUndefined();
    expect(steps.at(-1)).toEqual({ run: 'npm test -- test/deploy', env: { DEPLOY_TOOLS: 'required' } });
  });

  it('runs every check of npm run check', async () => {
    const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as { scripts: { check: string } };
    expect(scripts.check).toBe('npm run build && run-p --continue-on-error "test -- {@}" check:static --');
    expect(await readFile('.ci/run', 'utf8')).toMatch(/^npm test -- /m);
    expect(workflow.jobs.static?.steps.at(-1)?.run).toBe('npm run check:static');
  });

  it('upgrades a database of the previous version, with the history that this needs', () => {
    const { steps = [] } = workflow.jobs.upgrade ?? {};
    expect(steps[0]?.with).toEqual({ 'fetch-depth': 0 });
    expect(steps.at(-1)?.run).toBe('npm run test:upgrade');
  });

  it('publishes nothing for a tag that is not the version of the package, or has no part of the changelog', async () => {
    const { steps = [] } = workflow.jobs.release ?? {};
    const check = steps.findIndex((step) => step.run?.includes('notes.md'));
    expect(check).toBeLessThan(steps.findIndex((step) => step.uses?.startsWith('docker/')));
    const folder = await mkdtemp(join(tmpdir(), 'stowage-release-'));
    try {
      await writeFile(join(folder, 'package.json'), '{ "version": "1.2.0" }');
      const checked = async (tag: string, changelog: string): Promise<string | number | null> => {
        await writeFile(join(folder, 'CHANGELOG.md'), changelog);
        const env = { ...process.env, GITHUB_REF_NAME: tag };
        const { status } = spawnSync('bash', ['-e', '-c', steps[check]?.run ?? ''], { cwd: folder, env });
        return status === 0 ? readFile(join(folder, 'notes.md'), 'utf8') : status;
      };
      const changelog = '# Changelog\n\n## [Unreleased]\n\n## [1.2.0] - 2026-11-27\n\n- New.\n\n## [1.1.0]\n\n- Old.\n';
      expect(await checked('v1.2.0', changelog)).toBe('\n- New.\n\n');
      expect(await checked('v1.1.0', changelog)).toBe(1);
      expect(await checked('v1.2.0', changelog.replace('[1.2.0]', '[1.20]'))).toBe(1);
      expect(await checked('v1.2.0', changelog.replace('- New.', ''))).toBe(1);
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('starts the image with all variables that docker-compose.yml requires', async () => {
    const compose = await readFile('docker-compose.yml', 'utf8');
    const required = new Set([...compose.matchAll(/\$\{(\w+):\?/g)].map(([, name]) => name));
    const { env = {} } = workflow.jobs.image?.steps.find((step) => step.run?.includes('docker compose up')) ?? {};
    expect(Object.keys(env)).toEqual(expect.arrayContaining([...required]));
    for (const name of ['STOWAGE_KEY_SECRET', 'STOWAGE_ADMIN_KEY'])
      expect(env[name]?.length).toBeGreaterThanOrEqual(32);
  });
});

describe('.github/dependabot.yml', () => {
  it('follows the packages, the images and the actions, where their files are', async () => {
    const { version, updates } = parse(await readFile('.github/dependabot.yml', 'utf8')) as {
      version: number;
      updates: { 'package-ecosystem': string; directory: string; schedule: { interval: string } }[];
    };
    const files: Record<string, string> = {
      npm: 'package-lock.json',
      docker: 'Dockerfile',
      'docker-compose': 'docker-compose.yml',
      'github-actions': '.github/workflows/ci.yml',
    };
    expect(version).toBe(2);
    expect(updates.map((update) => update['package-ecosystem']).sort()).toEqual(Object.keys(files).sort());
    for (const update of updates) {
      expect(['daily', 'weekly', 'monthly']).toContain(update.schedule.interval);
      await access(join(`.${update.directory}`, files[update['package-ecosystem']] ?? ''));
    }
  });
});
