import type { Json } from './json.js';

export type Role = 'operator' | 'admin' | 'analyst' | 'producer' | 'device';

export interface Me {
  key_id: string;
  name: string;
  role: Role;
  project: { project_id: number; name: string } | null;
}

export interface Page<T> {
  count: number | null;
  count_is?: 'exact' | 'estimated' | 'at_least';
  next: string | null;
  previous: string | null;
  results: T[];
}

interface Pair {
  key: string;
  value: Json;
}

export interface StoredObject {
  object_id: string;
  batch_id: string;
  subject: string | null;
  observed_at: string;
  data: Pair[];
}

export interface KeyInUse {
  key: string;
  objects: number;
  types: string[];
  example: Json;
}

export interface Facet {
  key: string;
  results: { value: Json; count: number }[];
  other: number;
  count_is: 'exact' | 'at_least' | 'estimated';
}

export interface AggregateResult {
  group: Json;
  series?: Json;
  value: Json;
  count: number;
}

/** An error response (RFC 9457). */
export interface Problem {
  type: string;
  title: string;
  status: number;
  detail?: string;
  errors?: { detail: string; pointer?: string; parameter?: string }[];
  /** The number of all errors, of which `errors` has the first. */
  error_count?: number;
}
