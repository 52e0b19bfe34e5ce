//! Reading JSON bodies.

use std::fmt;

use actix_web::{
    HttpRequest,
    http::header::{CONTENT_TYPE, HeaderMap},
    web::{Bytes, BytesMut, Payload},
};
use futures_util::StreamExt;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::{Map, Value};

use super::{Api, error::ApiError, field::Fields, upload};

/// Reads a body that is a JSON object.
///
/// # Errors
///
/// 415 when it is said to be something else, 413 when it is too large, 408 when it is not whole in time, and 400 when it is no JSON
/// object.
pub(super) async fn object(api: &Api, request: &HttpRequest, payload: Payload) -> Result<Fields, ApiError> {
    check_media_type(request.headers())?;
    parse(&whole(api, request.headers(), payload).await?)
}

fn parse(body: &[u8]) -> Result<Fields, ApiError> {
    let Object { fields, repeated } = match serde_json::from_slice(body) {
        Ok(object) => object,
        Err(error) if error.is_data() => {
            return Err(ApiError::BadRequest("The body must be a JSON object".to_owned()));
        }
        Err(error) => return Err(ApiError::BadRequest(format!("The body is no valid JSON: {error}"))),
    };
    let mut fields = Fields::new(fields);
    for key in repeated {
        fields.blame_repeated(&key);
    }
    Ok(fields)
}

/// One text for all ways to write an object. `None` for what is none, and for one that has a field more than once.
pub(super) fn canonical(body: &[u8]) -> Option<String> {
    let Object { fields, repeated } = serde_json::from_slice(body).ok()?;
    repeated.is_empty().then(|| Value::Object(fields).to_string())
}

/// Reads a body to its end.
///
/// # Errors
///
/// 413 when it is too large, before it is sent if it says so, 408 when it is not whole in time, 400 when it breaks off.
pub(super) async fn whole(api: &Api, headers: &HeaderMap, payload: Payload) -> Result<Bytes, ApiError> {
    let limit_bytes = api.settings.json_limit_bytes;
    if upload::announced_bytes(headers) > limit_bytes as u64 {
        return Err(ApiError::BodyTooLarge { limit_bytes });
    }
    let read = at_most(limit_bytes, payload);
    upload::in_time(read, api.settings.stalled_body).await?
}

async fn at_most(limit_bytes: usize, mut payload: Payload) -> Result<Bytes, ApiError> {
    let mut body = BytesMut::new();
    while let Some(piece) = payload.next().await {
        let piece = piece.map_err(|_| ApiError::BodyBrokeOff)?;
        if piece.len() > limit_bytes - body.len() {
            return Err(ApiError::BodyTooLarge { limit_bytes });
        }
        body.extend_from_slice(&piece);
    }
    Ok(body.freeze())
}

fn check_media_type(headers: &HeaderMap) -> Result<(), ApiError> {
    upload::check_not_encoded(headers)?;
    let Some(sent) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    let is_json = sent.to_str().is_ok_and(|text| {
        let mut parts = text.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let charset = parts.find_map(|parameter| {
            let (key, value) = parameter.split_once('=')?;
            key.eq_ignore_ascii_case("charset").then(|| value.trim_matches('"'))
        });
        media_type.eq_ignore_ascii_case("application/json")
            && charset.is_none_or(|charset| charset.eq_ignore_ascii_case("utf-8"))
    });
    if is_json {
        Ok(())
    } else {
        Err(ApiError::UnsupportedMediaType(
            "The body must be application/json in UTF-8",
        ))
    }
}

/// An object's fields, and which of them are there more than once.
struct Object {
    fields: Map<String, Value>,
    repeated: Vec<String>,
}

impl<'de> Deserialize<'de> for Object {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = Object;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Object, A::Error> {
                let mut object = Object {
                    fields: Map::new(),
                    repeated: Vec::new(),
                };
                while let Some((key, value)) = entries.next_entry::<String, Value>()? {
                    if object.fields.insert(key.clone(), value).is_some() {
                        object.repeated.push(key);
                    }
                }
                Ok(object)
            }
        }

        deserializer.deserialize_map(Entries)
    }
}
