//! What was wrong with a text, told so that its author can mend it.

use std::borrow::Cow;

use super::fields::Value;
use crate::model::{Complaint, ErrorCode};

/// Why a text is no command, or a body no REST request. Nothing was changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fault<'a> {
    /// For programs. One of `InvalidJson`, `InvalidCommand`, `UnknownType` and `InvalidField`.
    pub code: ErrorCode,
    /// For people: the field's name, a colon and what was wrong. Never quotes the peer.
    pub message: Cow<'static, str>,
    /// The command's `ref`, where that is usable.
    pub reference: Option<Cow<'a, str>>,
    /// The message's `client_id`, where that is usable.
    pub client_id: Option<Cow<'a, str>>,
}

impl Fault<'_> {
    /// The fault as its client is told of it.
    pub fn complaint(&self) -> Complaint<'_> {
        Complaint {
            code: self.code,
            message: Cow::Borrowed(&self.message),
            reference: self.reference.as_deref(),
            client_id: self.client_id.as_deref(),
            retry_after_ms: None,
        }
    }
}

/// One thing that was wrong; a [`Fault`] once it is known whose command it was in.
#[derive(Debug)]
pub(super) struct Flaw {
    pub(super) code: ErrorCode,
    pub(super) message: Cow<'static, str>,
}

impl Flaw {
    /// `name` holds something unusable.
    pub(super) fn field(name: &str, what: impl std::fmt::Display) -> Self {
        Self { code: ErrorCode::InvalidField, message: format!("{name}: {what}").into() }
    }

    /// The text is not JSON.
    pub(super) fn json(error: &serde_json::Error) -> Self {
        Self { code: ErrorCode::InvalidJson, message: error.to_string().into() }
    }

    /// The text is no command.
    pub(super) const fn command(message: Cow<'static, str>) -> Self {
        Self { code: ErrorCode::InvalidCommand, message }
    }

    /// The flaw with what of the command's `ref` and `client_id` is usable.
    pub(super) fn of<'a>(self, mut reference: Value<'a>, mut client_id: Value<'a>) -> Fault<'a> {
        Fault {
            code: self.code,
            message: self.message,
            reference: reference.reference().ok().flatten(),
            client_id: client_id.client_id().ok().flatten(),
        }
    }
}
