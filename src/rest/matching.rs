//! `/api/v1/matching/`: likes, blocks, and the matches that come of it.

use super::input::Call;
use super::paging::MatchesPage;
use super::then::{About, Asked};
use super::{Ctx, problem};
use crate::limits::{RECENT_MATCH_DAYS, RECENT_MATCHES_MAX};
use crate::model::{Card, MatchPage};
use crate::protocol::http::Response;
use crate::store::{Made, Request};
use crate::wire;

/// The path of the paged list, which its own pages name.
pub(super) const MATCHES: &str = "/api/v1/matching/matches/";

const DAY_MS: i64 = 24 * 60 * 60 * 1_000;

/// `GET /api/v1/matching/recent-matches/`.
#[expect(clippy::unnecessary_wraps, reason = "the routes' common type")]
pub(super) fn recent(call: &Call<'_>) -> Result<Asked, Response> {
    let since = call.ctx.now.wall.plus_ms(-RECENT_MATCH_DAYS * DAY_MS);
    let request = Request::RecentMatches { user: call.user, since, limit: RECENT_MATCHES_MAX };
    Ok(Asked { request, about: About::RecentMatches })
}

/// `GET /api/v1/matching/matches/`.
pub(super) fn list(call: &Call<'_>) -> Result<Asked, Response> {
    let at = MatchesPage::read(call)?;
    let request = Request::Matches { user: call.user, offset: at.offset(), limit: at.limit() };
    Ok(Asked { request, about: About::Matches(at) })
}

/// `POST /api/v1/matching/like/`.
pub(super) fn like(call: &Call<'_>) -> Result<Asked, Response> {
    let liked = call.json(wire::rest::target)?;
    let request = Request::Like { liker: call.user, liked, welcome: call.ctx.welcome.clone() };
    Ok(Asked { request, about: About::Like })
}

/// `POST /api/v1/matching/unlike/`.
pub(super) fn unlike(call: &Call<'_>) -> Result<Asked, Response> {
    let liked = call.json(wire::rest::target)?;
    Ok(Asked { request: Request::Unlike { liker: call.user, liked }, about: About::Unlike })
}

/// `POST /api/v1/matching/block/`.
pub(super) fn block(call: &Call<'_>) -> Result<Asked, Response> {
    let blocked = call.json(wire::rest::target)?;
    Ok(Asked { request: Request::Block { blocker: call.user, blocked }, about: About::Block })
}

/// `POST /api/v1/matching/unblock/`.
pub(super) fn unblock(call: &Call<'_>) -> Result<Asked, Response> {
    let blocked = call.json(wire::rest::target)?;
    Ok(Asked { request: Request::Unblock { blocker: call.user, blocked }, about: About::Unblock })
}

pub(super) fn recent_listed(page: &MatchPage, ctx: &Ctx<'_>) -> Response {
    Response::json(200, ctx.encoder.recent_matches_body(&page.results))
}

/// One page, or 404 behind the last.
pub(super) fn listed(at: &MatchesPage, page: &MatchPage, ctx: &Ctx<'_>) -> Response {
    if !at.exists(page) {
        return problem::invalid_page();
    }
    let next = at.next(page);
    let previous = at.previous();
    Response::json(200, ctx.encoder.matches_body(page, next.as_deref(), previous.as_deref()))
}

pub(super) fn liked(liked: &Card, made: Option<&Made>, ctx: &Ctx<'_>) -> Response {
    let detail = if made.is_some() { "It is a match." } else { "The like was sent." };
    let made = made.map(|made| (&made.made, liked));
    Response::json(201, ctx.encoder.liked_body(detail, made))
}

pub(super) fn done(detail: &'static str) -> Response {
    Response::json(200, wire::rest::detail_body(detail))
}
