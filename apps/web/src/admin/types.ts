import type { JsonObject } from '../api/json.js';
import type { Role } from '../api/types.js';

export interface Key {
  key_id: string;
  name: string;
  role: Role;
  /** The first characters of the key. */
  prefix: string;
  status: 'active' | 'expired' | 'revoked';
  device_id: string | null;
  canary: boolean;
  created_at: string;
  expires_at: string | null;
  revoked_at: string | null;
  last_used_at: string | null;
}

export interface Project {
  project_id: number;
  name: string;
  created_at: string;
  /** Null where the limit of the installation applies. */
  objects_max: number | null;
  bytes_max: number | null;
}

export interface Usage {
  objects: number;
  bytes: number;
  requests: number;
  /** Null for none. */
  limits: { objects: number | null; bytes: number | null };
}

export interface AuditEntry {
  number: number;
  created_at: string;
  action: string;
  actor: { key_id: string | null; role: Role | null; name: string | null };
  target: { type: string; id: string | null };
  details: JsonObject | null;
  address: string | null;
}
