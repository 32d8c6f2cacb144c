import type { Json } from '../api/json.js';

export interface Device {
  device_id: string;
  created_at: string;
}

export interface FirmwareEvent {
  id: string;
  version: string;
  timestamp: string;
  status?: string | null;
}

export interface Factory {
  id: string;
  factory: {
    chart_data: {
      sprocket_production_actual: Json[];
      sprocket_production_goal: Json[];
      /** In seconds since 1970. */
      time: Json[];
    };
  };
}

export interface Reading {
  temperature: Json;
  recorded_at: string;
}

export interface Average {
  average_temperature: Json;
  reading_count: number;
}
