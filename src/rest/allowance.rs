//! How much a user may still send, and how a client is told (draft-ietf-httpapi-ratelimit-headers-10).

use std::borrow::Cow;

use crate::auth::Rate;
use crate::model::ErrorCode;
use crate::protocol::http::{Problem, Response};

/// The name of the policy: REST and sockets spend from one bucket of messages.
const POLICY: &str = "messages";

/// What became of the taking of one message from a user's allowance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Allowance {
    /// How fast, and how many at once.
    pub rate: Rate,
    /// How many could be sent at once now.
    pub remaining: u32,
    /// Whether it was taken; if not, the milliseconds until there will be one.
    pub taken: Result<(), u64>,
}

/// What a client is told of its allowance; whole seconds, rounded up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Quota {
    burst: u32,
    window_s: u32,
    remaining: u32,
    reset_s: u32,
}

/// What is to be told of an allowance that one was taken from; `None` where there is no limit.
///
/// # Errors
///
/// 429 with `Retry-After`: none was taken.
pub(super) fn spend(allowance: &Allowance) -> Result<Option<Quota>, Response> {
    let quota = Quota::of(allowance);
    let Err(retry_after_ms) = allowance.taken else { return Ok(quota) };
    let detail = "You are sending faster than allowed.";
    let problem = Problem::new(429, ErrorCode::RateLimited.name(), detail);
    Err(Response::problem(&problem)
        .retry_after(u64::from(seconds(retry_after_ms)).max(1))
        .headers(quota.into_iter().flat_map(Quota::headers)))
}

impl Quota {
    fn of(allowance: &Allowance) -> Option<Self> {
        let Allowance { rate, remaining, taken } = *allowance;
        if rate.is_unlimited() {
            return None;
        }
        let (burst, window_ms) = (rate.burst(), rate.window_ms());
        let reset_ms = match taken {
            Ok(()) => {
                let missing = u64::from(burst.saturating_sub(remaining));
                window_ms.saturating_mul(missing) / u64::from(burst)
            }
            // A client that was refused waits for one message, not for all of them.
            Err(retry_after_ms) => retry_after_ms,
        };
        Some(Self {
            burst,
            window_s: seconds(window_ms).max(1),
            remaining,
            reset_s: seconds(reset_ms),
        })
    }

    /// `RateLimit-Policy` (§3) and `RateLimit` (§4).
    pub(super) fn headers(self) -> [(&'static str, Cow<'static, str>); 2] {
        let Self { burst, window_s, remaining, reset_s } = self;
        [
            ("RateLimit-Policy", format!("\"{POLICY}\";q={burst};w={window_s}").into()),
            ("RateLimit", format!("\"{POLICY}\";r={remaining};t={reset_s}").into()),
        ]
    }
}

fn seconds(ms: u64) -> u32 {
    u32::try_from(ms.div_ceil(1_000)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Bucket;
    use crate::rest::tests::world::take;
    use crate::time::Mono;

    fn check(allowance: &Allowance, policy: &str, limit: &str) {
        let headers = Quota::of(allowance).unwrap().headers();
        assert_eq!(headers[0].1, policy);
        assert_eq!(headers[1].1, limit);
    }

    #[test]
    fn what_is_left_counts_down_and_a_refusal_says_when_to_return() {
        let rate = Rate::new(5.0, 10);
        let mut bucket = Bucket::default();
        let mut take = |at| take(&mut bucket, &rate, Mono(at));
        check(&take(0), "\"messages\";q=10;w=2", "\"messages\";r=9;t=1");
        for _ in 0..8 {
            take(0);
        }
        let last = take(0);
        check(&last, "\"messages\";q=10;w=2", "\"messages\";r=0;t=2");
        assert!(spend(&last).is_ok());
        let refused = take(0);
        check(&refused, "\"messages\";q=10;w=2", "\"messages\";r=0;t=1");
        let response = spend(&refused).unwrap_err();
        assert_eq!(response.status(), 429);
        assert_eq!(response.header_value("Retry-After"), Some("1"));
        assert_eq!(response.header_value("RateLimit"), Some("\"messages\";r=0;t=1"));
        assert_eq!(take(200).taken, Ok(()));
    }

    #[test]
    fn slow_rates_are_told_in_whole_seconds() {
        let rate = Rate::new(0.1, 3);
        let mut bucket = Bucket::default();
        let allowance = take(&mut bucket, &rate, Mono(500));
        check(&allowance, "\"messages\";q=3;w=30", "\"messages\";r=2;t=10");
    }

    #[test]
    fn no_limit_is_not_told() {
        let allowance = take(&mut Bucket::default(), &Rate::UNLIMITED, Mono(0));
        assert_eq!(spend(&allowance), Ok(None));
    }
}
