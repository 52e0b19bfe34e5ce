//! Answering lists: a page of them, or everything as a stream.
//!
//! A page comes with links to its neighbours. The whole list is read in batches by keyset, and sent while it is read, so
//! that the server's memory does not grow with it.

use std::fmt::Write as _;

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{ContentType, HeaderName, HeaderValue, LINK},
    web::{Bytes, Data},
};
use futures_util::stream;
use snapshot_domain::{
    Caller, Permit, RequestId, Result as DomainResult, Right, Scope, ports::Slice, use_case::Tracked,
};

use super::{
    Api,
    blocking::on_pool,
    body::USUAL_BYTES,
    caller,
    error::ApiError,
    field::{self, Fields},
    generation::Generation,
    request_id,
};

const TOTAL_COUNT: HeaderName = HeaderName::from_static("x-total-count");
pub(super) const MOST_PER_PAGE: u64 = 100;
const DEFAULT_PER_PAGE: u64 = 50;

/// How many items of a whole list are in memory at once.
const BATCH_ITEMS: u32 = 200;

/// Something that there are lists of.
pub(super) trait Listed: Sized + Send + 'static {
    /// What a list of it is called: the key in the body, and the end of the path.
    const NAME: &'static str;
    /// What it takes to see such lists.
    const RIGHT: Right = Right::Read;
    /// The parameters that narrow a list.
    const FILTERS: &'static [&'static str];
    /// All conditions of a list.
    type Query: Clone + Send + 'static;
    /// A place in the order of the list.
    type Cursor: Copy + Send + 'static;

    /// Reads the conditions. `None` when one is wrong or the scope is, which is noted.
    fn query(fields: &mut Fields, scope: Option<Scope>) -> Option<Self::Query>;
    /// How many match.
    fn count(api: &Api, query: &Self::Query) -> DomainResult<u64>;
    /// Some that match.
    fn slice(api: &Api, query: &Self::Query, slice: Slice<Self::Cursor>) -> DomainResult<Vec<Tracked<Self>>>;
    /// The place of one.
    fn cursor(&self) -> Self::Cursor;
    /// Writes the JSON of one.
    fn write(item: &Tracked<Self>, zone: &str, json: &mut Vec<u8>);
}

/// Answers a request for a list.
///
/// # Errors
///
/// 401 and 429 as for every request, 400 with every parameter that is wrong, 403 when the caller may not read.
pub(super) async fn answer<T: Listed>(api: &Data<Api>, request: &HttpRequest) -> Result<HttpResponse, ApiError> {
    let generation = Generation::of(api, request);
    let query = request.query_string().to_owned();
    let begun = caller::read_as(api, request, move |api, caller| {
        begin::<T>(api, caller, &query, generation)
    });
    match begun.await? {
        Begun::Page { total, links, json } => Ok(HttpResponse::Ok()
            .content_type(ContentType::json())
            .insert_header((TOTAL_COUNT, HeaderValue::from(total)))
            .insert_header((LINK, links))
            .body(json)),
        Begun::Whole { total, begun } => {
            let mut answer = HttpResponse::Ok();
            answer
                .content_type(ContentType::json())
                .insert_header((TOTAL_COUNT, HeaderValue::from(total)));
            let mut whole = Whole {
                api: api.clone(),
                request: request_id::of(request),
                begun,
            };
            Ok(match whole.begun.step {
                Step::Over => answer.body(whole.begun.json.take()),
                Step::Read(_) => answer.streaming(stream::unfold(whole, Whole::piece)),
            })
        }
    }
}

/// What is read of a list before its answer begins.
enum Begun<T: Listed> {
    /// All of it.
    Page { total: u64, links: String, json: Bytes },
    /// The first batch.
    Whole { total: u64, begun: BegunWhole<T> },
}

fn begin<T: Listed>(api: &Api, caller: &Caller, query: &str, generation: Generation) -> Result<Begun<T>, ApiError> {
    let mut fields = Fields::of_query(query)?;
    let filters = repeated_filters::<T>(&fields);
    let page = page(&mut fields, &generation);
    let scope = scope(&mut fields, caller.may(T::RIGHT)?);
    let query = T::query(&mut fields, scope);
    let (page, query) = fields.finish(page.zip(query))?;
    Ok(match page {
        Some(page) => read_page::<T>(api, &query, page, &filters, &generation)?,
        None => begin_whole::<T>(api, query, generation)?,
    })
}

