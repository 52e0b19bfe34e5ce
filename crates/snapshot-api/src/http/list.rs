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
    AccountId, Caller, Permit, RequestId, Result as DomainResult, Right, Scope, ports::Slice, use_case::Tracked,
};

use super::{
    Api,
    blocking::read_at_one_moment,
    body::USUAL_BYTES,
    caller,
    error::ApiError,
    field::{self, Fields},
    generation::Generation,
    long_reads::read_long,
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
    /// Whether [`count`](Self::count) takes no longer for many that match than for few.
    fn is_counted(query: &Self::Query) -> bool;
    /// How many match.
    fn count(api: &Api, query: &Self::Query) -> DomainResult<u64>;
    /// Some that match.
    fn slice(api: &Api, query: &Self::Query, slice: Slice<Self::Cursor>) -> DomainResult<Vec<Tracked<Self>>>;
    /// As [`slice`](Self::slice), but `None` where that could hold up a thread that serves connections.
    fn short_slice(
        api: &Api,
        query: &Self::Query,
        slice: Slice<Self::Cursor>,
    ) -> DomainResult<Option<Vec<Tracked<Self>>>>;
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
    let asked = caller::read_as(api, request, move |api, caller| {
        let asked = Asked::<T>::parse(caller, &query, generation)?;
        asked.begin_if_short(api)
    });
    let begun = match asked.await? {
        Ok(begun) => begun,
        Err(asked) => {
            let begin = move |api: &Api| read_at_one_moment(api, || asked.begin(api));
            read_long(api, caller::account(request)?, begin).await?
        }
    };
    match begun {
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
                shown: caller::shown(request)?,
                account: caller::account(request)?,
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

/// What somebody asks for who asks for a list.
struct Asked<T: Listed> {
    query: T::Query,
    /// The filters as they go into the links.
    filters: String,
    /// `None`: everything.
    page: Option<Page>,
    generation: Generation,
}

impl<T: Listed> Asked<T> {
    fn parse(caller: &Caller, query: &str, generation: Generation) -> Result<Self, ApiError> {
        let mut fields = Fields::of_query(query)?;
        let filters = repeated_filters::<T>(&fields);
        let page = page(&mut fields, &generation);
        let scope = scope(&mut fields, caller.may(T::RIGHT)?);
        let query = T::query(&mut fields, scope);
        let (page, query) = fields.finish(page.zip(query))?;
        Ok(Self {
            query,
            filters,
            page,
            generation,
        })
    }

    /// Reads as [`begin`](Self::begin), or gives back what is asked for when that could take long.
    fn begin_if_short(self, api: &Api) -> Result<Result<Begun<T>, Self>, ApiError> {
        if !T::is_counted(&self.query) {
            return Ok(Err(self));
        }
        let begun = self.read(api, T::short_slice)?;
        Ok(begun.ok_or(self))
    }

    /// Reads a page, or the beginning of everything.
    fn begin(&self, api: &Api) -> DomainResult<Begun<T>> {
        let slice = |api: &Api, query: &T::Query, slice| T::slice(api, query, slice).map(Some);
        let begun = self.read(api, slice)?;
        Ok(begun.expect("a slice that may take long is always read"))
    }

    fn read(&self, api: &Api, slice: impl SliceOf<T>) -> DomainResult<Option<Begun<T>>> {
        match self.page {
            Some(page) => self.read_page(api, page, slice),
            None => self.begin_whole(api, slice),
        }
    }
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

/// Reads a slice, or refuses to.
trait SliceOf<T: Listed>: Fn(&Api, &T::Query, Slice<T::Cursor>) -> DomainResult<Option<Vec<Tracked<T>>>> {}

impl<T: Listed, F> SliceOf<T> for F where
    F: Fn(&Api, &T::Query, Slice<T::Cursor>) -> DomainResult<Option<Vec<Tracked<T>>>>
{
}

impl<T: Listed> Asked<T> {
    fn read_page(&self, api: &Api, page: Page, slice: impl SliceOf<T>) -> DomainResult<Option<Begun<T>>> {
        let total = T::count(api, &self.query)?;
        let skip = (page.number - 1).saturating_mul(page.per_page);
        let items = if skip < total {
            let limit = u32::try_from(page.per_page).unwrap_or(u32::MAX);
            let wanted = Slice {
                after: None,
                skip,
                limit,
            };
            slice(api, &self.query, wanted)?
        } else {
            Some(Vec::new())
        };
        let Some(items) = items else {
            return Ok(None);
        };
        let mut json = Json::<T>::begin();
        json.add(&items, self.generation.zone());
        json.close();
        let path = self.generation.path(&format!("/{}", T::NAME));
        Ok(Some(Begun::Page {
            total,
            links: links(&path, page, total, &self.filters),
            json: json.take(),
        }))
    }

    fn begin_whole(&self, api: &Api, slice: impl SliceOf<T>) -> DomainResult<Option<Begun<T>>> {
        let Some(first) = slice(api, &self.query, Slice::first(BATCH_ITEMS))? else {
            return Ok(None);
        };
        let read = first.len() as u64;
        let total = if read < u64::from(BATCH_ITEMS) {
            read
        } else {
            T::count(api, &self.query)?
        };
        let mut begun = BegunWhole {
            json: Json::begin(),
            query: self.query.clone(),
            generation: self.generation.clone(),
            step: Step::Over,
        };
        begun.add(&first);
        Ok(Some(Begun::Whole { total, begun }))
    }
}

/// A whole list that is being sent.
struct Whole<T: Listed> {
    api: Data<Api>,
    request: RequestId,
    shown: caller::Shown,
    account: AccountId,
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
        let (query, token) = (self.begun.query.clone(), self.shown.token.clone());
        let read = read_long(&self.api, self.account, move |api| {
            match api.access.authenticate(&token)? {
                Some(_) => Ok(T::slice(api, &query, Slice::after(after, BATCH_ITEMS))?),
                None => Err(ApiError::TokenRefused),
            }
        });
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
mod tests;
