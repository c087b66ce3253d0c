//! Problem details (RFC 9457): how every refusal over HTTP explains itself.

use std::borrow::Cow;

use serde::Serialize;

use super::{RequestError, reason_phrase};

/// A refusal as `application/problem+json`: `type`, `title`, `status`, `detail`, and the
/// extensions `code` (the word for machines, which also makes the type) and `field` (the member of
/// the request that is wrong, left out where there is none).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    status: u16,
    code: &'static str,
    title: &'static str,
    detail: Cow<'static, str>,
    field: Option<Cow<'static, str>>,
}

/// The members as they are written.
#[derive(Serialize)]
struct Members<'p> {
    r#type: String,
    title: &'p str,
    status: u16,
    detail: &'p str,
    code: &'p str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'p str>,
}

impl Problem {
    /// A problem whose title is its status' reason phrase. `detail` is for people; clients written
    /// for Django REST framework show it.
    pub fn new(status: u16, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code, title: reason_phrase(status), detail: detail.into(), field: None }
    }

    /// With another title.
    #[must_use]
    pub fn with_title(self, title: &'static str) -> Self {
        Self { title, ..self }
    }

    /// Naming the member of the request that is wrong.
    #[must_use]
    pub fn with_field(self, field: impl Into<Cow<'static, str>>) -> Self {
        Self { field: Some(field.into()), ..self }
    }

    /// The status code.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The word for machines.
    pub fn code(&self) -> &'static str {
        self.code
    }

    /// The JSON object.
    pub fn to_json(&self) -> Vec<u8> {
        let members = Members {
            r#type: format!("urn:fortifun:problem:{}", self.code),
            title: self.title,
            status: self.status,
            detail: &self.detail,
            code: self.code,
            field: self.field.as_deref(),
        };
        serde_json::to_vec(&members).expect("strings and a number are always JSON")
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        Self::new(error.status(), error.code(), error.detail())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(problem: &Problem, expect: &str) {
        assert_eq!(String::from_utf8(problem.to_json()).unwrap(), expect);
    }

    #[test]
    fn a_problem_is_written_with_its_code_and_type() {
        check(
            &Problem::new(404, "conversation_not_found", "No such conversation."),
            r#"{"type":"urn:fortifun:problem:conversation_not_found","title":"Not Found","status":404,"detail":"No such conversation.","code":"conversation_not_found"}"#,
        );
    }

    #[test]
    fn a_field_is_named_and_text_is_escaped() {
        check(
            &Problem::new(400, "invalid_field", "\"a\"\n").with_field("content").with_title("Bad"),
            r#"{"type":"urn:fortifun:problem:invalid_field","title":"Bad","status":400,"detail":"\"a\"\n","code":"invalid_field","field":"content"}"#,
        );
    }

    #[test]
    fn a_request_error_is_a_problem() {
        let problem = Problem::from(RequestError::BodyTooLarge);
        assert_eq!((problem.status(), problem.code()), (413, "body_too_large"));
    }
}
