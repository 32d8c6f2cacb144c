import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { ChangeEvents } from './change-events.js';
import type { ChangeFeed, FollowedChanges } from './change-feed.js';
import { ChangePage } from './change-page.js';
import { ChangeReader } from './change-readers.js';

afterEach(() => {
  jest.restoreAllMocks();
});

describe('Server-Sent Events', () => {
  it('have a comment and a cursor every 15 seconds while a long scan finds nothing', async () => {
    let nowMs = 0;
    jest.spyOn(performance, 'now').mockImplementation(() => nowMs);
    let position = 0;
    const pageOf = (): ChangePage => new ChangePage([], { position: String(position), inside: null }, true, 'f');
    const feed: Pick<ChangeFeed, 'read'> = {
      read: () => {
        // A read ends after a second, and its page says that there is more.
        nowMs += 1_000;
        position++;
        return Promise.resolve(pageOf());
      },
    };
    const events = new ChangeEvents(
      feed as ChangeFeed,
      {} as FollowedChanges,
      new ChangeReader(),
      () => Promise.resolve(true),
      pageOf(),
    );
    expect(await events.next()).toBe('retry: 1000\n\nid: 0.f\n\n');
    expect(await events.next()).toBe(': no changes\nid: f.f\n\n');
    expect(await events.next()).toBe(': no changes\nid: u.f\n\n');
  });
});
