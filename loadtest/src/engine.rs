//! What the scenarios share: the server under load, its users and conversations, the sessions, and what is measured of both sides.

pub(crate) mod crew;
pub(crate) mod crowd;
pub(crate) mod fan;
pub(crate) mod measure;
pub(crate) mod pin;
pub(crate) mod room;
pub(crate) mod sampler;
pub(crate) mod site;
pub(crate) mod together;
