//! `/snapshots/` is `/snapshots`, and so is `//snapshots`.

use actix_web::{
    dev::ServiceRequest,
    http::{
        Uri,
        uri::{Parts, PathAndQuery},
    },
};

/// Takes slashes that mean nothing out of a request's path: before it is looked for, not by sending its client elsewhere.
pub(super) fn tidy(request: &mut ServiceRequest) {
    if let Some(uri) = tidied(request.uri()) {
        request.match_info_mut().get_mut().update(&uri);
        request.head_mut().uri = uri;
    }
}

/// The same without them; `None` when there are none.
fn tidied(uri: &Uri) -> Option<Uri> {
    let path = uri.path();
    // What the page at `/docs` loads is found beside the path that it has in the browser: who asks for it with a slash is
    // sent to it.
    if path == "/docs/" {
        return None;
    }
    let has_some = path.contains("//") || (path.len() > 1 && path.ends_with('/'));
    if !has_some {
        return None;
    }
    let mut target: String = path
        .split('/')
        .filter(|part| !part.is_empty())
        .flat_map(|part| ["/", part])
        .collect();
    if target.is_empty() {
        target.push('/');
    }
    if let Some(query) = uri.query() {
        target.push('?');
        target.push_str(query);
    }
    let mut parts: Parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(target).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, expected: Option<&str>) {
        let tidied = tidied(&uri.parse().unwrap());
        assert_eq!(tidied.map(|uri| uri.to_string()).as_deref(), expected, "{uri}");
    }

    #[test]
    fn slashes_that_mean_nothing_are_taken_out() {
        check("/snapshots", None);
        check("/snapshots?a=//", None);
        check("/", None);
        check("/docs/", None);
        check("/snapshots/", Some("/snapshots"));
        check("/snapshots//?name=a%20b", Some("/snapshots?name=a%20b"));
        check("//snapshots///a%2F//data/", Some("/snapshots/a%2F/data"));
        check("//", Some("/"));
        check("http://host/snapshots/", Some("http://host/snapshots"));
    }
}
