import { Command, CommandRunner, Option } from 'nest-commander';
import { findSources } from './batch-source.js';
import { clientSettings } from './client-settings.js';
import { Loader, summaryOf } from './loader.js';
import { printLine } from './output.js';

/** How long the files under way may take to finish after Ctrl-C. */
const FINISH_WITHIN_MS = 3_000;
const REJECTED = 1;
/** What a shell shows for a command that Ctrl-C ended: 128 + SIGINT. */
const INTERRUPTED = 130;

@Command({
  name: 'load',
  arguments: '<place...>',
  argsDescription: { place: 'batch files, folders of *.json, http:// and https:// URLs' },
  description: 'store batch files, each of them once',
})
export class LoadCommand extends CommandRunner {
  async run(places: string[], options: { url?: string; key?: string }): Promise<void> {
    const settings = await clientSettings(options);
    const stop = new AbortController();
    const cut = new AbortController();
    // Stays registered: the shell and npm may both send it, and the second must not cut the summary off.
    process.on('SIGINT', () => {
      if (stop.signal.aborted) return;
      stop.abort();
      setTimeout(() => {
        cut.abort();
      }, FINISH_WITHIN_MS).unref();
    });
    const signals = { stop: stop.signal, cut: cut.signal };
    const result = await new Loader(await findSources(places), settings, signals).run();
    printLine(summaryOf(result));
    if (result.error !== undefined) throw result.error;
    if (stop.signal.aborted) process.exitCode = INTERRUPTED;
    else if (result.rejected > 0) process.exitCode = REJECTED;
  }

  @Option({ flags: '--url <url>', description: 'the server (default: STOWAGE_URL, or else http://HOST:PORT)' })
  parseUrl(value: string): string {
    return value;
  }

  @Option({ flags: '--key <key>', description: 'the API key (default: STOWAGE_API_KEY, or else STOWAGE_ADMIN_KEY)' })
  parseKey(value: string): string {
    return value;
  }
}