/// What the caller may see of the organization that the filters name.
fn scope(fields: &mut Fields, permit: Permit<'_>) -> Option<Scope> {
    let organization = fields.optional("organization", field::organization);
    let project = fields.optional("project", field::organization);
    Some(match (organization?, project?) {
        (None, None) => permit.scope(),
        (Some(id), None) | (None, Some(id)) => permit.scope_within(id),
        (Some(one), Some(other)) if one == other => permit.scope_within(one),
        (Some(_), Some(_)) => Scope::new(Vec::new()),
    })
}

/// A cut of a list.
#[derive(Clone, Copy)]
struct Page {
    /// From 1.
    number: u64,
    /// How many items at most.
    per_page: u64,
}

#[expect(clippy::option_option, reason = "no page and a wrong page are two different things")]
fn page(fields: &mut Fields, generation: &Generation) -> Option<Option<Page>> {
    let number = fields.optional("page", field::count_up_to(u64::MAX));
    let per_page = fields.optional("per_page", field::count_up_to(MOST_PER_PAGE));
    Some(match (number?, per_page?) {
        (None, None) if matches!(generation, Generation::Original { .. }) => None,
        (number, per_page) => Some(Page {
            number: number.unwrap_or(1),
            per_page: per_page.unwrap_or(DEFAULT_PER_PAGE),
        }),
    })
}

fn read_page<T: Listed>(
    api: &Api,
    query: &T::Query,
    page: Page,
    filters: &str,
    generation: &Generation,
) -> DomainResult<Begun<T>> {
    let total = T::count(api, query)?;
    let skip = (page.number - 1).saturating_mul(page.per_page);
    let items = if skip < total {
        let limit = u32::try_from(page.per_page).unwrap_or(u32::MAX);
        let slice = Slice {
            after: None,
            skip,
            limit,
        };
        T::slice(api, query, slice)?
    } else {
        Vec::new()
    };
    let mut json = Json::<T>::begin();
    json.add(&items, generation.zone());
    json.close();
    let path = generation.path(&format!("/{}", T::NAME));
    Ok(Begun::Page {
        total,
        links: links(&path, page, total, filters),
        json: json.take(),
    })
}

fn begin_whole<T: Listed>(api: &Api, query: T::Query, generation: Generation) -> DomainResult<Begun<T>> {
    let first = T::slice(api, &query, Slice::first(BATCH_ITEMS))?;
    let read = first.len() as u64;
    let total = if read < u64::from(BATCH_ITEMS) {
        read
    } else {
        T::count(api, &query)?
    };
    let mut begun = BegunWhole {
        json: Json::begin(),
        query,
        generation,
        step: Step::Over,
    };
    begun.add(&first);
    Ok(Begun::Whole { total, begun })
}

/// A whole list that is being sent.
struct Whole<T: Listed> {
    api: Data<Api>,
    request: RequestId,
    begun: BegunWhole<T>,
}

/// How far a whole list is.
struct BegunWhole<T: Listed> {
    query: T::Query,
    generation: Generation,
    json: Json<T>,
    step: Step<T::Cursor>,
}

enum Step<C> {
    /// Read what comes after this.
    Read(C),
    /// Nothing more is there, or could be read.
    Over,
}

impl<T: Listed> BegunWhole<T> {
    fn add(&mut self, batch: &[Tracked<T>]) {
        self.json.add(batch, self.generation.zone());
        if let Some(next) = next_cursor(batch) {
            self.step = Step::Read(next);
        } else {
            self.step = Step::Over;
            self.json.close();
        }
    }
}

impl<T: Listed> Whole<T> {
    /// The next piece of the body; an error is the last one.
    async fn piece(mut self) -> Option<(Result<Bytes, ApiError>, Self)> {
        // The first batch was read before the answer began.
        if !self.begun.json.text.is_empty() {
            return Some((Ok(self.begun.json.take()), self));
        }
        let Step::Read(after) = self.begun.step else {
            return None;
        };
        // A long list is no short read: on the threads that serve connections it would hold up everybody else.
        let (api, query) = (self.api.clone(), self.begun.query.clone());
        let read = on_pool(move || T::slice(&api, &query, Slice::after(after, BATCH_ITEMS)));
        let piece = match read.await {
            Ok(batch) => {
                self.begun.add(&batch);
                Ok(self.begun.json.take())
            }
            Err(error) => {
                // The status line is long gone: cutting the connection is all that can tell the client.
                log::error!(request = self.request.to_string(); "a list broke off: {}", error.with_causes());
                self.begun.step = Step::Over;
                Err(error)
            }
        };
        Some((piece, self))
    }
}

