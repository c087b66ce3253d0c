//! Request targets: their forms, their path and query, and what of them may be logged.

use std::borrow::Cow;
use std::ops::Range;

use percent_encoding::percent_decode_str;

use super::RequestError;

/// The parts of a request target, as byte ranges in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// Of the absolute-form only.
    pub(super) authority: Option<Range<usize>>,
    /// Empty where an absolute-form names no path; that means `/`.
    pub(super) path: Range<usize>,
    /// Behind the `?`; `None` without one.
    pub(super) query: Option<Range<usize>>,
}

/// Takes a request target apart (RFC 9112 §3.2): origin-form, absolute-form with `http` or `https`,
/// and asterisk-form for `OPTIONS`. The authority-form belongs to `CONNECT`, which is for proxies.
///
/// # Errors
///
/// `BadTarget`: another form, bytes beyond visible ASCII, a fragment, or user information.
pub(super) fn split(target: &str, method: &str) -> Result<Parts, RequestError> {
    let visible = target.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    if !visible || method == "CONNECT" {
        return Err(RequestError::BadTarget);
    }
    if target == "*" && method == "OPTIONS" {
        return Ok(Parts { authority: None, path: 0..1, query: None });
    }
    let authority = if target.starts_with('/') {
        None
    } else {
        let start = scheme_len(target).ok_or(RequestError::BadTarget)?;
        let len = target[start..].find(['/', '?']).unwrap_or(target.len() - start);
        let authority = start..start + len;
        if len == 0 || target[authority.clone()].contains('@') {
            return Err(RequestError::BadTarget);
        }
        Some(authority)
    };
    let start = authority.as_ref().map_or(0, |authority| authority.end);
    let question_mark = target[start..].find('?').map(|index| start + index);
    Ok(Parts {
        authority,
        path: start..question_mark.unwrap_or(target.len()),
        query: question_mark.map(|index| index + 1..target.len()),
    })
}

/// The segments of a path, percent-decoded: `/a/b%20c/` gives `a`, `b c` and an empty one. An
/// encoded slash stays inside its segment. Dot segments are not resolved; no route has them.
///
/// # Errors
///
/// `BadTarget` for a segment with a broken escape, an encoded NUL or bytes that are not UTF-8.
pub fn segments(path: &str) -> impl Iterator<Item = Result<Cow<'_, str>, RequestError>> {
    path.strip_prefix('/').unwrap_or(path).split('/').map(decode_segment)
}

/// The value of a query's first parameter of that name, form-decoded (`+` is a space, broken
/// escapes stay as they are, bytes that are not UTF-8 become U+FFFD). `query` is without its `?`.
pub fn query_value<'q>(query: &'q str, name: &str) -> Option<Cow<'q, str>> {
    form_urlencoded::parse(query.as_bytes())
        .find(|(parameter, _)| parameter == name)
        .map(|(_, value)| value)
}

/// A request target for logs: the value of every parameter whose name, once decoded, ends in
/// `token` is replaced by `[redacted]`. Borrowed where there is none.
pub fn redacted(target: &str) -> Cow<'_, str> {
    let Some((path, query)) = target.split_once('?') else {
        return Cow::Borrowed(target);
    };
    if !query.split('&').any(is_secret) {
        return Cow::Borrowed(target);
    }
    let mut clean = String::with_capacity(target.len());
    clean.push_str(path);
    for (index, parameter) in query.split('&').enumerate() {
        clean.push(if index == 0 { '?' } else { '&' });
        match parameter.split_once('=') {
            Some((name, _)) if is_secret(parameter) => {
                clean.push_str(name);
                clean.push_str("=[redacted]");
            }
            _ => clean.push_str(parameter),
        }
    }
    Cow::Owned(clean)
}

/// Length of `http://` or `https://` at the start; schemes are case-insensitive (RFC 3986 §3.1).
fn scheme_len(target: &str) -> Option<usize> {
    let starts_with = |scheme: &&str| {
        target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    };
    ["http://", "https://"].into_iter().find(starts_with).map(str::len)
}

fn decode_segment(segment: &str) -> Result<Cow<'_, str>, RequestError> {
    let mut rest = segment.as_bytes();
    while let Some(percent) = memchr::memchr(b'%', rest) {
        match rest[percent + 1..] {
            [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                rest = &rest[percent + 3..];
            }
            _ => return Err(RequestError::BadTarget),
        }
    }
    let decoded = percent_decode_str(segment).decode_utf8().map_err(|_| RequestError::BadTarget)?;
    if decoded.contains('\0') { Err(RequestError::BadTarget) } else { Ok(decoded) }
}

