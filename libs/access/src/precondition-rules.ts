/**
 * REQUIRE_IF_MATCH does not apply to keys, devices and webhooks: a revocation must not fail because `last_used_at`, and so the ETag, has
 * changed.
 */
export const PRECONDITION_RULES = { requireIfMatch: false };
