//! Reading the fields of a request, so that everything that is wrong is said at once.

use actix_web::web::Query;
use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use snapshot_domain::{
    AuditAction, Name, OrganizationId, SnapshotId, SnapshotStateName, Tag, Tags, Timestamp, VolumeId, VolumeSize,
    VolumeStateName, VolumeType,
};
use uuid::Uuid;

use super::error::{ApiError, FieldErrors};

/// What stands for "the value is not what the field takes": a sentence.
type Sentence = String;

/// The fields of a body or a query, and what was found to be wrong with them so far.
#[derive(Debug)]
pub(super) struct Fields {
    values: Map<String, Value>,
    /// What is wrong with how fields were sent. It matters once they are read: what nobody reads is ignored.
    unread: FieldErrors,
    wrong: FieldErrors,
}

impl Fields {
    /// These fields, with nothing wrong so far.
    pub(super) const fn new(values: Map<String, Value>) -> Self {
        Self {
            values,
            unread: FieldErrors::new(),
            wrong: FieldErrors::new(),
        }
    }

    /// The fields of a query string, all texts.
    ///
    /// # Errors
    ///
    /// 400 when it is no query string.
    pub(super) fn of_query(query: &str) -> Result<Self, ApiError> {
        let pairs = Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|error| ApiError::BadRequest(format!("The query can't be read: {error}")))?;
        let mut fields = Self::new(Map::new());
        for (key, value) in pairs.into_inner() {
            if (key.clone() + &value).contains(char::REPLACEMENT_CHARACTER) {
                fields.blame_once_read(&key, "must be valid UTF-8");
            }
            if fields.values.insert(key.clone(), Value::String(value)).is_some() {
                fields.blame_repeated(&key);
            }
        }
        Ok(fields)
    }

    /// Takes over what is wrong with a field of a query, so that it is said together with the rest.
    pub(super) fn also(&mut self, mut query: Self, key: &str) {
        self.wrong.extend(query.wrong.remove_entry(key));
    }

    /// Notes that something is wrong with a field.
    pub(super) fn blame(&mut self, key: &str, sentence: impl Into<Sentence>) {
        self.wrong.entry(key.to_owned()).or_default().push(sentence.into());
    }

    /// Notes that a field was sent more than once: which one is meant nobody can tell, if it is one that is read.
    pub(super) fn blame_repeated(&mut self, key: &str) {
        self.blame_once_read(key, "must not be given more than once");
    }

    fn blame_once_read(&mut self, key: &str, sentence: &str) {
        self.unread.entry(key.to_owned()).or_default().push(sentence.to_owned());
    }

    /// Notes that a field is read, and what is wrong with how it was sent.
    fn begin_to_read(&mut self, key: &str) {
        self.wrong.extend(self.unread.remove_entry(key));
    }

    /// A field as it was sent; `null` is the same as nothing.
    pub(super) fn sent(&self, key: &str) -> Option<&Value> {
        self.values.get(key).filter(|value| !value.is_null())
    }

    /// A field that has to be there. `None` when it is wrong, which is noted.
    pub(super) fn required<T>(&mut self, key: &str, read: impl FnOnce(&Value) -> Result<T, Sentence>) -> Option<T> {
        self.begin_to_read(key);
        match self.values.get(key).map(read) {
            Some(Ok(value)) => Some(value),
            Some(Err(sentence)) => {
                self.blame(key, sentence);
                None
            }
            None => {
                self.blame(key, "required key not provided");
                None
            }
        }
    }

    /// A field that may be missing: `Some(None)` then. `None` when it is wrong, which is noted.
    #[expect(clippy::option_option, reason = "absent and wrong are two different things")]
    pub(super) fn optional<T>(
        &mut self,
        key: &str,
        read: impl FnOnce(&Value) -> Result<T, Sentence>,
    ) -> Option<Option<T>> {
        self.begin_to_read(key);
        match self.sent(key).map(read) {
            None => Some(None),
            Some(Ok(value)) => Some(Some(value)),
            Some(Err(sentence)) => {
                self.blame(key, sentence);
                None
            }
        }
    }

    /// What was made of the fields, unless something is wrong with any of them.
    ///
    /// # Errors
    ///
    /// 400 with everything that is wrong.
    pub(super) fn finish<T>(self, made: Option<T>) -> Result<T, ApiError> {
        match made {
            Some(made) if self.wrong.is_empty() => Ok(made),
            _ => Err(ApiError::Fields(self.wrong)),
        }
    }
}

fn text(value: &Value) -> Result<&str, Sentence> {
    value.as_str().ok_or_else(|| "must be a string".to_owned())
}

/// A UUID with hyphens, as it is written everywhere in the API.
pub(super) fn parse_uuid(raw: &str) -> Option<Uuid> {
    const HYPHENATED_CHARS: usize = 36;
    (raw.len() == HYPHENATED_CHARS)
        .then(|| Uuid::try_parse(raw).ok())
        .flatten()
}

/// Any id.
pub(super) fn uuid(value: &Value) -> Result<Uuid, Sentence> {
    parse_uuid(text(value)?).ok_or_else(|| "must be a UUID".to_owned())
}

