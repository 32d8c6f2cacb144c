import { expect, it } from '@jest/globals';
import { findList, JsonBody } from '#http';
import { feedListLimit, itemsOf, parseEach } from './feed-input.js';

async function parse(text: string): Promise<unknown[]> {
  const list = await findList(new JsonBody(Buffer.from(text), 1e9), null, feedListLimit('items'));
  if (list === null) throw new Error('no list was found');
  return parseEach(itemsOf(list, '', 'items'), ({ value }) => ({ value }));
}

const DEEP = `${'['.repeat(70)}${']'.repeat(70)}`;

it('a list that is not JSON is malformed as a whole, also before an item that is too deep to be parsed', async () => {
  for (const text of ['[1,tru]', `[tru,${DEEP}]`]) {
    await expect(parse(text)).rejects.toMatchObject({ slug: 'malformed-request', location: { line: 1 } });
  }
  await expect(parse(`[1,${DEEP}]`)).rejects.toMatchObject({ slug: 'invalid-body', errors: [{ pointer: '/1' }] });
});
