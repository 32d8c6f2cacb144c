export function isUnrecordedWrite(sql: string): boolean;
