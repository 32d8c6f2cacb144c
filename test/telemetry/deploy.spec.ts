import { readFile } from 'node:fs/promises';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { parse } from 'yaml';

interface Rule {
  alert: string;
  expr: string;
  labels: { severity: string };
  annotations: { summary: string };
}

interface Panel {
  id: number;
  type: string;
  title: string;
  gridPos: { x: number; y: number; w: number; h: number };
  targets?: { refId: string; expr: string }[];
}

const OWN = /\b(?:stowage|process|nodejs)_\w+/g;

/** The metrics that docs/operations/monitoring.md lists, which are those of the server (metrics.spec.ts), with their types and labels. */
let metrics: Map<string, { type: string; labels: string[] }>;
let rules: Rule[];
let dashboard: { panels: Panel[]; templating: { list: { name: string; query: string }[] } };

beforeAll(async () => {
  const page = await readFile('docs/operations/monitoring.md', 'utf8');
  const rows = page.matchAll(/^\| `((?:stowage|process|nodejs)_\w+)` +\| (counter|gauge|histogram) +\| ([^|]*?) +\|/gm);
  metrics = new Map(
    [...rows].map(([, name = '', type = '', labels = '']) => [name, { type, labels: labels.match(/\w+/g) ?? [] }]),
  );
  const file = parse(await readFile('deploy/prometheus/stowage-alerts.yml', 'utf8')) as { groups: { rules: Rule[] }[] };
  rules = file.groups.flatMap((group) => group.rules);
  dashboard = JSON.parse(await readFile('deploy/grafana/stowage.json', 'utf8')) as typeof dashboard;
});

/** Fails where an expression names a metric or a label that does not exist, or misuses its type. */
function expectKnown(expression: string): void {
  const names = expression.match(OWN) ?? [];
  expect([expression, names.length + (expression.includes('up{') ? 1 : 0)]).not.toEqual([expression, 0]);
  for (const name of names) {
    const metric = metrics.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
    expect([name, metrics.has(metric)]).toEqual([name, true]);
    const { type = '', labels = [] } = metrics.get(metric) ?? {};
    expect([name, type === 'histogram']).toEqual([name, metric !== name]);
    const isRate = new RegExp(`(rate|increase)\\(${name}(\\{[^}]*\\})?\\[`).test(expression);
    expect([name, isRate]).toEqual([name, type !== 'gauge']);
    for (const [, matchers = ''] of expression.matchAll(new RegExp(`${name}\\{([^}]*)\\}`, 'g'))) {
      const used = [...matchers.matchAll(/(\w+)(?==~?")/g)].map(([, label = '']) => label);
      expect([name, used.filter((label) => !['job', 'instance', 'le', ...labels].includes(label))]).toEqual([name, []]);
    }
  }
}

describe('deploy/prometheus', () => {
  it('has alerts on metrics that exist', () => {
    expect(rules.length).toBeGreaterThan(10);
    for (const { expr } of rules) expectKnown(expr);
  });

  it('names its scrape jobs as the alerts expect them', async () => {
    for (const name of ['prometheus.yml', 'kubernetes.yml']) {
      const file = parse(await readFile(`deploy/prometheus/${name}`, 'utf8')) as {
        scrape_configs: { job_name: string }[];
      };
      expect(file.scrape_configs).not.toEqual([]);
      for (const { job_name } of file.scrape_configs) expect(job_name).toMatch(/^stowage/);
    }
    const jobs = rules.flatMap(({ expr }) => [...expr.matchAll(/job=~"(.*?)"/g)].map(([, job]) => job));
    expect(new Set(jobs)).toEqual(new Set(['stowage.*']));
  });

  it('has for each alert a severity, a summary, and an entry in docs/operations/alerts.md that says what to do', async () => {
    const page = await readFile('docs/operations/alerts.md', 'utf8');
    const entries = [...page.matchAll(/^\| `(Stowage\w+)` +\| +(\S.*?) +\| +(\S.{20,}?) +\|$/gm)];
    expect(entries.map(([, name]) => name).sort()).toEqual(rules.map(({ alert }) => alert).sort());
    for (const { labels, annotations } of rules) {
      expect(['warning', 'critical']).toContain(labels.severity);
      expect(annotations.summary).toMatch(/\w/);
    }
  });

  it('warns of one address that tries as many keys as the limit of failures lets it', async () => {
    const limit = /^RATE_LIMIT_FAILURES_PER_MINUTE=(\d+)$/m.exec(await readFile('.env.example', 'utf8'))?.[1];
    const { expr = '' } = rules.find(({ alert }) => alert === 'StowageKeysGuessed') ?? {};
    const perSecond = / > ([\d.]+)$/.exec(expr)?.[1];
    expect(Number(perSecond) * 60).toBeLessThan(Number(limit));
  });
});

describe('deploy/grafana', () => {
  it('shows metrics that exist', () => {
    const expressions = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    expect(expressions.length).toBeGreaterThan(20);
    for (const expression of expressions) expectKnown(expression);
    for (const { name, query } of dashboard.templating.list)
      if (name !== 'datasource') expect(query).toContain('stowage_build_info');
  });

  it('shows every metric of Stowage that an operator watches', () => {
    const text = JSON.stringify(dashboard);
    const left = [...metrics.keys()].filter((name) => name.startsWith('stowage_') && !text.includes(name));
    expect(left).toEqual(['stowage_database_metrics_age_seconds']);
  });

  it('has panels with unique ids that do not overlap', () => {
    const { panels } = dashboard;
    expect(new Set(panels.map(({ id }) => id)).size).toBe(panels.length);
    for (const [index, { gridPos: a }] of panels.entries()) {
      expect(a.x + a.w).toBeLessThanOrEqual(24);
      for (const { gridPos: b } of panels.slice(index + 1)) {
        const isApart = a.x + a.w <= b.x || b.x + b.w <= a.x || a.y + a.h <= b.y || b.y + b.h <= a.y;
        expect(isApart).toBe(true);
      }
    }
  });
});
