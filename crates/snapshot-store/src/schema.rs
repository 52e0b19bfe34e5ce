//! The tables, as both databases have them. What the columns hold is written in the migrations.

use diesel::table;

table! {
    organizations (id) {
        id -> Binary,
        name -> Text,
        created_at -> BigInt,
    }
}

table! {
    account_organizations (account_id, organization_id) {
        account_id -> Binary,
        organization_id -> Binary,
        position -> BigInt,
    }
}

table! {
    tokens (id) {
        id -> Binary,
        account_id -> Binary,
        name -> Text,
        hash -> Binary,
        created_at -> BigInt,
        revoked_at -> Nullable<BigInt>,
        role -> Text,
        expires_at -> Nullable<BigInt>,
    }
}

table! {
    volumes (organization_id, created_at, id) {
        id -> Binary,
        organization_id -> Binary,
        name -> Text,
        tags -> Text,
        size_bytes -> BigInt,
        volume_type -> Text,
        path -> Nullable<Binary>,
        base_snapshot_id -> Nullable<Binary>,
        created_at -> BigInt,
        modified_at -> BigInt,
        state -> Text,
        copies -> BigInt,
        error_reason -> Nullable<Text>,
        revision -> BigInt,
        losses -> Nullable<Text>,
    }
}

table! {
    snapshots (organization_id, created_at, id) {
        id -> Binary,
        organization_id -> Binary,
        domain_id -> Binary,
        name -> Text,
        tags -> Text,
        base_volume_id -> Binary,
        base_volume_name -> Text,
        size_bytes -> BigInt,
        volume_type -> Text,
        created_at -> BigInt,
        modified_at -> BigInt,
        state -> Text,
        digest -> Nullable<Text>,
        stored_bytes -> Nullable<BigInt>,
        error_reason -> Nullable<Text>,
        revision -> BigInt,
        health -> Text,
        verified_at -> Nullable<BigInt>,
        checked_at -> BigInt,
        exclusive_bytes -> Nullable<BigInt>,
    }
}

table! {
    tasks (id) {
        id -> Binary,
        organization_id -> Binary,
        kind -> Text,
        snapshot_id -> Nullable<Binary>,
        volume_id -> Nullable<Binary>,
        domain_id -> Nullable<Binary>,
        request_id -> Binary,
        created_at -> BigInt,
        ended_at -> Nullable<BigInt>,
        state -> Text,
        instance_id -> Nullable<Binary>,
        lease_expires_at -> Nullable<BigInt>,
        cancel_requested -> Bool,
        done_bytes -> BigInt,
        total_bytes -> BigInt,
        epoch -> BigInt,
        losses -> Nullable<Text>,
        salvage -> Bool,
        interruptions -> BigInt,
    }
}

table! {
    packs (id) {
        id -> Binary,
        domain_id -> Binary,
        size_bytes -> BigInt,
        chunks -> BigInt,
        standing -> Text,
        collection_id -> Nullable<Binary>,
    }
}

table! {
    damaged_chunks (pack_id, record_offset, chunk_id) {
        pack_id -> Binary,
        record_offset -> BigInt,
        chunk_id -> Binary,
    }
}

table! {
    receipts (id) {
        id -> Binary,
        fingerprint -> Binary,
        answer -> Text,
        kept_at -> BigInt,
        expires_at -> BigInt,
    }
}

table! {
    maintenance_runs (id) {
        id -> Binary,
        kind -> Text,
        dry_run -> Bool,
        asked_by -> Text,
        asked_at -> BigInt,
        state -> Text,
        instance_id -> Nullable<Binary>,
        lease_expires_at -> Nullable<BigInt>,
        epoch -> BigInt,
        note -> Nullable<Text>,
        ended_at -> Nullable<BigInt>,
        report -> Nullable<Text>,
    }
}

table! {
    domain_sizes (domain_id) {
        domain_id -> Binary,
        changes -> BigInt,
        measured -> Nullable<BigInt>,
    }
}

table! {
    volume_totals (organization_id) {
        organization_id -> Binary,
        total -> BigInt,
        held_bytes -> BigInt,
        at_most_bytes -> Nullable<BigInt>,
    }
}

table! {
    snapshot_totals (organization_id) {
        organization_id -> Binary,
        total -> BigInt,
        held -> BigInt,
        at_most -> Nullable<BigInt>,
        shifts -> BigInt,
    }
}

table! {
    transfers (id) {
        id -> Binary,
        snapshot_id -> Binary,
        giver_id -> Binary,
        receiver_id -> Nullable<Binary>,
        secret_hash -> Binary,
        created_at -> BigInt,
        expires_at -> BigInt,
        wrong_secrets -> BigInt,
    }
}

table! {
    audit (organization_id, at, id) {
        id -> Binary,
        organization_id -> Binary,
        at -> BigInt,
        token_id -> Nullable<Binary>,
        account_id -> Nullable<Binary>,
        request_id -> Binary,
        action -> Text,
        resource_id -> Nullable<Binary>,
        outcome -> Text,
    }
}

table! {
    task_totals (organization_id) {
        organization_id -> Binary,
        running -> BigInt,
        at_most -> Nullable<BigInt>,
    }
}

diesel::allow_tables_to_appear_in_same_query!(tokens, account_organizations);
diesel::allow_tables_to_appear_in_same_query!(tasks, task_totals);
diesel::allow_tables_to_appear_in_same_query!(snapshots, domain_sizes);
