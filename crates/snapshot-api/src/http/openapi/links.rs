//! What can be asked for next: which operations take what an answer tells.

use serde_json::json;
use utoipa::{
    Modify,
    openapi::{OpenApi, RefOr, link::LinkBuilder, path::Operation},
};

use super::generations::SUFFIX;

/// Adds links from answers to the operations that go on with what they made.
pub(in crate::http) struct Links;

/// What makes something, what it is called in the answer, and the operations whose path takes its id.
const BY_PATH: [(&str, &str, &[&str]); 3] = [
    (
        "create_snapshot",
        "snapshot",
        &[
            "get_snapshot",
            "update_snapshot",
            "delete_snapshot",
            "read_snapshot",
            "watch_snapshot",
            "offer_snapshot",
        ],
    ),
    (
        "create_volume",
        "volume",
        &[
            "get_volume",
            "update_volume",
            "delete_volume",
            "read_volume",
            "write_volume",
        ],
    ),
    ("offer_snapshot", "transfer", &["get_transfer", "withdraw_transfer"]),
];

/// What makes something, what it is called in the answer, the operation whose body takes its id, and under which key.
const BY_BODY: [(&str, &str, &str, &str); 2] = [
    ("create_volume", "volume", "create_snapshot", "volume_id"),
    ("create_snapshot", "snapshot", "create_volume", "base_snapshot"),
];

impl Modify for Links {
    fn modify(&self, document: &mut OpenApi) {
        let items = document.paths.paths.values_mut();
        let mut operations: Vec<_> = items.flat_map(super::operations_of).collect();
        for (suffix, owner) in [("", "organization"), (SUFFIX, "project")] {
            for (from, kind, targets) in BY_PATH {
                for to in targets {
                    let link = LinkBuilder::new().parameter("id", format!("$response.body#/{kind}/id"));
                    add(&mut operations, from, to, suffix, link);
                }
            }
            for (from, kind, to, key) in BY_BODY {
                let body = json!({
                    "name": "linked",
                    owner: format!("$response.body#/{kind}/organization"),
                    key: format!("$response.body#/{kind}/id"),
                });
                let link = LinkBuilder::new().request_body(Some(body));
                add(&mut operations, from, to, suffix, link);
            }
        }
        for (suffix, owner) in [("", "organization"), (SUFFIX, "project")] {
            let link = LinkBuilder::new()
                .parameter("id", "$response.body#/transfer/id")
                .request_body(Some(json!({
                    "secret": "$response.body#/transfer/secret",
                    owner: "$response.body#/transfer/giver",
                })));
            add(&mut operations, "offer_snapshot", "accept_transfer", suffix, link);
        }
        let link = LinkBuilder::new().parameter("id", "$response.body#/task/id");
        add(&mut operations, "create_snapshot", "get_task", SUFFIX, link);
    }
}

/// Adds a link to what the operation `from` answers when all is well.
fn add(operations: &mut [&mut Operation], from: &str, to: &str, suffix: &str, link: LinkBuilder) {
    let (from, to) = (format!("{from}{suffix}"), format!("{to}{suffix}"));
    let mut link = link.operation_id(&to);
    if suffix == SUFFIX {
        link = link.parameter("zone", "$request.path.zone");
    }
    let link = link.build();
    for operation in operations {
        if operation.operation_id.as_ref() != Some(&from) {
            continue;
        }
        for status in ["200", "201"] {
            if let Some(RefOr::T(answer)) = operation.responses.responses.get_mut(status) {
                answer.links.insert(to.clone(), link.clone().into());
            }
        }
    }
}
