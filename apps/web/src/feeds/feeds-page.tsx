import type { JSX } from 'preact';
import { queryText } from '../api/parameters.js';
import { useQuery } from '../query.js';
import { Tabs } from '../ui/tabs.js';
import { Devices } from './devices.js';
import { Factories } from './factories.js';
import './feeds.css';
import { Rooms } from './rooms.js';

const FEEDS = [
  ['devices', 'Devices'],
  ['factories', 'Factories'],
  ['rooms', 'Rooms'],
] as const;
const PARAMETERS = ['feed', 'device', 'building', 'duration'] as const;

/** What devices, factories and thermometers report. */
export function FeedsPage(): JSX.Element {
  const [query, change] = useQuery(PARAMETERS);
  const feed = FEEDS.find(([name]) => name === query.feed)?.[0] ?? 'devices';
  return (
    <main id="main" class="list-page">
      <Tabs label="Feeds" tabs={FEEDS} current={feed} hrefOf={(name) => `/browse/feeds${queryText({ feed: name })}`} />
      {feed === 'devices' && <Devices current={query.device} onOpen={(device) => change({ device })} />}
      {feed === 'factories' && <Factories />}
      {feed === 'rooms' && <Rooms building={query.building} duration={query.duration ?? '1d'} onChange={change} />}
    </main>
  );
}