/// Where the next batch begins, if there may be one.
fn next_cursor<T: Listed>(batch: &[Tracked<T>]) -> Option<T::Cursor> {
    if batch.len() < BATCH_ITEMS as usize {
        return None;
    }
    batch.last().map(|last| last.item.cursor())
}

/// `{"<name>": [ … ]}` in the making.
struct Json<T> {
    text: Vec<u8>,
    is_empty: bool,
    of: std::marker::PhantomData<fn() -> T>,
}

impl<T: Listed> Json<T> {
    fn begin() -> Self {
        Self {
            text: format!("{{\"{}\":[", T::NAME).into_bytes(),
            is_empty: true,
            of: std::marker::PhantomData,
        }
    }

    fn add(&mut self, items: &[Tracked<T>], zone: &str) {
        self.text.reserve(items.len() * USUAL_BYTES);
        for item in items {
            if !self.is_empty {
                self.text.push(b',');
            }
            self.is_empty = false;
            T::write(item, zone, &mut self.text);
        }
    }

    fn close(&mut self) {
        self.text.extend_from_slice(b"]}");
    }

    fn take(&mut self) -> Bytes {
        Bytes::from(std::mem::take(&mut self.text))
    }
}

/// The links to the other pages.
fn links(path: &str, page: Page, total: u64, filters: &str) -> String {
    let last = total.div_ceil(page.per_page).max(1);
    let mut links = Vec::new();
    let mut link = |number: u64, rel: &str| {
        let per_page = page.per_page;
        links.push(format!(
            "<{path}?page={number}&per_page={per_page}{filters}>; rel=\"{rel}\""
        ));
    };
    if page.number > 1 {
        link(1, "first");
        link(last.min(page.number - 1), "previous");
    }
    if page.number < last {
        link(page.number + 1, "next");
    }
    link(last, "last");
    links.join(",")
}

/// The filters as they go into the links: `&name=…`.
fn repeated_filters<T: Listed>(fields: &Fields) -> String {
    let mut query = String::new();
    for key in T::FILTERS {
        if let Some(value) = fields.sent(key).and_then(serde_json::Value::as_str) {
            query.push('&');
            query.push_str(key);
            query.push('=');
            percent_encode(value, &mut query);
        }
    }
    query
}

fn percent_encode(text: &str, into: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            into.push(char::from(byte));
        } else {
            // Writing to a text can't fail.
            let _ = write!(into, "%{byte:02X}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(number: u64, total: u64, expected: &str) {
        let page = Page { number, per_page: 10 };
        assert_eq!(
            links("/snapshots", page, total, "&name=a%20b"),
            expected.replace('+', "&name=a%20b")
        );
    }

    #[test]
    fn links_lead_to_the_neighbours_that_there_are() {
        check(1, 0, r#"</snapshots?page=1&per_page=10+>; rel="last""#);
        check(1, 10, r#"</snapshots?page=1&per_page=10+>; rel="last""#);
        check(
            1,
            11,
            r#"</snapshots?page=2&per_page=10+>; rel="next",</snapshots?page=2&per_page=10+>; rel="last""#,
        );
        check(
            2,
            90,
            concat!(
                r#"</snapshots?page=1&per_page=10+>; rel="first",</snapshots?page=1&per_page=10+>; rel="previous","#,
                r#"</snapshots?page=3&per_page=10+>; rel="next",</snapshots?page=9&per_page=10+>; rel="last""#,
            ),
        );
        check(
            9,
            90,
            concat!(
                r#"</snapshots?page=1&per_page=10+>; rel="first",</snapshots?page=8&per_page=10+>; rel="previous","#,
                r#"</snapshots?page=9&per_page=10+>; rel="last""#,
            ),
        );
    }

    #[test]
    fn past_the_end_the_previous_page_is_the_last_one() {
        check(
            7,
            11,
            concat!(
                r#"</snapshots?page=1&per_page=10+>; rel="first",</snapshots?page=2&per_page=10+>; rel="previous","#,
                r#"</snapshots?page=2&per_page=10+>; rel="last""#,
            ),
        );
    }
}
