/**
 * REQUIRE_IF_MATCH does not apply to keys and devices: a revocation must not fail because `last_used_at`, and so the ETag, has
 * changed.
 */
export const PRECONDITION_RULES = { requireIfMatch: false };
