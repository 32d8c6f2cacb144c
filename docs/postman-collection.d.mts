/** A script that runs after an answer. */
interface PostmanEvent {
  listen: 'test';
  script: { exec: string[] };
}

interface PostmanParameter {
  key: string;
  value: string;
  disabled?: true;
}

/** A request of a collection, as far as the tests look at it. */
export interface PostmanItem {
  name: string;
  event?: PostmanEvent[];
  request: {
    auth: { type: 'noauth' } | { type: 'apikey'; apikey: { key: string; value: string }[] };
    method: string;
    header: PostmanParameter[];
    body?: { raw: string };
    url: {
      raw: string;
      host: string[];
      path: string[];
      query?: PostmanParameter[];
      variable?: PostmanParameter[];
    };
  };
}

export interface PostmanCollection {
  variable: { key: string; value: string }[];
  item: { name: string; item: PostmanItem[] }[];
}

export function postmanCollection(document: object): PostmanCollection;