fn is_secret(parameter: &str) -> bool {
    let Some((name, _)) = parameter.split_once('=') else { return false };
    let name = form_urlencoded::parse(name.as_bytes()).next().map(|(name, _)| name);
    name.is_some_and(|name| name.to_ascii_lowercase().trim_end().ends_with("token"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_split(method: &str, target: &str, expect: Option<(Option<&str>, &str, Option<&str>)>) {
        let parts = split(target, method).ok();
        let parts = parts.map(|parts| {
            let text = |range: Range<usize>| &target[range];
            (parts.authority.map(text), text(parts.path), parts.query.map(text))
        });
        assert_eq!(parts, expect, "{method} {target}");
    }

    #[test]
    fn targets_are_taken_apart_by_form() {
        check_split("GET", "/", Some((None, "/", None)));
        check_split("GET", "/a/b?c=d?e", Some((None, "/a/b", Some("c=d?e"))));
        check_split("GET", "/a?", Some((None, "/a", Some(""))));
        check_split("GET", "//a/b", Some((None, "//a/b", None)));
        check_split("GET", "/a?u=http://b", Some((None, "/a", Some("u=http://b"))));
        check_split("GET", "http://h/a?b", Some((Some("h"), "/a", Some("b"))));
        check_split("GET", "HTTPS://h:8443?b", Some((Some("h:8443"), "", Some("b"))));
        check_split("GET", "http://h", Some((Some("h"), "", None)));
        check_split("OPTIONS", "*", Some((None, "*", None)));
    }

    #[test]
    fn other_targets_are_refused() {
        for target in ["*", "", "a", "a:80", "http://", "http:///a", "http://u@h/", "ftp://h/"] {
            check_split("GET", target, None);
        }
        for target in ["/a#b", "/é", "/a\u{7f}", "/a b", "/a\0"] {
            check_split("GET", target, None);
        }
        check_split("CONNECT", "h:443", None);
        check_split("CONNECT", "/", None);
    }

    #[test]
    fn segments_are_decoded_one_by_one() {
        let decoded = |path| segments(path).collect::<Result<Vec<_>, _>>();
        assert_eq!(decoded("/").unwrap(), [""]);
        assert_eq!(decoded("/a/b%20c/").unwrap(), ["a", "b c", ""]);
        assert_eq!(decoded("/a%2Fb/%C3%A9").unwrap(), ["a/b", "é"]);
        for path in ["/%", "/%2", "/%zz", "/%+1", "/a%00b", "/%ff", "/a/%C3"] {
            assert_eq!(decoded(path), Err(RequestError::BadTarget), "{path}");
        }
    }

    #[test]
    fn the_first_parameter_of_a_name_counts() {
        let query = "a=1&b=x+y%21&a=2&empty=&flag";
        assert_eq!(query_value(query, "a").as_deref(), Some("1"));
        assert_eq!(query_value(query, "b").as_deref(), Some("x y!"));
        assert_eq!(query_value(query, "empty").as_deref(), Some(""));
        assert_eq!(query_value(query, "flag").as_deref(), Some(""));
        assert_eq!(query_value(query, "c"), None);
    }

    #[test]
    fn tokens_do_not_reach_the_log() {
        for (target, expect) in [
            ("/ws/chat/", "/ws/chat/"),
            ("/ws/chat/?since=4", "/ws/chat/?since=4"),
            ("/ws/?token=abc", "/ws/?token=[redacted]"),
            ("/ws/?a=b&token=abc=d&token=e&c", "/ws/?a=b&token=[redacted]&token=[redacted]&c"),
            ("/ws/?%74oken=abc", "/ws/?%74oken=[redacted]"),
            ("/ws/?Access_Token=abc", "/ws/?Access_Token=[redacted]"),
            ("/ws/?x?token=abc", "/ws/?x?token=[redacted]"),
            ("/ws/?tokens", "/ws/?tokens"),
        ] {
            assert_eq!(redacted(target), expect);
        }
        assert!(matches!(redacted("/a?b=c"), Cow::Borrowed(_)));
    }
}
