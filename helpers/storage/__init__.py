"""What stands behind a table: shards, checksums, copies on Drive or in a store, a cluster."""
