import { createReadStream, type ReadStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { API, Rules } from '#http';
import { projectFile } from '#platform';
import { Controller, Get, Header, Redirect } from '@nestjs/common';
import { ApiExcludeController } from '@nestjs/swagger';
import { Marked } from 'marked';
import { gfmHeadingId } from 'marked-gfm-heading-id';
import { htmlPage } from './html-page.js';

const REDOC_SCRIPT = createRequire(import.meta.url).resolve('redoc/bundles/redoc.standalone.js');
const HTML = 'text/html; charset=utf-8';

const REDOC_PAGE = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Stowage API</title>
<style>body { margin: 0 }</style>
<redoc spec-url="/openapi.json" disable-search></redoc>
<script src="/redoc/redoc.js"></script>
</html>
`;

/** The pages at the root of the server, except those of Swagger UI. */
@ApiExcludeController()
@Controller()
export class DocumentsController {
  private problemsPage: Promise<string> | undefined;

  @Get()
  @Rules({ roles: 'anyone', produces: ['text/html', 'application/json'] })
  @Redirect(`${API}/`)
  root(): void {
    // The decorator redirects.
  }

  @Get('redoc')
  @Rules({ roles: 'anyone', produces: ['text/html'] })
  @Header('Content-Type', HTML)
  redoc(): string {
    return REDOC_PAGE;
  }

  /** Served from here, so that the reference works without internet access. */
  @Get('redoc/redoc.js')
  @Rules({ roles: 'anyone', produces: ['text/javascript'] })
  @Header('Content-Type', 'text/javascript; charset=utf-8')
  @Header('Cache-Control', 'public, max-age=86400')
  redocScript(): ReadStream {
    return createReadStream(REDOC_SCRIPT);
  }

  /** The page that the `type` of every problem links to. */
  @Get('problems')
  @Rules({ roles: 'anyone', produces: ['text/html'] })
  @Header('Content-Type', HTML)
  problems(): Promise<string> {
    return (this.problemsPage ??= renderProblemsPage());
  }
}

async function renderProblemsPage(): Promise<string> {
  const markdown = await readFile(projectFile('docs/problems.md'), 'utf8');
  const body = await new Marked().use(gfmHeadingId()).parse(markdown.replace(/^# .*\n/, ''));
  return htmlPage('Problems', body);
}
