/** A request of a collection, as far as the tests look at it. */
export interface PostmanItem {
  name: string;
  request: {
    method: string;
    header: { key: string; value: string; disabled?: true }[];
    body?: { raw: string };
    url: { raw: string; host: string[]; path: string[] };
    auth?: { type: 'noauth' };
  };
}

export interface PostmanCollection {
  item: { name: string; item: PostmanItem[] }[];
}

export function postmanCollection(document: object): PostmanCollection;
