//! Which part of a list is asked for, and where its neighbours are.

use super::input::{Call, decimal};
use super::{matching, problem};
use crate::limits::{HISTORY_DEFAULT, HISTORY_MAX, MATCH_PAGE_DEFAULT, MATCH_PAGE_MAX};
use crate::model::{ConversationId, MatchPage, Message, Seq};
use crate::protocol::http::Response;
use crate::store::Page;

/// A part of a conversation's history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HistoryPage {
    conversation: ConversationId,
    /// 1 to [`HISTORY_MAX`].
    limit: u16,
    /// True exactly when what follows is newer.
    is_forward: bool,
}

impl HistoryPage {
    /// From `limit`, `before_seq` and `after_seq`. A limit over [`HISTORY_MAX`] is that.
    ///
    /// # Errors
    ///
    /// 400: not a number, or both directions at once.
    pub(super) fn read(
        call: &Call<'_>,
        conversation: ConversationId,
    ) -> Result<(Self, Page), Response> {
        let limit = call.number("limit", 1)?.map_or(HISTORY_DEFAULT, |limit| limit as usize);
        let page = match (call.number("before_seq", 0)?, call.number("after_seq", 0)?) {
            (None, None) => Page::Latest,
            (Some(seq), None) => Page::Before(Seq(seq)),
            (None, Some(seq)) => Page::After(Seq(seq)),
            (Some(_), Some(_)) => {
                let detail = "after_seq: excludes before_seq";
                return Err(problem::invalid_field("after_seq", detail));
            }
        };
        let limit = limit.min(HISTORY_MAX) as u16;
        let is_forward = matches!(page, Page::After(_));
        Ok((Self { conversation, limit, is_forward }, page))
    }

    /// Messages at most.
    pub(super) fn limit(&self) -> usize {
        usize::from(self.limit)
    }

    /// The `Link` (RFC 8288) to the part that follows in the direction asked for; `None` behind the last. `messages` are
    /// oldest first, `last_seq` is the conversation's newest place.
    pub(super) fn next(&self, messages: &[Message], last_seq: Seq) -> Option<String> {
        let (name, seq) = if self.is_forward {
            ("after_seq", messages.last().map(|last| last.seq).filter(|seq| *seq < last_seq)?)
        } else {
            let first = messages.first().map(|first| first.seq).filter(|seq| *seq > Seq(1))?;
            ("before_seq", Some(first).filter(|_| messages.len() >= self.limit())?)
        };
        let Self { conversation, limit, .. } = self;
        let path = format_args!("/api/v1/conversations/{conversation}/messages/");
        Some(format!("<{path}?limit={limit}&{name}={seq}>; rel=\"next\""))
    }
}

/// A page of matches, counted as Django REST framework's `PageNumberPagination` does.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MatchesPage {
    /// Scheme and host that the request came by, for the neighbours' URLs.
    origin: Box<str>,
    /// From 1.
    page: u32,
    /// 1 to [`MATCH_PAGE_MAX`].
    size: u16,
    /// True exactly when the client named a size.
    is_sized: bool,
}

impl MatchesPage {
    /// From `page` and `page_size`. A size over [`MATCH_PAGE_MAX`] is that.
    ///
    /// # Errors
    ///
    /// 404 for a page that cannot be, 400 for a size that is no number.
    pub(super) fn read(call: &Call<'_>) -> Result<Self, Response> {
        let size = call.number("page_size", 1)?;
        let page = match call.head.query_value("page") {
            None => 1,
            Some(text) => decimal(&text)
                .and_then(|page| u32::try_from(page).ok())
                .filter(|page| *page > 0)
                .ok_or_else(problem::invalid_page)?,
        };
        let scheme = if call.ctx.is_https { "https" } else { "http" };
        Ok(Self {
            origin: format!("{scheme}://{}", call.head.host().unwrap_or_default()).into(),
            page,
            size: size.map_or(MATCH_PAGE_DEFAULT, |size| (size as usize).min(MATCH_PAGE_MAX))
                as u16,
            is_sized: size.is_some(),
        })
    }

