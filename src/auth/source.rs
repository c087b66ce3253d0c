//! Where in a request the token is.

/// The WebSocket subprotocol of clients that know the extensions.
pub const SUBPROTOCOL: &str = "fortifun.v1";

const BEARER: &str = "bearer.";

/// The token of a request, from the first source that has one: `Authorization: Bearer <jwt>`, a subprotocol `bearer.<jwt>`
/// beside [`SUBPROTOCOL`], `?token=<jwt>`.
///
/// `authorization` and `subprotocols` are the values of those headers, lists not yet split; `query` is the parameter's value.
/// `None` where no source has a token. Credentials of another scheme (a proxy's `Basic`) say nothing about the user, and an
/// empty token is none: both fall through to the next source.
pub fn token_source<'a>(
    authorization: impl IntoIterator<Item = &'a str>,
    subprotocols: impl IntoIterator<Item = &'a str, IntoIter: Clone>,
    query: Option<&'a str>,
) -> Option<&'a str> {
    let offered = subprotocols.into_iter().flat_map(|list| list.split(',')).map(str::trim);
    authorization
        .into_iter()
        .find_map(bearer)
        .or_else(|| {
            let is_known = offered.clone().any(|name| name == SUBPROTOCOL);
            offered.clone().find_map(|name| name.strip_prefix(BEARER)).filter(|_| is_known)
        })
        .into_iter()
        .chain(query)
        .find(|token| !token.is_empty())
}

/// The token of `Bearer` credentials (RFC 6750 §2.1); the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.trim().split_once([' ', '\t'])?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim()).filter(|token| !token.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_source_that_has_a_token_wins() {
        for (authorization, subprotocols, query, token) in [
            (&["Bearer a"][..], &["fortifun.v1, bearer.b"][..], Some("c"), Some("a")),
            (&["bEARER   a  "], &[], None, Some("a")),
            (&["Basic dXNlcjpw"], &["fortifun.v1, bearer.b"], Some("c"), Some("b")),
            (&["Basic dXNlcjpw", "Bearer a"], &[], None, Some("a")),
            (&["Bearer", "Bearer ", "Bearera"], &["bearer.b", "fortifun.v1"], None, Some("b")),
            (&[], &["bearer.b , chat"], Some("c"), Some("c")),
            (&[], &["bearer.b"], None, None),
            (&[], &["fortifun.v1,bearer."], Some("c"), Some("c")),
            (&[], &["fortifun.v1,Bearer.b"], None, None),
            (&[], &[], Some(""), None),
            (&[], &[], None, None),
        ] {
            let found =
                token_source(authorization.iter().copied(), subprotocols.iter().copied(), query);
            assert_eq!(found, token, "{authorization:?} {subprotocols:?} {query:?}");
        }
    }
}
