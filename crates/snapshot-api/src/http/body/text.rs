//! A snapshot's JSON, written by hand: lists are made of it, and serde would look at every byte of ids, dates and words for
//! what has to be escaped.

use std::io::Write as _;

use uuid::Uuid;

use super::{BaseVolumeBody, SnapshotBody, TagTexts, Written};

impl SnapshotBody<'_> {
    /// Writes what serde would write.
    pub(in crate::http) fn write(&self, json: &mut Vec<u8>) {
        // Without `..`, so that no field is forgotten.
        let Self {
            base_volume:
                BaseVolumeBody {
                    id: base_volume_id,
                    name: base_volume_name,
                },
            creation_date,
            id,
            name,
            organization,
            size,
            state,
            volume_type,
            project,
            modification_date,
            tags: TagTexts(tags),
            zone,
            error_reason,
            digest,
            health,
            verified_at,
            stored_size,
            exclusive_size,
            progress,
        } = self;
        json.extend_from_slice(b"{\"base_volume\":{\"id\":\"");
        uuid(json, base_volume_id.0.as_uuid());
        json.extend_from_slice(b"\",\"name\":");
        text(json, base_volume_name);
        json.extend_from_slice(b"},\"creation_date\":\"");
        plain(json, creation_date);
        json.extend_from_slice(b"\",\"id\":\"");
        uuid(json, id.0.as_uuid());
        json.extend_from_slice(b"\",\"name\":");
        text(json, name);
        json.extend_from_slice(b",\"organization\":\"");
        uuid(json, organization.0.as_uuid());
        json.extend_from_slice(b"\",\"size\":");
        number(json, *size);
        json.extend_from_slice(b",\"state\":");
        text(json, state);
        json.extend_from_slice(b",\"volume_type\":");
        text(json, volume_type);
        json.extend_from_slice(b",\"project\":\"");
        uuid(json, project.0.as_uuid());
        json.extend_from_slice(b"\",\"modification_date\":\"");
        plain(json, modification_date);
        json.extend_from_slice(b"\",\"tags\":[");
        for (at, tag) in tags.as_slice().iter().enumerate() {
            if at > 0 {
                json.push(b',');
            }
            text(json, tag.as_str());
        }
        json.extend_from_slice(b"],\"zone\":");
        text(json, zone);
        json.extend_from_slice(b",\"error_reason\":");
        optional(json, *error_reason, text);
        json.extend_from_slice(b",\"digest\":");
        optional(json, *digest, text);
        json.extend_from_slice(b",\"health\":");
        text(json, health);
        json.extend_from_slice(b",\"verified_at\":");
        optional(json, verified_at.as_ref(), |json, moment| {
            json.push(b'"');
            plain(json, moment);
            json.push(b'"');
        });
        json.extend_from_slice(b",\"stored_size\":");
        optional(json, *stored_size, number);
        json.extend_from_slice(b",\"exclusive_size\":");
        optional(json, *exclusive_size, number);
        if let Some(progress) = progress {
            json.extend_from_slice(b",\"progress\":");
            number(json, u64::from(*progress));
        }
        json.push(b'}');
    }
}

/// A text in quotes.
fn text(json: &mut Vec<u8>, text: &str) {
    // A fold looks at many bytes at once, which something that may end early does not.
    let is_plain = text.bytes().fold(true, |is_plain, byte| {
        is_plain & !matches!(byte, 0..b' ' | b'"' | b'\\')
    });
    if is_plain {
        json.push(b'"');
        json.extend_from_slice(text.as_bytes());
        json.push(b'"');
    } else {
        serde_json::to_writer(json, text).expect("a text is JSON, and memory takes every write");
    }
}

/// What is written with nothing that has to be escaped.
fn plain<T: std::fmt::Display>(json: &mut Vec<u8>, Written(value): &Written<T>) {
    write!(json, "{value}").expect("memory takes every write");
}

fn uuid(json: &mut Vec<u8>, id: Uuid) {
    let mut digits = Uuid::encode_buffer();
    json.extend_from_slice(id.hyphenated().encode_lower(&mut digits).as_bytes());
}

fn number(json: &mut Vec<u8>, mut number: u64) {
    /// What `u64::MAX` takes.
    const MOST_DIGITS: usize = 20;
    let mut digits = [b'0'; MOST_DIGITS];
    let mut first = MOST_DIGITS - 1;
    loop {
        digits[first] = b"0123456789"[(number % 10) as usize];
        number /= 10;
        if number == 0 {
            break;
        }
        first -= 1;
    }
    json.extend_from_slice(&digits[first..]);
}

fn optional<T>(json: &mut Vec<u8>, value: Option<T>, write: impl FnOnce(&mut Vec<u8>, T)) {
    match value {
        Some(value) => write(json, value),
        None => json.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use snapshot_domain::{
        OrganizationId, SnapshotId, Tags, VolumeId,
        testing::{an_organization_id, moment},
    };

    use super::*;

    fn texts() -> impl Strategy<Value = String> {
        prop_oneof!["[ -~]{0,40}", ".{0,40}", "[\u{0}-\u{20}\"\\\\/\u{7f}é\u{1f600}]{0,20}"]
    }

    fn numbers() -> impl Strategy<Value = u64> {
        prop_oneof![0_u64..1000, any::<u64>(), Just(u64::MAX)]
    }

    proptest! {
        #[test]
        fn it_is_what_serde_would_write(
            ids in any::<[u128; 2]>(),
            (name, base_volume_name, zone) in (texts(), texts(), texts()),
            error_reason in proptest::option::of(texts()),
            digest in proptest::option::of(texts()),
            tags in proptest::collection::vec("[^\\p{Cc}]{1,8}", 0..4),
            moments in any::<[u32; 3]>(),
            is_verified in any::<bool>(),
            size in numbers(),
            sizes in (proptest::option::of(numbers()), proptest::option::of(numbers())),
            progress in proptest::option::of(0_u8..=100),
        ) {
            let at = |seconds: u32| Written(moment(i64::from(seconds)));
            let tags = Tags::parse(&tags).unwrap_or_default();
            let organization: OrganizationId = an_organization_id();
            let body = SnapshotBody {
                base_volume: BaseVolumeBody {
                    id: Written(VolumeId::new(Uuid::from_u128(ids[0]))),
                    name: &base_volume_name,
                },
                creation_date: at(moments[0]),
                id: Written(SnapshotId::new(Uuid::from_u128(ids[1]))),
                name: &name,
                organization: Written(organization),
                size,
                state: "available",
                volume_type: "l_ssd",
                project: Written(organization),
                modification_date: at(moments[1]),
                tags: TagTexts(&tags),
                zone: &zone,
                error_reason: error_reason.as_deref(),
                digest: digest.as_deref(),
                health: "ok",
                verified_at: is_verified.then(|| at(moments[2])),
                stored_size: sizes.0,
                exclusive_size: sizes.1,
                progress,
            };
            let mut written = Vec::new();
            body.write(&mut written);
            prop_assert_eq!(String::from_utf8(written).unwrap(), serde_json::to_string(&body).unwrap());
        }
    }
}