    /// Matches to pass over.
    pub(super) fn offset(&self) -> usize {
        (self.page as usize - 1) * self.limit()
    }

    /// Matches at most.
    pub(super) fn limit(&self) -> usize {
        usize::from(self.size)
    }

    /// True exactly when there is such a page: the first always is.
    pub(super) fn exists(&self, found: &MatchPage) -> bool {
        self.page == 1 || found.count > self.offset() as u64
    }

    /// The URL of the page behind this one.
    pub(super) fn next(&self, found: &MatchPage) -> Option<String> {
        let seen = (self.offset() + self.limit()) as u64;
        (found.count > seen).then(|| self.url(self.page.saturating_add(1)))
    }

    /// The URL of the page before this one.
    pub(super) fn previous(&self) -> Option<String> {
        (self.page > 1).then(|| self.url(self.page - 1))
    }

    /// As Django REST framework writes it: page 1 is the URL without a page.
    fn url(&self, page: u32) -> String {
        let mut url = format!("{}{}", self.origin, matching::MATCHES);
        let page = (page > 1).then(|| format!("page={page}"));
        let size = self.is_sized.then(|| format!("page_size={}", self.size));
        for (separator, parameter) in ["?", "&"].into_iter().zip(page.into_iter().chain(size)) {
            url.push_str(separator);
            url.push_str(&parameter);
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::world::message;
    use super::*;

    #[test]
    fn older_messages_follow_a_full_page_that_does_not_begin_at_the_first() {
        let page = HistoryPage { conversation: ConversationId(4), limit: 2, is_forward: false };
        let next = |seqs: &[i64]| {
            let messages: Vec<_> = seqs.iter().map(|seq| message(*seq)).collect();
            page.next(&messages, Seq(9))
        };
        let link = "</api/v1/conversations/4/messages/?limit=2&before_seq=8>; rel=\"next\"";
        assert_eq!(next(&[8, 9]).as_deref(), Some(link));
        assert_eq!(next(&[1, 2]), None);
        assert_eq!(next(&[2]), None);
        assert_eq!(next(&[]), None);
    }

    #[test]
    fn newer_messages_follow_until_the_newest() {
        let page = HistoryPage { conversation: ConversationId(4), limit: 2, is_forward: true };
        let next = |seqs: &[i64]| {
            let messages: Vec<_> = seqs.iter().map(|seq| message(*seq)).collect();
            page.next(&messages, Seq(9))
        };
        let link = "</api/v1/conversations/4/messages/?limit=2&after_seq=8>; rel=\"next\"";
        assert_eq!(next(&[7, 8]).as_deref(), Some(link));
        assert_eq!(next(&[8, 9]), None);
        assert_eq!(next(&[]), None);
    }

    fn check_matches(page: u32, size: u16, count: u64, neighbours: Option<(&str, &str)>) {
        let at = MatchesPage { origin: "https://h:1".into(), page, size, is_sized: size != 20 };
        let found = MatchPage { count, results: Vec::new() };
        assert_eq!(at.exists(&found), neighbours.is_some(), "{page} of {count} by {size}");
        let Some((next, previous)) = neighbours else { return };
        let short = |url: Option<String>| {
            let query = |url: String| {
                url.strip_prefix("https://h:1/api/v1/matching/matches/")
                    .map(|query| format!("/{query}"))
            };
            url.map_or(String::new(), |url| query(url).unwrap())
        };
        assert_eq!(short(at.next(&found)), next, "{page} of {count} by {size}");
        assert_eq!(short(at.previous()), previous, "{page} of {count} by {size}");
    }

    #[test]
    fn pages_of_matches_know_their_neighbours() {
        check_matches(1, 20, 0, Some(("", "")));
        check_matches(1, 20, 20, Some(("", "")));
        check_matches(1, 20, 21, Some(("/?page=2", "")));
        check_matches(2, 20, 21, Some(("", "/")));
        check_matches(2, 20, 20, None);
        check_matches(3, 5, 16, Some(("/?page=4&page_size=5", "/?page=2&page_size=5")));
        check_matches(2, 5, 6, Some(("", "/?page_size=5")));
        check_matches(u32::MAX, 100, 7, None);
    }
}