/// An organization's id.
pub(super) fn organization(value: &Value) -> Result<OrganizationId, Sentence> {
    uuid(value).map(OrganizationId::new)
}

/// A volume's id.
pub(super) fn volume(value: &Value) -> Result<VolumeId, Sentence> {
    uuid(value).map(VolumeId::new)
}

/// A snapshot's id.
pub(super) fn snapshot(value: &Value) -> Result<SnapshotId, Sentence> {
    uuid(value).map(SnapshotId::new)
}

/// A name.
pub(super) fn name(value: &Value) -> Result<Name, Sentence> {
    Name::parse(text(value)?).map_err(|error| error.to_string())
}

/// A list of tags.
pub(super) fn tags(value: &Value) -> Result<Tags, Sentence> {
    let list = value.as_array().ok_or_else(|| "must be a list of strings".to_owned())?;
    let texts: Option<Vec<&str>> = list.iter().map(Value::as_str).collect();
    let texts = texts.ok_or_else(|| "must be a list of strings".to_owned())?;
    Tags::parse(&texts).map_err(|error| error.to_string())
}

/// Tags in one text, between commas: no more than something can have, as each is a condition of a query.
pub(super) fn comma_separated_tags(value: &Value) -> Result<Vec<Tag>, Sentence> {
    let tags: Vec<&str> = text(value)?.split(',').collect();
    let tags = Tags::parse(&tags).map_err(|error| error.to_string())?;
    Ok(tags.as_slice().to_vec())
}

/// A number without a fraction, also when it is written with one: JSON has one kind of numbers.
pub(super) fn whole_number(value: &Value) -> Option<u64> {
    // Up to here every whole number is exact: 2 to the power of 53.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    value.as_u64().or_else(|| {
        let number = value
            .as_f64()
            .filter(|it| it.fract() == 0.0 && (0.0..EXACT).contains(it))?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "it is whole, not negative, and exact"
        )]
        Some(number as u64)
    })
}

/// A size on the same side of what can be one, of a whole number that is negative or too large to be told.
fn beyond(value: &Value) -> Option<u64> {
    let number = value.as_f64().filter(|number| number.fract() == 0.0)?;
    Some(if number < 0.0 {
        0
    } else {
        u64::MAX - u64::MAX % VolumeSize::SECTOR_BYTES
    })
}

/// A volume's size in bytes.
pub(super) fn size(value: &Value) -> Result<VolumeSize, Sentence> {
    let bytes = whole_number(value).or_else(|| beyond(value));
    let bytes = bytes.ok_or_else(|| "must be a whole number of bytes".to_owned())?;
    VolumeSize::from_bytes(bytes).map_err(|error| error.to_string())
}

/// `true` or `false`, in a query.
pub(super) fn flag(value: &Value) -> Result<bool, Sentence> {
    match text(value)? {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// A volume's kind.
pub(super) fn volume_type(value: &Value) -> Result<VolumeType, Sentence> {
    VolumeType::parse(text(value)?).ok_or_else(|| format!("must be {}", VolumeType::LocalSsd.as_str()))
}

/// A state of snapshots.
pub(super) fn snapshot_state(value: &Value) -> Result<SnapshotStateName, Sentence> {
    SnapshotStateName::parse(text(value)?).ok_or_else(|| one_of(&SnapshotStateName::ALL.map(SnapshotStateName::as_str)))
}

/// A state of volumes.
pub(super) fn volume_state(value: &Value) -> Result<VolumeStateName, Sentence> {
    VolumeStateName::parse(text(value)?).ok_or_else(|| one_of(&VolumeStateName::ALL.map(VolumeStateName::as_str)))
}

/// What the audit trail tells of.
pub(super) fn audit_action(value: &Value) -> Result<AuditAction, Sentence> {
    AuditAction::parse(text(value)?).ok_or_else(|| {
        let words: Vec<_> = AuditAction::ALL.iter().map(|action| action.as_str()).collect();
        one_of(&words)
    })
}

/// A moment with its offset from UTC.
pub(super) fn moment(value: &Value) -> Result<Timestamp, Sentence> {
    DateTime::parse_from_rfc3339(text(value)?)
        .map(|moment| Timestamp::new(moment.with_timezone(&Utc)))
        .map_err(|_| "must be a date and time like 2014-05-22T12:10:05.596769+00:00, its + written as %2B".to_owned())
}

fn one_of(words: &[&str]) -> Sentence {
    format!("must be one of {}", words.join(", "))
}

/// A whole number in a query, from 1 to `most`.
pub(super) fn count_up_to(most: u64) -> impl FnOnce(&Value) -> Result<u64, Sentence> {
    move |value| {
        let raw = text(value)?;
        let digits_only = !raw.is_empty() && raw.bytes().all(|byte| byte.is_ascii_digit());
        match raw.parse() {
            Ok(number) if digits_only && (1..=most).contains(&number) => Ok(number),
            _ if most == u64::MAX => Err("must be a whole number from 1".to_owned()),
            _ => Err(format!("must be a whole number from 1 to {most}")),
        }
    }
}
